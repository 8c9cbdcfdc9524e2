"""Children: born with signals held, told everything over the link, named without secrets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from framefan.errors import LinkClosed
from framefan.ipc import processes
from framefan.ipc.messages import Progress, Stop, ToSupervisor
from framefan.ipc.processes import Child, Stage, describe_exit
from framefan.settings.run import CameraSettings, Settings
from framefan.settings.secret import SourceText

SECRET = "hunter2"
STAGE = Stage("capture", "play_child", sees_sources=True)
PLAY = """
import os, signal, sys
born_with = dict(os.environ)
held = signal.pthread_sigmask(signal.SIG_BLOCK, ())
from framefan.ipc.messages import FromSupervisor, Progress, Stop
from framefan.ipc.processes import Parent
parent = Parent("capture", FromSupervisor)
known = parent.settings.cameras[0].source.reveal()
facts = sum(1 << i for i, held_back in enumerate([
    {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2} <= held,
    "hunter2" in known,
    parent.inherited_fd < 0 or os.read(parent.inherited_fd, 3) == b"abc",
    not any("hunter2" in value for value in os.environ.values()),
    "FRAMEFAN_CONTROL_FD" not in os.environ,
    not {"FRAMEFAN_TOKEN", "FRAMEFAN_SOURCES"} & set(born_with),
    not any("hunter2" in value for value in born_with.values()),
]) if held_back)
parent.link.send(Progress(facts))
parent.write_stacks_when_asked()
stop = list(parent.early)
while not stop and not parent.stop_asked:
    stop = parent.link.receive(block=True)
sys.exit(5 if stop else 6)
"""


@pytest.fixture(autouse=True)
def _play(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "play_child.py").write_text(PLAY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("FRAMEFAN_TOKEN", SECRET)
    monkeypatch.setenv("FRAMEFAN_SOURCES", f"rtsp://u:{SECRET}@h/x")


def start(inherited_fd: int = -1) -> Child:
    camera = CameraSettings(name="front", source=SourceText(f"rtsp://u:{SECRET}@h/x"))
    return Child(STAGE, "front", Settings(cameras=(camera,)), ToSupervisor, inherited_fd)


def test_what_a_child_knows_and_what_others_can_see_of_it() -> None:
    read, write = os.pipe()
    os.write(write, b"abc")
    child = start(read)
    os.close(read)
    os.close(write)
    assert child.link.receive(block=True) == [Progress(0b1111111)]
    cmdline = Path(f"/proc/{child.pid}/cmdline").read_bytes()
    assert SECRET.encode() not in cmdline
    assert b"framefan capture front" in cmdline
    child.link.send(Stop())
    assert child.process.wait(10) == 5
    with pytest.raises(LinkClosed):
        child.link.receive(block=True)
    child.kill()
    assert child.ending == "exit code 5"


def test_sigterm_while_it_is_born_is_held_until_it_can_hear_it() -> None:
    child = start()
    child.terminate()
    assert child.process.wait(10) == 6
    child.kill()


def test_its_stacks_can_be_asked_for_before_it_can_write_them(capfd) -> None:
    child = start()
    os.kill(child.pid, processes.DUMP_SIGNAL)
    child.link.receive(block=True)
    child.link.send(Stop())
    assert child.process.wait(10) == 5
    child.kill()
    assert "play_child.py" in capfd.readouterr().err


def test_kill_is_idempotent_and_leaves_no_zombie() -> None:
    child = start()
    child.kill()
    child.kill()
    child.terminate()
    assert child.ending == "killed by SIGKILL"
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


def test_signals_are_as_they_were_after_a_birth() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    start().kill()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_a_birth_that_fails_leaks_no_descriptor(monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(OSError):
        start()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (None, "still running"),
        (0, "exit code 0"),
        (-6, "killed by SIGABRT"),
        (-99, "killed by signal 99"),
    ],
)
def test_endings(code: int | None, words: str) -> None:
    assert describe_exit(code) == words


def test_stages_are_strings_that_can_be_found() -> None:
    for stage in processes.STAGES:
        found = subprocess.run(
            [
                sys.executable,
                "-c",
                "import importlib.util as u, sys; sys.exit(not u.find_spec(sys.argv[1]))",
                stage.module,
            ],
            check=False,
        )
        assert found.returncode == 0, stage


def test_what_a_py_source_prints_is_there_at_once(monkeypatch) -> None:
    """Its output is a pipe: Python would keep some kilobytes of it back, and lose them."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    said = "import os; print('hello'); os._exit(0)"
    command = [sys.executable, *processes.CAPTURE.flags, "-c", said]
    assert subprocess.check_output(command) == b"hello\n"
