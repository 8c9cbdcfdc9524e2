"""The list of clients that `/api/clients` shows, written a slice at a time."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from websockets.http11 import Request

    from framefan_gateway.delivery.subscribers import Client
    from framefan_gateway.delivery.subscription import Subscription

SLICE = 100
"""Clients between two turns of the loop: 2 to 3 ms."""
_AGENT_CHARACTERS = 120


class ClientFacts(Struct, kw_only=True):
    """One client as of now: offered = sent + missed (by cause) + pending."""

    id: str
    remote: str
    subscription: dict[str, Any]
    offered: int
    sent: int
    missed: int
    missed_by: dict[str, int]
    pending: int
    bytes: int
    lag_s: float
    """For how long its line has been full; 0: it is free."""
    connected_s: float
    gateway: int = 1
    """Where it is connected."""
    user_agent: str = ""


class Connected(Protocol):
    """What the list needs of a connection."""

    @property
    def id(self) -> object: ...

    @property
    def remote_address(self) -> Any: ...

    @property
    def request(self) -> Request | None: ...

    @property
    def client(self) -> Client | None:
        """None before it joined the hub, and after it left."""

    @property
    def joined_at(self) -> float: ...

    @property
    def full_since(self) -> float | None:
        """None while its line is free."""


def facts(connections: Iterable[Connected], now: float, gateway: int = 1) -> Iterator[ClientFacts]:
    """Those of all connections that are clients by the time it is their turn."""
    told: dict[Subscription, dict[str, Any]] = {}
    for connection in connections:
        client = connection.client
        if client is None:
            continue
        subscription = told.get(client.subscription)
        if subscription is None:
            subscription = told[client.subscription] = client.subscription.to_dict()
        account = client.cursor.account()
        full_since = connection.full_since
        yield ClientFacts(
            id=str(connection.id),
            remote=_address(connection.remote_address),
            subscription=subscription,
            offered=account.offered,
            sent=account.sent,
            missed=account.missed,
            missed_by=account.missed_by.by_cause(),
            pending=account.pending,
            bytes=account.bytes,
            lag_s=0.0 if full_since is None else round(max(now - full_since, 0.0), 3),
            gateway=gateway,
            connected_s=round(max(now - connection.joined_at, 0.0), 3),
            user_agent=_agent(connection.request),
        )


def _address(address: Any) -> str:
    """Host and port, whatever the family; of a Unix socket nothing."""
    if not isinstance(address, tuple) or len(address) < 2:
        return ""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


def _agent(request: Request | None) -> str:
    """What the client calls itself, unless it is doubled or longer than a line."""
    names = [] if request is None else request.headers.get_all("User-Agent")
    return names[0] if len(names) == 1 and len(names[0]) <= _AGENT_CHARACTERS else ""


def rows(clients: Iterable[ClientFacts]) -> Iterator[bytes]:
    """Clients as JSON, in slices: objects with commas between them."""
    encode, waiting = msgspec.json.Encoder().encode, iter(clients)
    while some := list(islice(waiting, SLICE)):
        yield encode(some)[1:-1]


def whole(rows: Iterable[bytes], missing: list[int]) -> bytes:
    """One JSON object of all clients; `missing`: gateways that did not answer."""
    more = b',"missing":' + msgspec.json.encode(missing) if missing else b""
    return b'{"clients":[' + b",".join(rows) + b"]" + more + b"}"
