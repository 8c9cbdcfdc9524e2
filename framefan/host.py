"""The seam to the operating system: what differs between Linux and macOS stands here alone."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import resource
import signal
import sys
import tempfile
import threading
from pathlib import Path

LINUX = sys.platform == "linux"
_PR_SET_PDEATHSIG = 1


def anonymous_file(name: str, size: int, grows: bool = False) -> int:
    """A descriptor of `size` bytes of memory that has no name another process could find or leak.

    The pages are reserved now: a full machine answers ENOSPC or ENOMEM here and not SIGBUS at the
    first touch. On Linux it is a memfd sealed against resizing, but for growing where it `grows`;
    elsewhere an unlinked file.

    Raises OSError.
    """
    if not LINUX:
        fd, path = tempfile.mkstemp(prefix=name)
        Path(path).unlink()
        os.ftruncate(fd, size)
        return fd
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.posix_fallocate(fd, 0, size)
        seals = fcntl.F_SEAL_SHRINK | (0 if grows else fcntl.F_SEAL_GROW) | fcntl.F_SEAL_SEAL
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    except OSError:
        os.close(fd)
        raise
    return fd


def read_only(fd: int) -> int:
    """A second descriptor of the same memory through which nobody can write it."""
    if not LINUX:
        return os.dup(fd)
    return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)


def available_bytes() -> int:
    """Memory that can be taken without swapping: the machine's, or the cgroup's if that is less."""
    try:
        text = Path("/proc/meminfo").read_text()
        machine = int(text.split("MemAvailable:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        # Pages of files that were read count as used, but give way when memory is asked for.
        cached = int((group / "memory.stat").read_text().split("\ninactive_file ")[1].split()[0])
        return min(machine, limit - used + cached)
    except (OSError, ValueError, IndexError):  # no cgroup, or the limit is the word "max"
        return machine


def resident_bytes(pid: int) -> int | None:
    """What a process has in RAM, shared memory included; None if there is no such process."""
    if not LINUX:
        import psutil

        try:
            return int(psutil.Process(pid).memory_info().rss)
        except (psutil.Error, ValueError):
            return None
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") or None  # a process that has died but is not buried


def own_bytes(pid: int) -> int:
    """What a process alone has in RAM: without shared memory and files. 0 if there is no such."""
    if not LINUX:
        return resident_bytes(pid) or 0
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
        return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def die_with_parent(parent: int) -> None:
    """End this process by SIGKILL when its parent ends, however it ends.

    The kernel sends it when the *thread* that spawned us ends, so parents spawn from their main
    thread. A parent that died before this call is noticed by comparing its pid.
    """
    if LINUX:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    else:
        threading.Thread(target=_kill_when_orphaned, args=(parent,), daemon=True).start()
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _kill_when_orphaned(parent: int) -> None:
    beat = threading.Event()
    while os.getppid() == parent:
        beat.wait(0.5)
    os.kill(os.getpid(), signal.SIGKILL)


SPARE_DESCRIPTORS = 128
"""What a gateway keeps for itself; the rest is for clients."""


def raise_descriptor_limit() -> int:
    """Lift the soft limit of open descriptors to the hard one; returns what holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return soft


def descriptor_limit() -> int:
    """How many descriptors a process here may open once it has raised its soft limit."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def soft_limit(name: str) -> int | None:
    """What `ulimit` says of RLIMIT_`name` now; None: unlimited, or no such limit here."""
    number = getattr(resource, f"RLIMIT_{name}", None)
    soft = resource.RLIM_INFINITY if number is None else resource.getrlimit(number)[0]
    return None if soft == resource.RLIM_INFINITY else soft


def cores() -> int:
    """Those that this process may use."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return found or 1


def thread_room() -> int | None:
    """How many processes and threads this user may still start; None: as many as it likes."""
    if not LINUX:
        return None
    rooms = []
    with contextlib.suppress(OSError, ValueError):  # no cgroup, or the limit is the word "max"
        group = Path("/sys/fs/cgroup")
        most = int((group / "pids.max").read_text())
        rooms.append(most - int((group / "pids.current").read_text()))
    most_of_user = soft_limit("NPROC")
    if os.getuid() and most_of_user is not None:  # root is not held to it
        rooms.append(most_of_user - _threads_of_user(os.getuid()))
    return max(0, min(rooms)) if rooms else None


def _threads_of_user(uid: int) -> int:
    found = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if process.stat().st_uid == uid:
                found += sum(1 for _ in (process / "task").iterdir())
    return found
