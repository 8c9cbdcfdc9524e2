"""Why a network camera does not open: questions asked with plain sockets, answered in reason codes.

OpenCV says only that it failed. So before it opens a camera, one TCP connection tells a wrong name,
a closed port and silence apart; and after it failed, one plain request reads the status line. No
text made here holds a user name or password.
"""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from framefan.errors import SourceError, UsageError
from framefan.sources import mask_source

if TYPE_CHECKING:
    from urllib.parse import SplitResult

_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}


def check_url(url: str) -> None:
    """Raises UsageError unless the URL names a host, and a port that can be."""
    try:
        whole = bool(urlsplit(url).hostname) and urlsplit(url).port != 0
    except ValueError:
        whole = False
    if not whole:
        raise UsageError(
            f'"{mask_source(url)}" is no complete address',
            "it names no host, or no port from 1 to 65535",
            "write it as rtsp://user:password@host:port/path, with special characters as %XX",
        )


def check_reachable(url: str, timeout_s: float) -> None:
    """Raises SourceError (dns, refused, timeout or unknown) unless the port takes a connection."""
    _connect(url, timeout_s).close()


def explain(url: str, timeout_s: float) -> SourceError | None:
    """What the camera itself says against a plain request; None when it says nothing telling."""
    try:
        status = _ask(url, timeout_s)
    except SourceError as error:
        return error
    shown = mask_source(url)
    if status in (401, 403):
        return SourceError(
            "unauthorised",
            f"{shown} did not let framefan in",
            f"it answered {status}",
            "check the user name and password in the URL",
        )
    if status == 404:
        return SourceError(
            "not_found",
            f"{shown} does not exist on that camera",
            "it answered 404",
            "check the path in the URL",
        )
    return None


def _connect(url: str, timeout_s: float) -> socket.socket:
    parts = urlsplit(url)
    host, port = _address(parts)
    try:
        return socket.create_connection((host, port), timeout_s)
    except socket.gaierror as error:
        raise SourceError(
            "dns",
            f'there is no host called "{host}"',
            error.strerror or "the name server does not know it",
            "check the name, or use the camera's IP address",
        ) from error
    except ConnectionRefusedError as error:
        raise SourceError(
            "refused",
            f"{host} takes no connection on port {port}",
            "the connection was refused",
            "check the port, and that the camera's service is on",
        ) from error
    except TimeoutError as error:
        raise SourceError(
            "timeout",
            f"{host} does not answer on port {port}",
            f"nothing came within {timeout_s:g} s",
            "check that the camera is on and reachable from here",
        ) from error
    except OSError as error:
        raise SourceError(
            "unknown", f"{host}:{port} cannot be reached", error.strerror or type(error).__name__
        ) from error


def _address(parts: SplitResult) -> tuple[str, int]:
    return parts.hostname or "", parts.port or _PORTS[parts.scheme.lower()]


def _ask(url: str, timeout_s: float) -> int | None:
    parts = urlsplit(url)
    sock = _connect(url, timeout_s)
    with contextlib.closing(sock), contextlib.suppress(OSError, ValueError, IndexError):
        if parts.scheme.lower() in ("https", "rtsps"):
            sock = ssl.create_default_context().wrap_socket(sock, server_hostname=parts.hostname)
        sock.settimeout(timeout_s)
        sock.sendall(_request(parts))
        # b"HTTP/1.1 401 Unauthorized" or b"RTSP/1.0 401 Unauthorized"
        return int(sock.recv(64).split(None, 2)[1])
    return None


def _request(parts: SplitResult) -> bytes:
    host, port = _address(parts)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme.lower() in ("rtsp", "rtsps"):
        lines = [f"DESCRIBE {parts.scheme}://{host}:{port}{path} RTSP/1.0", "CSeq: 1"]
    else:
        lines = [f"GET {path} HTTP/1.0", f"Host: {host}:{port}"]
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        lines.append(f"Authorization: Basic {base64.b64encode(login.encode()).decode()}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
