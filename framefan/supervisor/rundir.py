"""RUN_DIR: one private folder per named run, owned through a lock that dies with its holder.

1. The folder has mode 0700 and belongs to this user; any other folder there is refused. (In /tmp
   any user may have created it.)
2. The lock is an flock on `RUN_DIR/lock`. The kernel drops it however its holder ends, so a file
   left behind by kill -9 blocks no later run. The file contains the holder's pid, for people.
3. Files of an earlier run are removed only while the lock is held.
4. On release the lock file is removed while it is still locked, then the folder. A process that
   opened the file before that may get a lock on a file without a name. So after locking, each
   process compares the locked descriptor with the path, and tries again if they differ. (Without
   this comparison two runs could hold "the" lock at once.)
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from framefan.base import clock
from framefan.errors import RunError, StartError
from framefan.settings.run import run_dir, run_root

if TYPE_CHECKING:
    from types import TracebackType

LOCK = "lock"
DEFAULT = "default"
_OF_ONCE = re.compile(r"once-\d+")
"""The names of runs that `framefan once` starts."""
_SHOWN = 5
_PATIENCE_S = 0.3
"""`framefan status` holds a lock briefly to probe it; a start that collides with it retries."""


class FolderGone(RunError):
    """The folder of a live run was removed."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"the run's folder {path} was removed",
            "a user or a cleaner of temporary files has deleted it",
            "set XDG_RUNTIME_DIR to a folder that is not cleaned up",
        )


class RunDir:
    """The folder of one run, locked; use as a context, which removes it at the end."""

    def __init__(self, name: str) -> None:
        """Raises StartError if the name is in use or the folder is not private."""
        self.path = run_dir(name)
        self._fd = _lock(self.path, name)
        try:
            self._empty()
            os.ftruncate(self._fd, 0)
            os.write(self._fd, f"{os.getpid()}\n".encode())
        except OSError as error:  # such as a full disk
            self.close()
            raise _no_use(self.path, error) from error

    def __enter__(self) -> RunDir:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def is_ours(self) -> bool:
        """Whether the folder still exists and its lock is ours."""
        return _is(self._fd, self.path / LOCK)

    def _empty(self) -> None:
        for entry in self.path.iterdir():
            if entry.name == LOCK:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def close(self) -> None:
        """Remove sockets, lock and folder, unless the folder is no longer ours: after somebody
        removed it, another run of the same name may have created its own.
        """
        with contextlib.suppress(OSError):
            if self.is_ours():
                self._empty()
                (self.path / LOCK).unlink()
                self.path.rmdir()
        os.close(self._fd)


def _lock(path: Path, name: str) -> int:
    deadline = clock.now() + _PATIENCE_S
    while True:
        _make_private(path)
        try:
            fd = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:  # the previous run has just removed the folder
            continue
        except OSError as error:
            raise _no_use(path / LOCK, error) from error
        if _try(fd, fcntl.LOCK_EX):
            if _is(fd, path / LOCK):
                return fd
            os.close(fd)
            continue
        os.close(fd)
        if clock.now() > deadline:
            raise _taken(path, name)
        threading.Event().wait(0.02)


def _try(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except OSError:
        return False


def _taken(path: Path, name: str) -> StartError:
    pid = holder(path)
    return StartError(
        f'a run named "{name}" is already running, pid {pid or "unknown"}',
        f"it holds the lock {path / LOCK}",
        f"stop it (kill {pid or 'PID'}), or choose another name: --name {name}2",
    )


def holder(path: Path) -> int | None:
    """The pid that the lock file of the run in `path` names."""
    try:
        return int((path / LOCK).read_text())
    except (OSError, ValueError):
        return None


def _make_private(path: Path) -> None:
    """Create the folder and framefan's folders above it; refuse any that we do not own."""
    root = run_root()
    ours = [root, path]
    if not os.environ.get("XDG_RUNTIME_DIR"):
        ours.insert(0, root.parent)
    for folder in ours:
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            facts = folder.lstat()
        except FileNotFoundError as error:
            if folder is path:
                continue  # removed between the two calls: the caller tries again
            raise StartError(
                f"the run's folder {folder} cannot be created",
                f"{folder.parent} does not exist",
                f"mkdir -p -m 700 {folder.parent}, or unset XDG_RUNTIME_DIR",
            ) from error
        except OSError as error:
            raise _no_use(folder, error) from error
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid():
            raise _unusable(folder, "it is not a folder of this user: another user created it")
        if facts.st_mode & 0o077:
            raise _unusable(folder, f"other users can read it (mode {facts.st_mode & 0o777:o})")


def _unusable(path: Path, why: str) -> StartError:
    return StartError(
        f"the run's folder {path} cannot be used",
        why,
        "remove it, or set XDG_RUNTIME_DIR to a folder of your own with mode 700",
    )


def _no_use(path: Path, error: OSError) -> StartError:
    """The error for a folder that cannot be used, and that removing would not fix."""
    return StartError(
        f"the run's folder {path} cannot be used",
        error.strerror or str(error),
        "use a folder of your own: mkdir -m 700 ~/run; export XDG_RUNTIME_DIR=~/run",
    )


def is_running(path: Path) -> bool:
    """Whether a process holds the lock of the run in `path`."""
    try:
        fd = os.open(path / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _try(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)


def running() -> list[str]:
    """The names of this user's live runs, without those of `framefan once`."""
    try:
        folders = sorted(run_root().iterdir())
    except OSError:
        return []
    names = [folder.name for folder in folders if is_running(folder)]
    return [name for name in names if not _OF_ONCE.fullmatch(name)]


def meant(name: str | None, command: str) -> str:
    """The run of that name; without a name, the run `default`, or else the only live run.

    `command` is the command line that the error advises, with `--name` added. Raises RunError if
    that run does not exist, or if several runs are possible.
    """
    chosen = name or DEFAULT
    if is_running(run_dir(chosen)):
        return chosen
    others = running()
    if name is None and len(others) == 1:
        return others[0]
    raise not_running(chosen, command)


def not_running(name: str, command: str = "framefan status") -> RunError:
    """The error for a run whose lock nobody holds."""
    others = running()
    if others:
        return RunError(
            f'no run is named "{name}"',
            f"running: {', '.join(others)}",
            " or ".join(f"{command} --name {other}" for other in others[:_SHOWN]),
        )
    return RunError(
        f'no run is named "{name}"', "no framefan of this user is running", "start it: framefan run"
    )
