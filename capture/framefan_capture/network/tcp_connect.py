"""Connects to a camera over TCP within a time limit, or raises why that fails.

The system's name resolution has no time limit, so it runs in a thread, which is abandoned if it
takes too long. A later request for the same name waits for the same thread.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from framefan.base import clock
from framefan.errors import SourceError

if TYPE_CHECKING:
    from framefan.settings.source_url import SourceUrl

_AWAY = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ETIMEDOUT)
"""The host does not answer at all: the system gave up before our time limit."""

_MOST_LOOKUPS = 16
Address = tuple[int, Any]
"""Family and socket address, which holds an IPv6 address's zone."""
_lookups: dict[tuple[str, int], Future[list[Address]]] = {}
"""The running look-ups. They are limited, because a camera may redirect to many dead names."""


def check_reachable(url: SourceUrl, timeout_s: float) -> None:
    """Raises SourceError (dns, refused, timeout or unknown) unless the port takes a connection."""
    connect(url, timeout_s).close()


def connect(url: SourceUrl, timeout_s: float) -> socket.socket:
    """Connect. Raises SourceError (dns, refused, timeout or unknown)."""
    host, port = url.host, url.port
    until = clock.now() + timeout_s
    addresses = _addresses(host, port, timeout_s)
    try:
        return _first_that_answers(addresses, until)
    except ConnectionRefusedError as error:
        raise SourceError(
            "refused",
            f"{host} refused the connection on port {port}",
            "nothing listens there",
            "check the port, and that the camera's service is on",
        ) from error
    except OSError as error:
        why = error.strerror or type(error).__name__
        if isinstance(error, TimeoutError) or error.errno in _AWAY:
            raise SourceError(
                "timeout",
                f"{host} does not answer on port {port}",
                why if error.errno in _AWAY else f"nothing came within {timeout_s:g} s",
                "check that the camera is on and reachable from here",
            ) from error
        raise SourceError(
            "unknown",
            f"{host}:{port} cannot be reached",
            why,
            "check the address, and the network of this machine",
        ) from error


def _first_that_answers(addresses: list[Address], until: float) -> socket.socket:
    """Connect to the first address that answers; each gets a share of the time.

    Raises the OSError of the last one.
    """
    for at, address in enumerate(addresses[:-1]):
        share_s = max(0.0, until - clock.now()) / (len(addresses) - at)
        with contextlib.suppress(OSError):
            return _connected(address, clock.now() + share_s)
    return _connected(addresses[-1], until)


def _connected(address: Address, until: float) -> socket.socket:
    family, place = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # 0 would make the socket non-blocking.
        sock.settimeout(max(0.01, until - clock.now()))
        sock.connect(place)
    except OSError:
        sock.close()
        raise
    return sock


def _addresses(host: str, port: int, timeout_s: float) -> list[Address]:
    """Look the host up. Raises SourceError("dns")."""
    lookup = _lookups.get((host, port)) or _begun(host, port)
    try:
        return lookup.result(timeout_s)
    except TimeoutError:
        why = f"no name server answered within {timeout_s:g} s"
    except (OSError, ValueError) as error:  # ValueError: no name can be spelt like this
        why = getattr(error, "strerror", "") or "it is no name that a host can have"
    raise SourceError(
        "dns",
        f'there is no host called "{host}"' if lookup.done() else f'"{host}" cannot be looked up',
        why,
        "check the name, or use the camera's IP address",
    )


def _begun(host: str, port: int) -> Future[list[Address]]:
    lookup: Future[list[Address]] = Future()
    if len(_lookups) < _MOST_LOOKUPS:
        _lookups[host, port] = lookup
        threading.Thread(target=_look_up, args=(host, port, lookup), daemon=True).start()
    else:
        lookup.set_exception(OSError(0, "too many names are being looked up"))
    return lookup


def _look_up(host: str, port: int, lookup: Future[list[Address]]) -> None:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as error:
        _lookups.pop((host, port), None)  # before the result, so that later requests retry
        lookup.set_exception(error)
    else:
        _lookups.pop((host, port), None)
        lookup.set_result([(int(family), place) for family, _, _, _, place in found])
