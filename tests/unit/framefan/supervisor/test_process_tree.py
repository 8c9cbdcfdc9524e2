"""Cameras that come, change and go while a run is on, and what they say on stderr meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys

import msgspec
import psutil
import pytest
from staged_run import DEADLINE_S, Run, alive
from waiting import wait_until

from framefan.base.clock import now
from framefan.ipc.links import LENGTH
from framefan.ipc.messages import Reload
from framefan.supervisor import control

PASSWORD = "hunter2-of-the-camera"


def cameras(*names: str, **sources: str) -> str:
    named = dict.fromkeys(names, "demo") | sources
    return "".join(
        f"[[camera]]\nname = '{name}'\nsource = '{source}'\n" for name, source in named.items()
    )


def reload(run: Run, *arguments: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "framefan", "reload", "--name", "fake", *arguments],
        env=os.environ | {"XDG_RUNTIME_DIR": str(run.runtime)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def children(run: Run) -> dict[str, str]:
    """Each role's state, as the pool was told last."""
    last = run.told()[-1:] or [{"children": []}]
    return {role: state for role, state, _ in last[0]["children"]}


def wait_children(run: Run, *roles: str) -> None:
    run.wait_for(lambda: children(run) == dict.fromkeys(("", *roles, "1"), "running"))


def pool_cameras(run: Run) -> list[list[str]]:
    path = run.folder / "cameras"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def begin(start):
    """A run of these cameras, all of them running."""

    def begun(*names: str, plan: dict[str, str] | None = None, **sources: str) -> Run:
        run = start(cameras(*names, **sources), **(plan or {}))
        run.wait_for((run.folder / "ready").exists)
        wait_children(run, *names, *sources)
        return run

    return begun


# ---- reload ----------------------------------------------------------------------------------


def test_added_changed_removed_and_kept(begin) -> None:
    run = begin("kept", "gone", other="demo?fps=5")
    before = {name: run.pids(name) for name in ("kept", "gone", "other", "pool", "1")}
    run.configure("workers = 4\n" + cameras("kept", new="demo?seed=2", other="demo?fps=9"))
    code, said, errors = reload(run)
    assert (code, errors) == (0, "  changing the workers ...\n")
    assert said.splitlines() == [
        "added    new",
        "changed  other",
        "removed  gone",
        "changed  workers 2 -> 4",
    ]
    wait_children(run, "kept", "new", "other")
    run.wait_for(lambda: not alive(before["gone"][0]))
    for name in ("kept", "pool", "1"):
        assert run.pids(name) == before[name], name
    assert len(run.pids("other")) == 2
    assert (run.folder / "sources-other").read_text().split() == ["demo?fps=5", "demo?fps=9"]
    assert pool_cameras(run) == [["demo", "demo?seed=2", "demo?fps=9"]]
    code, said = run.stop()
    assert code == 0, said
    assert "reload: added new; changed other; removed gone" in said
    assert "died" not in said
    run.assert_clean()


def test_nothing_changed_touches_nothing(begin) -> None:
    run = begin("a", "b")
    told = len(run.told())
    assert reload(run)[1] == "nothing changed\n"
    assert json.loads(reload(run, "--json")[1]) == {
        "added": [],
        "changed": [],
        "removed": [],
        "kept": ["a", "b"],
        "notes": [],
        "applied": {},
        "failed": [],
    }
    assert (len(run.told()), pool_cameras(run)) == (told, [])
    assert run.stop()[0] == 0


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("wrokers = 1", 2, "did you mean workers?"),
        (cameras(a="nix.mp4"), 3, "cannot read the source nix.mp4"),
        (cameras("a", "b") + "max_fps = -1\n", 2, "max_fps"),
    ],
)
def test_a_bad_file_changes_nothing_and_says_why(begin, text: str, code: int, words: str) -> None:
    run = begin("a")
    run.configure(text)
    got, said, errors = reload(run)
    assert (got, said) == (code, "")
    assert words in errors
    assert errors.startswith("framefan: ")
    wait_children(run, "a")
    assert len(run.pids("a")) == 1
    log = run.stop()[1]
    assert log.count("reload: nothing changed: ") == 1
    assert not pool_cameras(run)


def test_without_a_file_there_is_nothing_to_reload(start) -> None:
    run = start().ready()
    code, _, errors = reload(run)
    assert code == 2
    assert "started without --config" in errors
    assert run.stop()[0] == 0


def test_a_removed_camera_that_does_not_stop_is_killed(begin) -> None:
    run = begin("a", "deaf", plan={"deaf": "deaf"})
    run.configure(cameras("a"))
    assert reload(run)[0] == 0
    assert children(run).get("deaf", "stopping") == "stopping"
    run.wait_for(lambda: not alive(run.pids("deaf")[0]))
    wait_children(run, "a")
    _, said = run.stop()
    assert "capture deaf: did not stop, killed" in said
    assert "died" not in said
    run.assert_clean()


def test_a_camera_that_comes_back_while_it_leaves_is_never_there_twice(begin) -> None:
    run = begin("a", "deaf", plan={"deaf": "deaf"})
    run.configure(cameras("a"))
    reload(run)
    run.configure(cameras("a", deaf="demo?fps=7"))
    assert reload(run)[1] == "added    deaf\n"
    assert len(run.pids("deaf")) == 1, "its predecessor is still there"
    run.wait_for(lambda: len(run.pids("deaf")) == 2)
    assert not alive(run.pids("deaf")[0])
    wait_children(run, "a", "deaf")
    assert (run.folder / "sources-deaf").read_text().split() == ["demo", "demo?fps=7"]
    assert run.stop()[0] == 0
    run.assert_clean()


@pytest.mark.parametrize("how", ["removed", "changed"])
def test_one_that_waits_for_its_next_start(begin, start, how: str) -> None:
    run = start(cameras("a", "bad"), bad="exit0")
    run.wait_for(lambda: "bad died: exit code 0; starts again in 60" in run.log())
    wait = len(run.pids("bad"))
    run.wait_for(lambda: children(run)["bad"] == "failed")
    run.configure(cameras("a") if how == "removed" else cameras("a", bad="demo?fps=3"))
    assert reload(run)[1].strip().endswith("bad")
    if how == "removed":
        wait_children(run, "a")
        assert len(run.pids("bad")) == wait
    else:
        run.wait_for(lambda: len(run.pids("bad")) > wait)
    assert run.stop()[0] == 0
    run.assert_clean()


def test_a_new_pool_knows_the_new_cameras(begin) -> None:
    run = begin("a")
    run.configure(cameras("a", "b"))
    reload(run)
    wait_children(run, "a", "b")
    os.kill(run.pids("pool")[0], signal.SIGKILL)
    run.wait_for(lambda: len(run.pids("pool")) == 2)
    wait_children(run, "a", "b")
    assert (run.folder / "sources-").read_text().split() == ["demo", "demo", "demo"]
    assert run.stop()[0] == 0


def test_the_end_of_all_sources_does_not_count_before_the_pool_knows_the_new_ones(begin) -> None:
    run = begin("a", plan={"pool": "stale"})
    run.configure(cameras("a", "b"))
    assert reload(run)[0] == 0
    wait_children(run, "a", "b")
    code, said = run.stop()
    assert code == 0
    assert "every source has ended" not in said
    assert "received a stop signal" in said


def test_fatal_of_a_camera_that_a_reload_brought_ends_nothing(begin) -> None:
    run = begin("a", plan={"b": "fatal_exit"})
    run.configure(cameras("a", "b"))
    assert reload(run)[0] == 0
    run.wait_for(lambda: children(run).get("b") == "failed")
    assert run.told()[-1]["whys"]["b"][0] == "unplayable"
    assert run.told()[-1]["said"] == {"b": "no such thing: it is not there"}
    run.configure(cameras("a", b="demo?fps=3"))
    assert reload(run)[1] == "changed  b\n"
    run.wait_for(lambda: len(run.pids("b")) == 2 and children(run)["b"] == "failed")
    assert len(run.pids("a")) == 1
    code, said = run.stop()
    assert code == 0, said
    assert said.count("capture b: no such thing") == 2
    assert said.count("starts again in 60.0 s") == 2, "it said itself that it is of no use"
    run.assert_clean()


def test_reload_while_it_starts_and_while_it_stops(start) -> None:
    run = start(cameras("a", "deaf"), deaf="deaf")
    path = run.runtime / "framefan" / "fake" / "control"
    run.wait_for(path.exists)
    run.configure(cameras("b", "deaf"))
    assert reload(run)[0] == 0
    wait_children(run, "b", "deaf")
    run.process.send_signal(signal.SIGTERM)
    run.wait_for(lambda: not path.exists())
    code, _, errors = reload(run)
    assert code == 1
    assert "does not answer" in errors or "no run is named" in errors
    assert run.end()[0] == 0
    run.assert_clean()


def test_a_file_that_is_a_pipe_hangs_nobody(begin) -> None:
    """Nobody writes into it, so it cannot even be opened."""
    run = begin("a")
    (run.folder / "run.toml").unlink()
    os.mkfifo(run.folder / "run.toml")
    with _connect(run) as asking:
        seen = len(run.told())
        os.kill(run.pids("a")[0], signal.SIGKILL)  # the loop goes on: it sees this at once
        run.wait_for(lambda: len(run.told()) > seen and len(run.pids("a")) == 2)
        assert "another reload is under way" in reload(run)[2]
        assert run.stop()[0] == 0
        assert b"the run is stopping" in asking.recv(4096)
    run.assert_clean()


def _connect(run: Run) -> socket.socket:
    """A reload whose answer the test reads itself."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(run.runtime / "framefan" / "fake" / "control"))
    body = msgspec.msgpack.encode(Reload())
    sock.sendall(LENGTH.pack(len(body)) + body)
    return sock


def test_clients_of_the_control_socket_cannot_hurt_the_run(begin) -> None:
    run = begin("a")
    supervisor = psutil.Process(run.process.pid)
    with contextlib.ExitStack() as stack:
        for index in range(3 * control.CLIENTS):
            sock = stack.enter_context(socket.socket(socket.AF_UNIX))
            sock.connect(str(run.runtime / "framefan" / "fake" / "control"))
            if index % 3 == 1:
                sock.send(os.urandom(100))
        _connect(run).close()
        used = sum(supervisor.cpu_times()[:2])
        until = now() + 1
        run.wait_for(lambda: now() > until)
        assert sum(supervisor.cpu_times()[:2]) - used < 0.3
        wait_until(lambda: reload(run)[0] == 0, 3 * control.SILENCE_S)
    assert len(run.pids("a")) == 1
    code, said = run.stop()
    assert code == 0, said
    assert "no progress" not in said


# ---- why it died -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "reason"), [("crash_once", "decoder_died"), ("hang_once", "no_progress")]
)
def test_the_pool_is_told_why_a_capture_is_gone_and_until_when(start, part, reason) -> None:
    run = start(demo=part, silence_s=2.0)
    run.wait_for(lambda: len(run.pids("demo")) == 2)
    whys = [line["whys"]["demo"] for line in run.told() if "demo" in line["whys"]]
    assert whys
    assert {why for why, _ in whys} == {reason}
    assert all(0 <= wait <= 0.1 for _, wait in whys)
    run.wait_for(lambda: children(run).get("demo") == "running")
    assert "demo" not in run.told()[-1]["whys"]
    assert run.stop()[0] == 0


# ---- stderr ----------------------------------------------------------------------------------


def test_what_a_capture_prints_is_cleaned_and_a_crash_comes_through(start) -> None:
    run = start(cameras(cam=f"rtsp://u:{PASSWORD}@h/x?key=0123456789"), cam="talk")
    run.wait_for(lambda: len(run.pids("cam")) == 2)
    run.wait_for(lambda: run.log().count("cannot open") == 2)
    code, said = run.stop()
    assert code == 0, said
    for secret in (PASSWORD, "0123456789"):
        assert secret not in said
    assert "on stdout rtsp://***@h/x?key=***" in said
    assert "cannot open rtsp://***@h/x" in said
    assert "last wordsFatal Python error: Segmentation fault" in said
    assert "killed by SIGSEGV" in said
    assert "fake_stage.py" in said, "the stack"
    assert said.count("last words") == 2


def test_a_flood_on_stderr_slows_nobody_and_fills_no_log(start) -> None:
    run = start(cameras("good", "bad"), bad="flood", good="good")
    began = now()
    run.wait_for((run.folder / "flooded").exists)
    seconds = now() - began
    used = sum(psutil.Process(run.process.pid).cpu_times()[:2])
    assert used < 3, f"{used:.1f} s of CPU in {seconds:.1f} s"
    run.wait_for(lambda: "dropped" in run.log())
    assert run.log_path.stat().st_size < 100 * 200 * (seconds + 5)
    wait_children(run, "good", "bad")
    assert [len(run.pids(role)) for role in ("pool", "good", "bad", "1")] == [1, 1, 1, 1]
    code, said = run.stop()
    assert code == 0, said[-2000:]
    assert "capture bad: " in said
    assert "no progress" not in said
    run.assert_clean()
