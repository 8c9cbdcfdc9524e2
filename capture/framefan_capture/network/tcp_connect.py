"""A TCP connection to a camera, or the reason why there is none, within a time limit.

The system looks names up without any limit: so that is done in a thread, which is left behind when
it takes too long. Who asks for the same name again waits for that one; there are never two.
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
"""Nobody is there to say that nobody listens: the system gave up, instead of our time limit."""

_MOST_LOOKUPS = 16
Address = tuple[int, Any]
"""Family and socket address, which holds an IPv6 address's zone."""
_lookups: dict[tuple[str, int], Future[list[Address]]] = {}
"""Those under way. A camera may send us from name to name, of which none is answered."""


def check_reachable(url: SourceUrl, timeout_s: float) -> None:
    """Raises SourceError (dns, refused, timeout or unknown) unless the port takes a connection."""
    connect(url, timeout_s).close()


def connect(url: SourceUrl, timeout_s: float) -> socket.socket:
    """Raises SourceError (dns, refused, timeout or unknown)."""
    host, port = url.host, url.port
    until = clock.now() + timeout_s
    addresses = _addresses(host, port, timeout_s)
    try:
        return _first_that_answers(addresses, until)
    except ConnectionRefusedError as error:
        raise SourceError(
            "refused",
            f"{host} takes no connection on port {port}",
            "the connection was refused",
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
    """Each gets its share of the time, so that a dead one leaves some for the others.

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
        # 0 would mean: do not wait, even for this machine.
        sock.settimeout(max(0.01, until - clock.now()))
        sock.connect(place)
    except OSError:
        sock.close()
        raise
    return sock


def _addresses(host: str, port: int, timeout_s: float) -> list[Address]:
    """Raises SourceError("dns")."""
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
        _lookups.pop((host, port), None)  # before the answer: who asks after it asks anew
        lookup.set_exception(error)
    else:
        _lookups.pop((host, port), None)
        lookup.set_result([(int(family), place) for family, _, _, _, place in found])
