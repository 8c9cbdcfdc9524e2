"""The list of clients for `/api/clients`, encoded in slices."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from websockets.http11 import Request

    from framefan_gateway.delivery.subscribers import Client
    from framefan_gateway.delivery.subscription import Subscription

SLICE = 100
"""How many clients are encoded at a time, before the event loop runs on: 2 to 3 ms."""
_AGENT_CHARACTERS = 120


class ClientFacts(Struct, kw_only=True):
    """One client as of now: offered = sent + missed (by cause) + pending."""

    id: str
    remote: str
    subscription: dict[str, Any] = field(name="contract")
    """Clients of the API read it under its first name."""
    offered: int
    sent: int
    missed: int
    missed_by: dict[str, int]
    pending: int
    bytes: int
    lag_s: float
    """How long the client has been blocked; 0: it is not."""
    connected_s: float
    gateway: int = 1
    """The number of its gateway."""
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
        """None before the client joined the hub, and after it left."""

    @property
    def joined_at(self) -> float: ...

    @property
    def blocked_since(self) -> float | None:
        """When the client became blocked; None if it is not."""


def facts(connections: Iterable[Connected], now: float, gateway: int = 1) -> Iterator[ClientFacts]:
    """The facts of each connection that is a client when the iterator reaches it."""
    subscriptions: dict[Subscription, dict[str, Any]] = {}
    for connection in connections:
        client = connection.client
        if client is None:
            continue
        subscription = subscriptions.get(client.subscription)
        if subscription is None:
            subscription = client.subscription.to_dict()
            subscriptions[client.subscription] = subscription
        account = client.cursor.account()
        blocked_since = connection.blocked_since
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
            lag_s=0.0 if blocked_since is None else round(max(now - blocked_since, 0.0), 3),
            gateway=gateway,
            connected_s=round(max(now - connection.joined_at, 0.0), 3),
            user_agent=_agent(connection.request),
        )


def _address(address: Any) -> str:
    """Host and port of any address family; empty for a Unix socket."""
    if not isinstance(address, tuple) or len(address) < 2:
        return ""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


def _agent(request: Request | None) -> str:
    """The User-Agent header; empty if there are several, or if it is too long."""
    names = [] if request is None else request.headers.get_all("User-Agent")
    return names[0] if len(names) == 1 and len(names[0]) <= _AGENT_CHARACTERS else ""


def rows(clients: Iterable[ClientFacts]) -> Iterator[bytes]:
    """Encode clients as JSON objects with commas between them, in slices."""
    encode, waiting = msgspec.json.Encoder().encode, iter(clients)
    while some := list(islice(waiting, SLICE)):
        yield encode(some)[1:-1]


def whole(rows: Iterable[bytes], missing: list[int]) -> bytes:
    """Join the rows to one JSON object; `missing`: gateways that did not answer."""
    more = b',"missing":' + msgspec.json.encode(missing) if missing else b""
    return b'{"clients":[' + b",".join(rows) + b"]" + more + b"}"
