"""The seam to the operating system."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from framefan.base import host

ORPHAN = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", '''
import os, sys, time
from framefan.base import host
host.die_with_parent(int(sys.argv[1]))
print(os.getpid(), flush=True)
time.sleep(60)
''', str(os.getpid() + int(sys.argv[1]))])
child.wait()
"""


def _gone(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_child_dies_with_its_parent_even_when_that_is_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", ORPHAN, "0"], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 5
    while not _gone(pid):
        assert time.monotonic() < deadline
    parent.stdout.close()


def test_a_child_whose_parent_is_another_by_now_ends_at_once() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", ORPHAN, "1"], stdout=subprocess.PIPE, text=True
    )
    said, _ = parent.communicate(timeout=10)
    assert said == ""


@pytest.mark.skipif(not host.LINUX, reason="memfd")
def test_memory_has_no_name_and_its_pages_are_reserved() -> None:
    fd = host.anonymous_file("framefan-test", 1 << 20)
    facts = os.fstat(fd)
    assert facts.st_size == 1 << 20
    assert facts.st_blocks * 512 >= 1 << 20
    assert not os.get_inheritable(fd)
    os.close(fd)


def test_memory_that_cannot_be_had_leaks_no_descriptor(monkeypatch) -> None:
    def refuse(fd: int, offset: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError):
        host.anonymous_file("framefan-test", 1 << 20)
    assert len(os.listdir("/proc/self/fd")) == before


def test_available_bytes_is_a_sane_number() -> None:
    assert 1 << 20 < host.available_bytes() < 1 << 50


def test_the_descriptor_limit_is_raised_to_the_hard_one() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        assert host.raise_descriptor_limit() == hard == host.descriptor_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_die_with_parent_is_sigkill() -> None:
    parent = subprocess.run(
        [sys.executable, "-c", "from framefan.base import host; host.die_with_parent(1 << 22)"],
        check=False,
    )
    assert parent.returncode == -signal.SIGKILL


def test_limits_of_the_shell() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert host.soft_limit("NOFILE") == soft
    assert host.soft_limit("NO_SUCH_THING") is None
    assert host.cores() >= 1


@pytest.mark.skipif(not host.LINUX, reason="Linux counts threads")
def test_room_for_threads_counts_those_that_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.os, "getuid", lambda: 4242)  # root is not held to it
    monkeypatch.setattr(host, "soft_limit", {"NPROC": 100}.get)
    monkeypatch.setattr(host, "_threads_of_user", {4242: 30}.get)
    room = host.thread_room()
    assert room is not None
    assert room <= 70
    monkeypatch.setattr(host, "_threads_of_user", {4242: 300}.get)
    assert host.thread_room() == 0


@pytest.mark.skipif(not host.LINUX, reason="reads /proc")
def test_threads_of_a_user_are_counted() -> None:
    gate = threading.Event()
    others = [threading.Thread(target=gate.wait) for _ in range(20)]
    before = host._threads_of_user(os.getuid())
    for each in others:
        each.start()
    after = host._threads_of_user(os.getuid())
    gate.set()
    assert before >= 1
    assert after >= 21


V2 = "0::/user.slice/app.service\n"
V1 = "11:pids:/app\n9:memory:/app/worker\n3:cpu,cpuacct:/\n"


@pytest.mark.parametrize(
    ("own", "controller", "there", "expected"),
    [
        (V2, "memory", "user.slice/app.service", ["user.slice/app.service", "user.slice", ""]),
        (V2, "memory", "", [""]),  # in a container: the path is the host's
        (V1, "memory", "memory/app/worker", ["memory/app/worker", "memory/app", "memory"]),
        (V1, "pids", "pids/app", ["pids/app", "pids"]),
        (V1, "cpu", "cpu", ["cpu"]),
        ("", "memory", "", []),
    ],
)
def test_the_groups_that_limit_this_process(
    tmp_path: Path, own: str, controller: str, there: str, expected: list[str]
) -> None:
    (tmp_path / there).mkdir(parents=True, exist_ok=True)
    (tmp_path / "own").write_text(own)
    found = host.cgroups(controller, tmp_path, tmp_path / "own")
    assert [str(each.relative_to(tmp_path)).removeprefix(".") for each in found] == expected


def test_the_least_room_of_all_groups_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit, slice_ = tmp_path / "unit", tmp_path / "slice"
    for group, limit in ((unit, "max"), (slice_, "50000000")):
        group.mkdir()
        (group / "memory.max").write_text(f"{limit}\n")
        (group / "memory.current").write_text("30000000\n")
        (group / "memory.stat").write_text("anon 1\ninactive_file 10000000\n")
        (group / "pids.max").write_text("max\n" if limit == "max" else "100\n")
        (group / "pids.current").write_text("40\n")
    monkeypatch.setattr(host, "cgroups", lambda _: [unit, slice_])
    assert host.available_bytes() == 30_000_000
    assert host.thread_room() == 60
