"""The listening socket of `--publish`, and its endpoint as readers write it.

The supervisor binds it, like the web's (listen_sockets.py), and the pool inherits it. So an
endpoint in use is an error at once, port 0 is resolved once, and readers wait in the backlog while
the pool restarts. The file of a Unix socket without a listener is useless; one that a killed run
left is replaced.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from framefan.config import publish
from framefan.errors import StartError
from framefan.supervisor import listen_sockets

if TYPE_CHECKING:
    from collections.abc import Iterator


class PublishListener:
    """The listening socket, and its endpoint as readers write it."""

    def __init__(self, text: str) -> None:
        """Bind it. Raises StartError."""
        asked_for = publish.parse(text)
        self._file: tuple[Path, int, int] | None = None
        if asked_for.path:
            self._sock = _unix(asked_for.path, text)
            facts = asked_for.path.lstat()
            self._file = (asked_for.path, facts.st_dev, facts.st_ino)
            self.endpoint = f"ipc://{asked_for.path}"
        else:
            self._sock = _tcp(asked_for, text)
            host, port = self._sock.getsockname()[:2]
            self.endpoint = f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"
        self._sock.setblocking(False)  # libzmq's thread must never wait in accept

    def fileno(self) -> int:
        return self._sock.fileno()

    def __enter__(self) -> PublishListener:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close, and remove the socket file unless it now belongs to another process."""
        self._sock.close()
        if self._file:
            path, device, inode = self._file
            with contextlib.suppress(OSError):
                facts = path.lstat()
                if (facts.st_dev, facts.st_ino) == (device, inode):
                    path.unlink()


def _tcp(asked_for: publish.Endpoint, text: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in asked_for.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((_address(asked_for.host), asked_for.port))
        sock.listen(
            listen_sockets.BACKLOG
        )  # of two that bind at one moment, the second is refused here
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise _taken(text, listen_sockets.holder(asked_for.port)) from error
        raise _unusable(text, error.strerror or str(error)) from error
    return sock


def _address(host: str) -> str:
    """The address of `host`, which in ZeroMQ may also be an interface's name."""
    if any(name == host for _, name in socket.if_nameindex()):
        import psutil

        for each in psutil.net_if_addrs().get(host, ()):
            if each.family == socket.AF_INET:
                return str(each.address)
    return host


def _unix(path: Path, text: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        sock.bind(str(draft))
        try:
            sock.listen(listen_sockets.BACKLOG)
            with _alone_in(path.parent, text):
                if _is_left_over(path, text):
                    path.unlink()
                os.link(draft, path)  # the path exists only once the socket listens
        finally:
            draft.unlink()
    except OSError as error:
        sock.close()
        if error.errno in (errno.EADDRINUSE, errno.EEXIST):
            raise _taken(text, "") from error
        raise _unusable(text, error.strerror or str(error)) from error
    except StartError:
        sock.close()
        raise
    return sock


@contextlib.contextmanager
def _alone_in(folder: Path, text: str) -> Iterator[None]:
    """Only one run at a time replaces leftover sockets in this folder. Otherwise a run could remove
    the new socket of another run.

    Raises StartError while another run does so, and OSError if the folder cannot be read.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise _taken(text, "another program that is starting") from error
    finally:
        os.close(fd)


def _is_left_over(path: Path, text: str) -> bool:
    """Whether `path` is a socket without a listener. Raises StartError."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISSOCK(mode):
        raise StartError(
            f"cannot publish at {text}", f"{path} exists and is not a socket", "choose another path"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return True
        except BlockingIOError:  # its backlog is full, so a process listens
            pass
    raise _taken(text, "")


def _taken(text: str, by: str) -> StartError:
    return StartError(
        f"cannot publish at {text}: it is taken",
        f"{by or 'another program'} listens there",
        "stop it, or choose another endpoint (port 0 takes any free one)",
    )


def _unusable(text: str, why: str) -> StartError:
    return StartError(
        f"cannot publish at {text}",
        why,
        "choose a path in a folder of yours, or an address that `ip addr` shows",
    )
