"""`framefan watch` beside a real run: a table, lines of JSON, and clean ends."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from runs import Run, framefan
from waiting import SCALE, wait_until

from framefan.base.clock import now

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WATCH = [sys.executable, "-m", "framefan", "watch"]
LONGEST = ["--duration", "120"]
"""So that nothing is left of a test that was killed."""


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    with Run("front=demo?size=320x240", "back=demo?size=320x240&seed=2") as run:
        yield run


def test_json_is_a_message_a_line(run: Run) -> None:
    done = framefan("watch", run.url, "--json", "--duration", "3", "--camera", "front")
    assert (done.returncode, done.stderr) == (0, "")
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    results = [each for each in messages if each["type"] == "result"]
    assert results
    assert {each["camera"] for each in results} == {"front"}
    seqs = [each["seq"] for each in results]
    assert seqs == sorted(set(seqs))


def test_top_shows_rates_and_stages(run: Run) -> None:
    env = {"XDG_RUNTIME_DIR": str(run.runtime), "COLUMNS": "160"}
    done = framefan("top", "--name", run.name, "--duration", "4", env=env)
    assert (done.returncode, done.stderr) == (0, "")
    cells = [re.split(r"  +", line.strip()) for line in done.stdout.splitlines() if line]
    rows = {row[0]: row for row in cells}
    for name in ("front", "back"):
        _, state, captured, predicted, dropped, *stages = rows[name]
        assert state == "live"
        assert re.fullmatch(r"-|newer \d+\.\d+", dropped), "a busy machine drops some"
        assert float(captured) > 20
        assert float(predicted) > 20
        wait, predict, deliver, p50, p95, p99 = map(float, stages)
        assert min(wait, predict, deliver) > 0
        assert p50 <= p95 <= p99
    done = framefan("top", run.url, "--json", "--duration", "3")
    last = json.loads(done.stdout.splitlines()[-1])
    assert set(last["cameras"]) == {"front", "back"}
    assert last["cameras"]["front"]["per_s"]["captured"] > 20
    assert [worker["id"] for worker in last["workers"]] == [1, 2]


def test_top_says_that_it_needs_the_token(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("open-sesame\n")
    with Run("cam=demo?size=160x120", "--token-file", str(token)) as run:
        done = framefan("top", run.url)
        assert done.returncode == 1
        assert "--token-file" in done.stderr
        done = framefan("top", run.url, "--token-file", str(token), "--duration", "2.5")
        assert (done.returncode, done.stderr) == (0, "")
        assert "cam" in done.stdout


def test_top_says_when_nobody_is_there() -> None:
    done = framefan("top", "127.0.0.1:1")
    assert done.returncode == 1
    assert "no connection to ws://127.0.0.1:1/ws" in done.stderr


def test_it_finds_the_run_by_name_and_sums_up(run: Run) -> None:
    env = {"XDG_RUNTIME_DIR": str(run.runtime), "COLUMNS": "120"}
    done = framefan("watch", "--name", run.name, "--duration", "4", env=env)
    assert (done.returncode, done.stderr) == (0, "")
    head, columns, back, front = done.stdout.splitlines()
    assert run.ws in head
    assert columns.split() == [
        "camera",
        "state",
        "fps",
        "seq",
        "p50",
        "ms",
        "p95",
        "ms",
        "seen",
        "missed",
    ]
    for row, name in ((back, "back"), (front, "front")):
        camera, state, fps, seq, p50, p95, *_ = row.split()
        assert (camera, state) == (name, "live")
        assert float(fps) > 1
        assert int(seq) > 0
        assert 0 < float(p50) <= float(p95)


def test_fewer_are_asked_for(run: Run) -> None:
    done = framefan("watch", run.url, "--json", "--duration", "4", "--max-fps", "2")
    results = [json.loads(line) for line in done.stdout.splitlines()]
    front = [each for each in results if each.get("camera") == "front"]
    assert 2 <= len(front) <= 14
    assert any("max_fps" in each.get("missed_by", {}) for each in front)


def test_a_pipe_that_has_seen_enough_is_no_error(run: Run) -> None:
    both = f"{' '.join(WATCH)} {run.url} --json {' '.join(LONGEST)}; echo $? >&2"
    done = subprocess.run(
        ["sh", "-c", f"{{ {both}; }} | head -n 3"],
        capture_output=True,
        text=True,
        timeout=60 * SCALE,
        check=False,
    )
    assert len(done.stdout.splitlines()) == 3
    assert done.stderr.split() == ["0"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_being_told_to_stop_is_no_error(run: Run, number: int, flags: list[str]) -> None:
    terminal, theirs = pty.openpty()
    watching = subprocess.Popen(
        [*WATCH, run.url, *LONGEST, *flags],
        stdout=theirs,
        stderr=theirs,
        stdin=subprocess.DEVNULL,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "120", "LINES": "30"},
    )
    os.close(theirs)
    shown = bytearray()
    try:
        wait_until(lambda: b"front" in _read(terminal, shown), 30, "a result on the terminal")
        watching.send_signal(number)
        deadline = now() + 15 * SCALE
        while watching.poll() is None and now() < deadline:
            _read(terminal, shown)
        assert watching.wait(5) == 0
        assert b"Traceback" not in _read(terminal, shown)
    finally:
        watching.kill()
        watching.wait()
        os.close(terminal)
    if not flags:
        assert b"\x1b[?25h" in shown, "the cursor is shown again"


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "duration"])
@pytest.mark.parametrize("command", [["watch", "--json"], ["top", "--json"], ["watch"], ["top"]])
def test_it_ends_also_while_nobody_takes_what_it_prints(
    run: Run, command: list[str], how: str
) -> None:
    """A full pipe with --json; a terminal stopped with Ctrl-S without it."""
    reader, writer = os.pipe() if "--json" in command else pty.openpty()
    if "--json" in command:
        os.set_blocking(writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, b"x" * 4096)
        os.set_blocking(writer, True)
    else:
        termios.tcflow(writer, termios.TCOOFF)
    framefan = [sys.executable, "-m", "framefan", command[0], run.url, *command[1:]]
    lasts = ["--duration", "2"] if how == "duration" else LONGEST
    printing = subprocess.Popen([*framefan, *lasts], stdout=writer, stdin=subprocess.DEVNULL)
    try:
        if how != "duration":
            wait_until(lambda: psutil.Process(printing.pid).net_connections(), 20, "a connection")
            before = run.fresh_state().n
            wait_until(lambda: run.fresh_state().n > before + 40, 10, "results to print")
            printing.send_signal(getattr(signal, how))
        assert printing.wait(20 * SCALE) == 0
    finally:
        printing.kill()
        printing.wait()
        os.close(reader)
        os.close(writer)


def _read(terminal: int, shown: bytearray) -> bytearray:
    """All that has come so far; a terminal nobody reads would stop the writer."""
    while select.select([terminal], [], [], 0.05)[0]:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # the other end is closed
            break
        if not data:
            break
        shown += data
        if len(data) < 4096:
            break
    return shown


def test_a_gateway_that_dies_is_followed_into_its_next_life() -> None:
    with Run("demo?size=320x240") as run:
        watching = subprocess.Popen(
            [*WATCH, run.url, "--json", *LONGEST], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert watching.stdout is not None
        try:
            first = json.loads(watching.stdout.readline())
            old = run.pid_of("gateway")
            os.kill(old, signal.SIGKILL)
            wait_until(lambda: run.pid_of("gateway") not in (0, old), 30, "a new gateway")
            wait_until(lambda: _next_seq(watching.stdout) > first["seq"] + 120, 60, "new results")
            watching.terminate()
            _, err = watching.communicate(timeout=30 * SCALE)
        finally:
            watching.kill()
            watching.communicate()
    assert watching.returncode == 0
    assert b"Traceback" not in err
    assert b"no connection to" in err


def _next_seq(lines: Any) -> int:
    """Of the next result."""
    while True:
        message = json.loads(lines.readline())
        if message["type"] == "result":
            return int(message["seq"])


def test_a_token_is_needed_and_used(tmp_path) -> None:
    token = tmp_path / "token"
    token.write_text("open-sesame\n")
    with Run("demo?size=320x240", "--token-file", str(token)) as run:
        refused = framefan("watch", run.url, "--duration", "60")
        assert refused.returncode == 1
        assert "401" in refused.stderr
        assert "--token-file" in refused.stderr
        shown = framefan("watch", run.url, "--token-file", str(token), "--json", "--duration", "2")
        assert shown.returncode == 0
        assert '"type":"result"' in shown.stdout
        assert "open-sesame" not in shown.stdout + shown.stderr


def test_a_runs_own_certificate_is_trusted_when_named(tmp_path) -> None:
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    started = Run("demo?size=320x240", "--tls-cert", cert, "--tls-key", key).start()
    with started.taking_over() as run:
        wait_until(lambda: (state := run.state()) and state.url, 30, "the run's address")
        address = run.url
        ours = ["watch", address, "--tls-ca", cert, "--json", "--duration", "2"]
        wait_until(lambda: "result" in framefan(*ours).stdout, 60, "results over TLS")
        assert address.startswith("https://")
        unknown = framefan("watch", address, "--duration", "60")
        assert unknown.returncode == 1
        assert "not trusted" in unknown.stderr
        assert "--tls-ca" in unknown.stderr
        plain = framefan("watch", f"127.0.0.1:{run.port}", "--duration", "60")
        assert plain.returncode == 1
        assert len(plain.stderr.splitlines()) == 3
