"""The checks of endpoints in `framefan doctor`: port, folder, token, certificate, `--publish`."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

from framefan.base import certificates, net
from framefan.commands.doctor.findings import Finding, Level, failure
from framefan.errors import FramefanError
from framefan.supervisor import listen_sockets, rundir
from framefan.supervisor.publish_listener import PublishListener

if TYPE_CHECKING:
    from collections.abc import Iterator

    from framefan.settings.run import Settings

_SOON_DAYS = 14


def served(settings: Settings, token_file: str) -> Iterator[Finding]:
    yield port(settings)
    yield folder(settings)
    yield from token(settings, token_file)
    yield from certificate(settings)
    yield from published(settings)


def port(settings: Settings) -> Finding:
    try:
        with listen_sockets.tcp(settings.host, settings.port) as sock:
            number = sock.getsockname()[1]
    except FramefanError as error:
        return failure("port", error)
    return Finding(Level.OK, "port", f"{number} on {settings.host} is free")


def folder(settings: Settings) -> Finding:
    try:
        with rundir.RunDir(settings.name) as place:
            return Finding(Level.OK, "run folder", f"{place.path} can be used")
    except FramefanError as error:
        return failure("run folder", error)


def token(settings: Settings, path: str) -> Iterator[Finding]:
    """`path`: the token file; empty if the token is in the environment, or there is none."""
    if settings.token and path:
        yield _private("token", path)
    if settings.token and not settings.tls_cert and not net.is_loopback(settings.host):
        yield Finding(
            Level.WARN,
            "token",
            f"it crosses the network unencrypted: {settings.host} is served without TLS",
            "add --tls-cert FILE and --tls-key FILE, or serve 127.0.0.1 behind a proxy with TLS",
        )


def _private(subject: str, path: str) -> Finding:
    mode = stat.S_IMODE(Path(path).stat().st_mode)
    if mode & 0o077:
        text = f"other users of this machine may read {path} (mode {mode:o})"
        return Finding(Level.WARN, subject, text, f"chmod 600 {path}")
    return Finding(Level.OK, subject, f"{path} is readable by this user only")


def certificate(settings: Settings) -> Iterator[Finding]:
    if not settings.tls_cert:
        return
    try:
        days = certificates.days_left(settings.tls_cert, settings.tls_key)
    except FramefanError as error:
        yield failure("certificate", error)
        return
    text = f"{settings.tls_cert} is valid for {days:.0f} days"
    soon = days < _SOON_DAYS
    yield Finding(Level.WARN if soon else Level.OK, "certificate", text, "renew it" if soon else "")
    key = _private("key", settings.tls_key)
    if key.level is not Level.OK:
        yield key


def published(settings: Settings) -> Iterator[Finding]:
    """The endpoint and keys of `--publish`; the keys were read with the settings."""
    if not settings.publish:
        return
    try:
        with PublishListener(settings.publish) as listener:
            yield Finding(Level.OK, "publish", f"{listener.endpoint} is free")
    except FramefanError as error:
        yield failure("publish", error)
    keys = settings.publish_keys
    if not keys:
        return
    secret = _private("keys", str(Path(keys.folder, "server.key_secret")))
    if secret.level is not Level.OK:
        yield secret
    readers = "1 reader" if len(keys.readers) == 1 else f"{len(keys.readers)} readers"
    yield Finding(Level.OK, "keys", f"{keys.folder} admits {readers}")
