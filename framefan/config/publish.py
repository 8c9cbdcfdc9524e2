"""The endpoint of `--publish`: parsing it, and reading the keys of its readers."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from framefan.base import net
from framefan.errors import StartError, UsageError
from framefan.settings.run import Keys
from framefan.settings.secret import Secret

if TYPE_CHECKING:
    pass

_TCP = re.compile(r"tcp://(\[[^\[\]]+\]|[^\s:/;\[\]]+):(\d{1,5})")
_IPC = re.compile(r"ipc://([^@*].*)", re.DOTALL)
_KEY = re.compile(r'^\s*(public|secret)-key\s*=\s*"(\S{40})"\s*$', re.MULTILINE)
_PATH_BYTES = 107 - len(".4194304")
"""The longest path of a Unix socket, minus the suffix with our pid that we append while binding."""
_MAKE = (
    "import os, sys, zmq.auth as a; "
    "[(os.makedirs(d, exist_ok=True), a.create_certificates(d, n)) "
    "for d, n in zip(sys.argv[1::2], sys.argv[2::2]) "
    "if not os.path.exists(f'{d}/{n}.key' + '_secret' * (n == 'server'))]"
)
_FIX = "put the right file there, or remove it"


class Endpoint(NamedTuple):
    """`path` of a Unix socket, or else `host` and `port`."""

    path: Path | None = None
    host: str = ""
    port: int = 0

    @property
    def is_open(self) -> bool:
        """Whether other machines may reach it."""
        return not self.path and not net.is_loopback(self.host)


# ---- the options ------------------------------------------------------------------------------


def checked(endpoint: str, keys: str, run_dir: Path) -> Keys:
    """Check both options; return the keys. Raises UsageError, or StartError for missing keys."""
    if not endpoint:
        if keys:
            raise UsageError(
                "--publish-keys without --publish",
                "the keys are used only where results are published",
                "add --publish ENDPOINT, or remove --publish-keys",
            )
        return Keys()
    found = parse(endpoint)
    if found.path and _is_same(found.path.parent, run_dir):
        raise UsageError(
            f"--publish {endpoint} is in the run's own folder",
            "that folder is only for framefan's own files",
            "choose another path",
        )
    if found.is_open and not keys:
        raise UsageError(
            f"--publish {endpoint} without keys",
            "anyone who can reach this machine could read the cameras' results",
            "add --publish-keys FOLDER (docs/bus.md shows how to make one), "
            f"or publish at tcp://127.0.0.1:{found.port}",
        )
    return read_keys(keys) if keys else Keys()


def _is_same(folder: Path, other: Path) -> bool:
    try:
        return folder.resolve() == other.resolve()
    except (OSError, RuntimeError):  # a loop of links; binding will report it
        return False


def parse(text: str) -> Endpoint:
    """Raises UsageError for text that is neither `ipc://PATH` nor `tcp://HOST:PORT`."""
    if found := _IPC.fullmatch(text):
        path = Path(found[1]).absolute()
        if len(os.fsencode(path)) > _PATH_BYTES or "\0" in text:
            raise _malformed(text, f"a Unix socket's path has {_PATH_BYTES} bytes at most")
        return Endpoint(path=path)
    if found := _TCP.fullmatch(text):
        if (port := int(found[2])) > 65535:
            raise _malformed(text, "a port is between 0 and 65535")
        host = found[1].strip("[]")
        return Endpoint(host="0.0.0.0" if host == "*" else host, port=port)
    raise _malformed(text, "it is neither a Unix socket's path nor a host and port")


def _malformed(text: str, why: str) -> UsageError:
    return UsageError(
        f"--publish {text} is not an endpoint", why, "write ipc://PATH or tcp://127.0.0.1:5555"
    )


# ---- keys ------------------------------------------------------------------------------------


def read_keys(folder: str) -> Keys:
    """The server's secret key and its readers' public ones. Raises StartError."""
    import zmq

    if not zmq.has("curve"):
        raise StartError(
            "this ZeroMQ does not support keys",
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
        raise StartError(f"{clients} contains no public key (*.key)", "so nobody could read", one)
    return Keys(folder, Secret(secret), tuple(_key(each, "public", one) for each in files))


def making(*pairs: tuple[str, str]) -> str:
    """The command that makes keys; each pair is a folder and a name in it."""
    words = [sys.executable, "-c", _MAKE, *(word for pair in pairs for word in pair)]
    return f"make them: (umask 077; {shlex.join(words)})"


def _key(path: Path, which: str, missing: str) -> str:
    """`missing`: what to do if the file does not exist. New keys never replace old ones."""
    import zmq

    try:
        found = dict(_KEY.findall(path.read_text(errors="replace")))
    except FileNotFoundError as error:
        raise StartError(f"cannot read the key {path}", "there is no such file", missing) from error
    except OSError as error:
        raise StartError(f"cannot read the key {path}", error.strerror or "", _FIX) from error
    try:
        zmq.curve_public(found[which].encode())  # raises an error if it is not a key
    except (KeyError, ValueError, zmq.ZMQError):
        raise StartError(
            f"{path} contains no {which} key", "it is not a CURVE certificate", _FIX
        ) from None
    return str(found[which])
