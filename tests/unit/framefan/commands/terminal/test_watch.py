"""`framefan watch`: where it looks, and what it says when there is nothing to see."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from waiting import is_within
from websockets.sync.server import serve

from framefan.base import clock
from framefan.commands.cli import execute
from framefan.commands.terminal import watch
from framefan.errors import RunError

if TYPE_CHECKING:
    from websockets.http11 import Request, Response
    from websockets.sync.server import ServerConnection


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("FRAMEFAN_TOKEN_FILE", raising=False)


def says(capfd: pytest.CaptureFixture[str], code: int, *tokens: str) -> str:
    assert execute(["watch", *tokens]) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert 1 <= len(err.splitlines()) <= 3
    assert all(len(line) < 200 for line in err.splitlines())
    return err


def test_without_a_run_it_looks_where_one_is_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert watch._url_of_run(None, "framefan watch") == "ws://127.0.0.1:8765/ws"
    with pytest.raises(RunError, match='no run is named "yard"'):
        watch._url_of_run("yard", "framefan watch")

    class Found:
        url = "https://127.0.0.1:9000/"

    monkeypatch.setattr(watch.run_table, "fetch", lambda *_: Found)
    monkeypatch.setattr(watch.rundir, "running", lambda: ["yard"])
    monkeypatch.setattr(watch.rundir, "meant", lambda *_: "yard")
    assert watch._url_of_run(None, "framefan watch") == "wss://127.0.0.1:9000/ws"


def test_where_nothing_listens_it_says_what_to_start(
    capfd: pytest.CaptureFixture[str], unused_tcp_port: int
) -> None:
    said = says(capfd, 1, f"127.0.0.1:{unused_tcp_port}")
    assert f"no connection to ws://127.0.0.1:{unused_tcp_port}/ws" in said
    assert "framefan run" in said


@pytest.mark.parametrize(
    ("code", "tokens", "text"),
    [
        (2, ["ftp://h/x"], "ftp"),
        (2, ["ws://h/ws?token=hunter2"], "logs"),
        (2, ["ws://h/ws", "--name", "x"], "both"),
        (3, ["ws://h/ws", "--token-file", "nix.token"], "nix.token"),
        (3, ["wss://h/ws", "--tls-ca", "nix.pem"], "nix.pem"),
        (1, ["--name", "nix"], '"nix"'),
        (2, ["--wat"], "--wat"),
        (2, ["ws://h/ws", "--duration", "-1"], "--duration cannot be -1"),
        (2, ["ws://h/ws", "--duration", "nan"], "--duration cannot be nan"),
    ],
)
def test_what_cannot_work_is_said_in_three_lines(
    capfd: pytest.CaptureFixture[str], code: int, tokens: list[str], text: str
) -> None:
    assert text in says(capfd, code, *tokens)


def test_a_port_of_something_else_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(4096)
                client.sendall(b"220 mail.example ESMTP\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        said = says(capfd, 1, f"127.0.0.1:{listener.getsockname()[1]}")
        thread.join()
    assert "not a WebSocket" in said
    assert "check the address" in said


def test_who_listens_and_says_nothing_is_not_waited_for_longer(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        began = clock.now()
        said = says(capfd, 1, f"127.0.0.1:{port}", "--duration", "0.3")
        assert is_within(began, 4)
    assert "no answer within 0.3 s" in said


def test_a_token_that_lacks_is_said_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    """A gateway waits for a token of who shows none, and over HTTP says that there must be one."""

    def door(line: ServerConnection, request: Request) -> Response | None:
        asks = request.path.startswith("/api/status")
        return line.respond(401, "a token is needed") if asks else None

    def waits(line: ServerConnection) -> None:
        for _ in line:
            pass

    with serve(waits, "127.0.0.1", 0, process_request=door) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.socket.getsockname()[1]
        said = says(capfd, 1, f"127.0.0.1:{port}", "--duration", "30")
    assert "401" in said
    assert "--token-file FILE" in said
