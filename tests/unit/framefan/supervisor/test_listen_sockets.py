"""Listening sockets: a free port for 0, a taken one named with its holder."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from framefan.errors import StartError
from framefan.supervisor import listen_sockets
from framefan.supervisor.rundir import RunDir


def test_port_0_takes_a_free_one_and_it_is_bindable_again() -> None:
    with listen_sockets.tcp("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            pass
    with listen_sockets.tcp("127.0.0.1", port):
        pass


def test_a_taken_port_names_itself_its_holder_and_another() -> None:
    with listen_sockets.tcp("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        with pytest.raises(StartError) as raised:
            listen_sockets.tcp("127.0.0.1", port)
    text = "\n".join(raised.value.lines())
    assert f"port {port} is taken" in text
    assert f"pid {os.getpid()}" in text
    assert f"--port {port + 1 if port < 65535 else 8766}" in text


def test_a_run_that_has_the_port_is_told_by_its_name(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with RunDir("yard"), listen_sockets.tcp("127.0.0.1", 0) as sock:
        assert listen_sockets.holder(sock.getsockname()[1]) == f'the run "yard" (pid {os.getpid()})'


def test_the_port_of_a_child_names_the_supervisor_above_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    held = """
import setproctitle, socket, subprocess, sys
setproctitle.setproctitle("framefan supervisor")
with socket.create_server(("127.0.0.1", 0)) as web:
    child = [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"]
    child = subprocess.Popen(child, pass_fds=[web.fileno()], stdout=subprocess.PIPE)
    child.stdout.readline()
    port = web.getsockname()[1]
print(port, flush=True)
child.wait()
"""
    with subprocess.Popen(
        [sys.executable, "-c", held], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as above:
        assert above.stdin is not None
        assert above.stdout is not None
        port = int(above.stdout.readline())
        told = listen_sockets.holder(port)
        above.stdin.close()
    assert told == f"another framefan (pid {above.pid})"


@pytest.mark.parametrize("host", ["nowhere.invalid", "203.0.113.7"])
def test_an_address_that_is_not_ours(host: str) -> None:
    with pytest.raises(StartError):
        listen_sockets.tcp(host, 0)


def test_unix(tmp_path) -> None:
    path = str(tmp_path / "pool")
    with listen_sockets.unix(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
