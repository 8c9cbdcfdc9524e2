"""Access to the operating system: the only module that treats Linux and macOS differently.

Linux is the tested platform. Where macOS lacks something, these functions do without it.
"""

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
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")


def anonymous_file(name: str, size: int, grows: bool = False) -> int:
    """A descriptor of `size` bytes of memory, without a name that a process could find or leak.

    On Linux it is a memfd that is sealed against resizing; with `grows` it may grow. Its pages are
    reserved now, so that a lack of memory shows here as ENOSPC or ENOMEM and not as SIGBUS at the
    first access. On other systems it is an unlinked file.

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
    """A second, read-only descriptor of the same memory (on macOS only a duplicate)."""
    if not LINUX:
        return os.dup(fd)
    return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)


def available_bytes() -> int:
    """Memory available without swapping: the machine's, or the cgroup's if that is less."""
    try:
        text = Path("/proc/meminfo").read_text()
        machine = int(text.split("MemAvailable:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    rooms = [machine]
    for group in cgroups("memory"):
        with contextlib.suppress(OSError, ValueError, IndexError):  # no limit here: "max"
            limit, used = _first(group, "memory.max", "memory.limit_in_bytes"), _memory_used(group)
            rooms.append(int(limit) - used)
    return max(0, min(rooms))


def _memory_used(group: Path) -> int:
    """Memory that the cgroup uses, without cached file pages, which the kernel can reclaim."""
    used = int(_first(group, "memory.current", "memory.usage_in_bytes"))
    stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    return used - int(stat.get("total_inactive_file", stat.get("inactive_file", 0)))


def cgroups(controller: str, root: Path = _CGROUPS, own: Path = _OWN_CGROUPS) -> list[Path]:
    """The folders of this process's cgroups, from its own up to the root; each may have a limit.

    They are those of cgroups version 2, or those of `controller` in version 1.
    """
    found: list[Path] = []
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        _, names, path = line.split(":", 2)
        if names and controller not in names.split(","):
            continue
        top = root / controller if names else root
        below = top / path.lstrip("/")
        # In a container the path may be the host's; our own folder then is the root.
        chain = [below, *below.parents] if below.is_dir() else [top]
        found += [each for each in chain if each == top or top in each.parents]
    return found


def _first(group: Path, *names: str) -> str:
    """The content of the first of these files that exists. Raises OSError if none does."""
    for name in names[:-1]:
        if (group / name).exists():
            return (group / name).read_text()
    return (group / names[-1]).read_text()


def resident_bytes(pid: int) -> int | None:
    """The RAM of a process, including shared memory; None if there is no such process."""
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
    """The RAM of a process without shared memory and files; 0 if there is no such process."""
    if not LINUX:
        return resident_bytes(pid) or 0
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
        return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def own_status(*keys: str) -> dict[str, int]:
    """Numbers of this process by their keys in /proc/self/status, such as Threads; else 0."""
    found = dict.fromkeys(keys, 0)
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            key, _, value = line.partition(":")
            if key in found:
                found[key] = int(value.split()[0])
    return found


def cpu_s(pid: int) -> float:
    """The CPU time of a process in seconds; 0 if there is no such process."""
    if not LINUX:
        import psutil

        try:
            times = psutil.Process(pid).cpu_times()
        except (psutil.Error, ValueError):
            return 0.0
        return float(times.user + times.system)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def die_with_parent(parent: int) -> None:
    """Have this process killed with SIGKILL when its parent ends for any reason.

    The kernel sends the signal when the *thread* that started us ends, so parents start children
    from their main thread. To notice a parent that died before this call, its pid is compared.
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
"""Descriptors that a gateway reserves for itself; all others are for clients."""


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open descriptors to the hard limit. Returns the limit in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(ValueError, OSError):  # macOS has a limit below its "unlimited"
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return soft


def descriptor_limit() -> int:
    """How many descriptors a process may open after it has raised its soft limit."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def soft_limit(name: str) -> int | None:
    """The soft limit RLIMIT_`name`; None: unlimited, or this system has no such limit."""
    number = getattr(resource, f"RLIMIT_{name}", None)
    soft = resource.RLIM_INFINITY if number is None else resource.getrlimit(number)[0]
    return None if soft == resource.RLIM_INFINITY else soft


def cores() -> int:
    """The number of CPU cores that this process may use."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return found or 1


def thread_room() -> int | None:
    """How many more processes and threads this user may start; None: no limit."""
    if not LINUX:
        return None
    rooms = []
    for group in cgroups("pids"):
        with contextlib.suppress(OSError, ValueError):  # no limit here: "max"
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
