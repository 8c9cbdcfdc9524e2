"""Results at one more place: what `--publish` may name, the keys of who may read, the socket.

The supervisor binds it, like the web's (listen.py), and the pool inherits it: so a taken endpoint
is an error at once, port 0 is chosen once, and while the pool restarts readers wait in the backlog.
A Unix socket's file is of no use once nobody listens; one that a killed run left is replaced.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shlex
import socket
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from framefan import listen
from framefan.errors import StartError, UsageError
from framefan.secret import Secret
from framefan.settings import Keys

if TYPE_CHECKING:
    from collections.abc import Iterator

_TCP = re.compile(r"tcp://(\[[^\[\]]+\]|[^\s:/;\[\]]+):(\d{1,5})")
_IPC = re.compile(r"ipc://([^@*].*)", re.DOTALL)
_KEY = re.compile(r'^\s*(public|secret)-key\s*=\s*"(\S{40})"\s*$', re.MULTILINE)
_PATH_BYTES = 107 - len(".4194304")
"""What the system allows for the path of a Unix socket, less the pid in a name of its own."""
_MAKE = (
    "import os, sys, zmq.auth as a; "
    "[(os.makedirs(d, exist_ok=True), a.create_certificates(d, n)) "
    "for d, n in zip(sys.argv[1::2], sys.argv[2::2]) "
    "if not os.path.exists(f'{d}/{n}.key' + '_secret' * (n == 'server'))]"
)
_MEND = "put the right file there, or take it away"


class Endpoint(NamedTuple):
    """`path` of a Unix socket, or else `host` and `port`."""

    path: Path | None = None
    host: str = ""
    port: int = 0

    @property
    def is_open(self) -> bool:
        """Whether others than this machine's programs may reach it."""
        return not self.path and not listen.is_loopback(self.host)


# ---- what is asked for -----------------------------------------------------------------------


def asked(endpoint: str, keys: str, run_dir: str) -> tuple[str, Keys]:
    """Both options, looked at. Raises UsageError, or StartError where there are no such keys."""
    if not endpoint:
        if keys:
            raise UsageError(
                "--publish-keys without --publish",
                "keys are asked for where results are published",
                "add --publish ENDPOINT, or leave the keys out",
            )
        return "", Keys()
    found = parse(endpoint)
    if found.path and _is_same(found.path.parent, run_dir):
        raise UsageError(
            f"--publish {endpoint} lies in the run's own folder",
            "what is in there is framefan's",
            "choose another path",
        )
    if found.is_open and not keys:
        raise UsageError(
            f"--publish {endpoint} without keys",
            "whoever reaches this machine could read the cameras' results",
            "add --publish-keys FOLDER (docs/bus.md tells how to make one), "
            f"or publish at tcp://127.0.0.1:{found.port}",
        )
    return endpoint, read_keys(keys) if keys else Keys()


def _is_same(folder: Path, other: str) -> bool:
    try:
        return folder.resolve() == Path(other).resolve()
    except (OSError, RuntimeError):  # a loop of links, which can be bound no more than looked at
        return False


def parse(text: str) -> Endpoint:
    """Raises UsageError for what is neither `ipc://PATH` nor `tcp://HOST:PORT`."""
    if found := _IPC.fullmatch(text):
        path = Path(found[1]).absolute()
        if len(os.fsencode(path)) > _PATH_BYTES or "\0" in text:
            raise _malformed(text, f"a Unix socket's path has {_PATH_BYTES} bytes at most")
        return Endpoint(path=path)
    if found := _TCP.fullmatch(text):
        if (port := int(found[2])) > 65535:
            raise _malformed(text, "a port lies between 0 and 65535")
        host = found[1].strip("[]")
        return Endpoint(host="0.0.0.0" if host == "*" else host, port=port)
    raise _malformed(text, "it is neither a Unix socket's path nor a host and port")


def _malformed(text: str, why: str) -> UsageError:
    return UsageError(
        f"--publish {text} is no endpoint", why, "write ipc://PATH or tcp://127.0.0.1:5555"
    )


# ---- keys ------------------------------------------------------------------------------------


def read_keys(folder: str) -> Keys:
    """The server's secret key and its readers' public ones. Raises StartError."""
    import zmq

    if not zmq.has("curve"):
        raise StartError(
            "this ZeroMQ knows no keys",
            "its libzmq was built without CURVE",
            f"{sys.executable} -m pip install --force-reinstall --only-binary pyzmq pyzmq",
        )
    clients = Path(folder, "clients")
    both = making((folder, "server"), (str(clients), "reader"))
    try:
        next(Path(folder).iterdir(), None)
    except OSError as error:
        why = error.strerror or str(error)
        raise StartError(f"cannot read the folder of keys {folder}", why, both) from error
    secret = _key(Path(folder, "server.key_secret"), "secret", both)
    one = making((str(clients), "reader"))
    try:
        files = sorted(each for each in clients.iterdir() if each.suffix == ".key")
    except OSError as error:
        raise StartError(f"cannot read {clients}", error.strerror or "", one) from error
    if not files:
        raise StartError(f"{clients} holds no public key (*.key)", "so nobody might read", one)
    return Keys(folder, Secret(secret), tuple(_key(each, "public", one) for each in files))


def making(*pairs: tuple[str, str]) -> str:
    """The command that makes keys: pairs of a folder and a name in it."""
    words = [sys.executable, "-c", _MAKE, *(word for pair in pairs for word in pair)]
    return f"make them: (umask 077; {shlex.join(words)})"


def _key(path: Path, which: str, missing: str) -> str:
    """`missing`: what to do where there is no such file. New keys never take an old one's place."""
    import zmq

    try:
        found = dict(_KEY.findall(path.read_text(errors="replace")))
    except FileNotFoundError as error:
        raise StartError(f"cannot read the key {path}", "there is no such file", missing) from error
    except OSError as error:
        raise StartError(f"cannot read the key {path}", error.strerror or "", _MEND) from error
    try:
        zmq.curve_public(found[which].encode())  # libzmq's own check that it is a key
    except (KeyError, ValueError, zmq.ZMQError):
        raise StartError(
            f"{path} holds no {which} key", "it is no CURVE certificate", _MEND
        ) from None
    return str(found[which])


# ---- the socket ------------------------------------------------------------------------------


class Outlet:
    """The listening socket, and its endpoint as readers write it."""

    def __init__(self, text: str) -> None:
        """Bind it. Raises StartError."""
        asked_for = parse(text)
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

    def __enter__(self) -> Outlet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave no file, unless it is somebody else's by now."""
        self._sock.close()
        if self._file:
            path, device, inode = self._file
            with contextlib.suppress(OSError):
                facts = path.lstat()
                if (facts.st_dev, facts.st_ino) == (device, inode):
                    path.unlink()


def _tcp(asked_for: Endpoint, text: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in asked_for.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((_address(asked_for.host), asked_for.port))
        sock.listen(listen.BACKLOG)  # of two that bind at one moment, the second is refused here
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise _taken(text, listen.holder(asked_for.port)) from error
        raise _unusable(text, error.strerror or str(error)) from error
    return sock


def _address(host: str) -> str:
    """ZeroMQ lets an interface's name stand for its address."""
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
            sock.listen(listen.BACKLOG)
            with _alone_in(path.parent, text):
                if _is_left_over(path, text):
                    path.unlink()
                os.link(draft, path)  # it is there only once somebody listens
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
    """Of two runs that find the same socket left over, one must not remove the other's new one.

    Raises StartError while another one is at it, and OSError where the folder cannot be read.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise _taken(text, "another program that is just starting") from error
    finally:
        os.close(fd)


def _is_left_over(path: Path, text: str) -> bool:
    """Whether a socket's file stands there that nobody listens on. Raises StartError."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISSOCK(mode):
        raise StartError(
            f"cannot publish at {text}", f"{path} is there, and no socket", "choose another path"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return True
        except BlockingIOError:  # so full is its backlog
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
