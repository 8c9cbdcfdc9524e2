"""The supervisor over real processes that play parts (tests/fake_stage.py)."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import time

import pytest
from staged_run import Run, alive
from waiting import is_within

SILENCE_S = 2.0
"""After it a child counts as hanging, where that is what a test is about."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_one_signal_is_a_clean_end(start, number) -> None:
    run = start().ready()
    run.process.send_signal(number)
    code, said = run.end()
    assert code == 0, said
    assert "frames captured" in said
    assert "killed" not in said
    run.assert_clean()


def test_ctrl_c_reaches_the_whole_group_and_restarts_nothing(start) -> None:
    run = start().ready()
    os.killpg(run.process.pid, signal.SIGINT)
    code, said = run.end()
    assert code == 0, said
    assert [len(run.pids(role)) for role in ("pool", "demo", "1")] == [1, 1, 1]
    run.assert_clean()


def test_a_signal_while_children_are_born(start) -> None:
    run = start()
    run.wait_for(lambda: run.pids("pool"))
    run.process.send_signal(signal.SIGTERM)
    code, said = run.end()
    assert code == 0, said
    run.assert_clean()


def test_a_killed_child_that_does_not_exit_delays_nothing_and_is_replaced_later(start) -> None:
    """As one that waits in the kernel for a disk."""
    run = start(pool="hang_once", stuck_s=2.0, silence_s=SILENCE_S)
    run.wait_for(lambda: "pool was killed, but the process has not exited yet" in run.log())
    began = time.monotonic()
    run.wait_for(lambda: len(run.pids("pool")) == 2)
    assert time.monotonic() - began > 1.0
    run.wait_for(lambda: "pool died" in run.log())
    assert run.log().count("has not exited yet") == 1
    assert [len(run.pids(role)) for role in ("demo", "1")] == [1, 1]
    run.process.send_signal(signal.SIGTERM)
    code, said = run.end()
    assert code == 0, said


def test_who_does_not_stop_is_killed_and_named(start) -> None:
    run = start(**{"1": "deaf"}).ready()
    run.process.send_signal(signal.SIGTERM)
    code, said = run.end()
    assert code == 0
    assert "gateway 1: did not stop, killed" in said
    run.assert_clean()


def test_a_second_signal_means_now(start) -> None:
    run = start(**{"1": "deaf", "demo": "deaf"}).ready()
    began = time.monotonic()
    run.process.send_signal(signal.SIGTERM)
    run.wait_for(lambda: not alive(run.pids("pool")[0]) and time.monotonic() > began + 0.4)
    run.process.send_signal(signal.SIGTERM)
    assert run.end()[0] == 130
    assert is_within(began, 0.95), "it waited for the grace of 1 s"
    run.assert_clean()


@pytest.mark.parametrize("part", ["crash_once", "hang_once", "garbage"])
@pytest.mark.parametrize("role", ["pool", "demo", "1"])
def test_a_lost_child_comes_back_and_the_others_stay(start, part, role) -> None:
    run = start(**{role: part}, silence_s=SILENCE_S)
    run.wait_for(lambda: len(run.pids(role)) == 2)
    run.ready()
    run.process.send_signal(signal.SIGTERM)
    code, said = run.end()
    assert code == 0, said
    assert "starts again" in said
    for other in {"pool", "demo", "1"} - {role}:
        assert len(run.pids(other)) == 1, f"{other} was restarted too\n{said}"
    run.assert_clean()


def test_a_death_is_seen_while_somebody_holds_the_link_open(start) -> None:
    run = start(demo="heir_once")
    began = time.monotonic()
    run.wait_for(lambda: len(run.pids("demo")) == 2)
    assert is_within(began, 5)
    run.process.send_signal(signal.SIGTERM)
    code, said = run.end()
    assert code == 0
    assert "capture demo died: exit code 7" in said
    assert "no progress" not in said, "seen by its silence only"
    os.kill(int((run.folder / "heir").read_text()), signal.SIGKILL)


def test_a_child_that_never_speaks_is_killed(start) -> None:
    run = start(demo="mute", silence_s=SILENCE_S)
    run.wait_for(lambda: len(run.pids("demo")) == 2)
    assert not alive(run.pids("demo")[0])
    run.process.send_signal(signal.SIGTERM)
    code, said = run.end()
    assert code == 0
    assert f"capture demo: no progress for {SILENCE_S:g} s" in said


def test_an_exit_nobody_asked_for_is_a_death_also_with_code_0(start) -> None:
    run = start(demo="exit0")
    run.wait_for(lambda: len(run.pids("demo")) >= 2)
    run.process.send_signal(signal.SIGTERM)
    assert "capture demo died: exit code 0" in run.end()[1]


def test_a_supervisor_that_was_stopped_kills_nobody(start) -> None:
    run = start(silence_s=SILENCE_S).ready()
    group = [run.process.pid, *(run.pids(role)[0] for role in ("pool", "demo", "1"))]
    for pid in group:
        os.kill(pid, signal.SIGSTOP)
    until = time.monotonic() + SILENCE_S + 1  # longer than any child may be silent
    run.wait_for(lambda: time.monotonic() > until)
    os.kill(run.process.pid, signal.SIGCONT)  # first: it sees nothing but silence
    until = time.monotonic() + 0.3
    run.wait_for(lambda: time.monotonic() > until)
    for pid in group[1:]:
        os.kill(pid, signal.SIGCONT)
    before = len(run.told())
    run.process.send_signal(signal.SIGTERM)
    code, said = run.end()
    assert code == 0, said
    assert "not scheduled for" in said
    assert "no progress" not in said
    assert [len(run.pids(role)) for role in ("pool", "demo", "1")] == [1, 1, 1], before
    run.assert_clean()


def test_the_pool_is_told_of_every_change(start) -> None:
    run = start(demo="crash_once").ready()

    def all_run() -> bool:
        last = run.told()[-1:] or [{"children": []}]
        states = {role: state for role, state, _ in last[0]["children"]}
        return states == {"": "running", "demo": "running", "1": "running"}

    run.wait_for(lambda: len(run.pids("demo")) == 2 and all_run())
    pids = {role: pid for role, _, pid in run.told()[-1]["children"]}
    assert pids["demo"] == run.pids("demo")[1]
    assert run.told()[-1]["url"] == (run.folder / "ready").read_text()
    states = [state for line in run.told() for role, state, _ in line["children"] if role == "demo"]
    assert {"starting", "running", "backoff"} <= set(states)
    assert all(one != other for one, other in itertools.pairwise(run.told())), "no change in it"


def test_a_new_pool_is_told_too(start) -> None:
    run = start().ready()
    run.wait_for(run.told)
    before = len(run.told())
    os.kill(run.pids("pool")[0], signal.SIGKILL)
    run.wait_for(lambda: len(run.told()) > before and len(run.pids("pool")) == 2)
    assert len(run.pids("1")) == 1


def test_fatal_ends_the_run_with_its_code_and_three_lines(start) -> None:
    run = start(pool="fatal")
    code, said = run.end()
    assert code == 3
    assert "framefan: no such thing\n  why: it is not there\n  do:  put it there\n" in said
    run.assert_clean()


def test_fatal_from_a_child_that_was_restarted_ends_nothing(start) -> None:
    run = start(pool="fatal_again").ready()
    run.wait_for(run.told)
    before = len(run.told())
    os.kill(run.pids("pool")[0], signal.SIGKILL)
    run.wait_for(lambda: len(run.pids("pool")) == 2 and len(run.told()) > before)
    run.process.send_signal(signal.SIGTERM)
    code, said = run.end()
    assert code == 0, said
    assert "pool: no such thing" in said
    assert len(run.pids("demo")) == len(run.pids("1")) == 1
    run.assert_clean()


def test_duration_ends_it(start) -> None:
    run = start(duration_s=3.0)
    began = time.monotonic()
    code, said = run.end()
    assert code == 0
    assert "stopping: after 3 s" in said
    assert time.monotonic() - began >= 1.0
    run.assert_clean()


def test_it_ends_when_all_files_have_ended(start) -> None:
    run = start(pool="ends")
    code, said = run.end()
    assert code == 0
    assert "every source has ended" in said
    assert "demo: " in said
    run.assert_clean()


def test_a_second_run_of_the_name_is_refused_and_the_first_unharmed(start) -> None:
    first = start().ready()
    second = start()
    code, said = second.end()
    assert code == 3
    assert f"pid {first.process.pid}" in said
    assert "--name" in said
    with socket.create_connection(_address(first)):
        pass
    first.process.send_signal(signal.SIGTERM)
    assert first.end()[0] == 0
    first.assert_clean()


def test_a_taken_port_is_an_error_at_once(start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        run = start(port=port)
        code, said = run.end()
    assert code == 3
    assert f"port {port} is taken" in said
    assert f"pid {os.getpid()}" in said
    assert not run.pids("pool")
    run.assert_clean()


def test_killed_with_9_leaves_nothing_alive_and_the_next_start_works(start) -> None:
    run = start().ready()
    run.process.kill()
    run.process.wait()
    deadline = time.monotonic() + 2.0
    everyone = [run.pids(role)[0] for role in ("pool", "demo", "1")]
    while any(alive(pid) for pid in everyone):
        assert time.monotonic() < deadline, "children outlived their supervisor"
    (run.folder / "ready").unlink()
    again = start().ready()
    again.process.send_signal(signal.SIGTERM)
    assert again.end()[0] == 0
    again.assert_clean()


def _address(run: Run) -> tuple[str, int]:
    url = (run.folder / "ready").read_text()
    return "127.0.0.1", int(url.rstrip("/").rpartition(":")[2])
