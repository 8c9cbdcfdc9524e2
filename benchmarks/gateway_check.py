"""Clients that check every message they get against what they asked for, and keep an account.

An account is exact when each hole in `seq` is what the next result calls missed and what the gaps
before it did, by causes that this contract can have, and when received and missed together are what
the gateway says it offered.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from benchmarks.gateway_load import Loop
from benchmarks.raw_clients import Client, Group, connect
from framefan.base import clock

_MOST_ERRORS = 20
_TRAIL = 24
"""Messages that a client remembers, to be shown with an error."""
_ALWAYS = frozenset({"lost", "bus"})


@dataclass(frozen=True)
class Asked:
    """A contract, as it stands in the address, and what follows from it."""

    query: str
    cameras: frozenset[str] | None = None
    labels: frozenset[str] | None = None
    min_confidence: float = 0.0
    nonempty: bool = False
    every: bool = False
    causes: frozenset[str] = _ALWAYS
    """Why it may miss something."""
    msgpack: bool = False


def asked(query: str) -> Asked:
    fields = dict(pair.split("=") for pair in query.split("&") if pair)
    every = fields.get("delivery") == "every"
    nonempty = fields.get("nonempty") == "1"
    causes = _ALWAYS | (frozenset() if every else {"conflated"})
    causes |= {"filtered"} if nonempty else frozenset()
    causes |= {"max_fps"} if "max_fps" in fields else frozenset()

    def names(key: str) -> frozenset[str] | None:
        return frozenset(fields[key].split(",")) if key in fields else None

    return Asked(
        query=query,
        cameras=names("camera"),
        labels=names("label"),
        min_confidence=float(fields.get("min_confidence", 0)),
        nonempty=nonempty,
        every=every,
        causes=causes,
        msgpack=fields.get("format") == "msgpack",
    )


MIX = [
    asked(query)
    for query in (
        "",
        "format=msgpack",
        "delivery=every",
        "delivery=every&format=msgpack",
        "camera=cam1,cam2",
        "camera=cam3&format=msgpack",
        "delivery=every&camera=cam2,cam4",
        "label=person",
        "label=car,dog&nonempty=1",
        "min_confidence=0.5&format=msgpack",
        "min_confidence=0.8&nonempty=1",
        "nonempty=1",
        "max_fps=10",
        "max_fps=25&camera=cam1,cam3,cam4&label=person&nonempty=1",
        "delivery=every&max_fps=5&format=msgpack",
        "delivery=every&label=dog&nonempty=1",
        "delivery=every&min_confidence=0.6&camera=cam1&format=msgpack",
        "delivery=every&max_fps=15&label=person,dog&min_confidence=0.3&nonempty=1",
    )
]


class _Thing(Struct):
    label: str
    confidence: float


class Message(Struct):
    """What a check needs of any message."""

    type: str
    camera: str = ""
    epoch: str = ""
    seq: int = -1
    first_seq: int = -1
    last_seq: int = -1
    missed: int = 0
    missed_by: dict[str, int] | UnsetType = UNSET
    detections: list[_Thing] | UnsetType = UNSET
    recovered: bool = False


_json = msgspec.json.Decoder(Message)
_msgpack = msgspec.msgpack.Decoder(Message)


class Camera:
    """How far a client has come in one camera."""

    __slots__ = ("epoch", "gaps", "reached", "seq")

    def __init__(self, epoch: str, seq: int) -> None:
        self.epoch = epoch
        self.seq = seq
        """The last result's; before the first, what the client asked to go on from."""
        self.gaps = 0
        """Seqs that gaps have told of since."""
        self.reached = seq
        """The last seq of any message."""


class Account:
    """What one client has received and was told that it missed."""

    __slots__ = ("asked", "cameras", "missed_by", "received", "since", "trail", "until")

    def __init__(self, asked: Asked, since: dict[str, tuple[str, int]] | None = None) -> None:
        self.asked = asked
        self.since = since
        self.trail: deque[tuple[Any, ...]] = deque(maxlen=_TRAIL)
        self.cameras = {name: Camera(*position) for name, position in (since or {}).items()}
        self.received = 0
        self.missed_by: Counter[str] = Counter()
        self.until = 0.0
        """Until when it reads nothing."""

    def positions(self) -> dict[str, tuple[str, int]]:
        """What to go on from after an interruption."""
        return {name: (each.epoch, each.reached) for name, each in self.cameras.items()}

    def take(self, message: Message) -> str:
        """What is wrong with this message; mostly nothing."""
        kind = message.type
        at = message.seq if message.first_seq < 0 else (message.first_seq, message.last_seq)
        self.trail.append((kind, message.camera, at, message.missed))
        if kind in ("result", "error"):
            return self._missed(message) or self._result(message) or self._content(message)
        if kind == "gap":
            return self._missed(message) or self._gap(message)
        if kind == "reply":
            return f"a reply to nothing: {message}"
        return ""

    def _result(self, message: Message) -> str:
        self.received += 1
        name, seq = message.camera, message.seq
        before = self.cameras.get(name)
        if before is None or before.epoch != message.epoch:
            self.cameras[name] = Camera(message.epoch, seq)
            return ""
        last, gaps, reached = before.seq, before.gaps, before.reached
        before.seq = before.reached = seq
        before.gaps = 0
        if seq <= reached or seq != last + 1 + message.missed + gaps:
            return f"{name}: {seq} after {last}, missed {message.missed}, {gaps} told by gaps"
        return ""

    def _gap(self, message: Message) -> str:
        name = message.camera
        before = self.cameras.get(name)
        if not self.asked.every:
            return "a gap for a client of `latest`"
        if message.last_seq - message.first_seq + 1 != message.missed:
            return f"a gap that does not count itself: {message}"
        if before is None or before.epoch != message.epoch:
            return ""
        reached, before.reached = before.reached, message.last_seq
        before.gaps += message.missed
        whole = not self.asked.nonempty and "max_fps" not in self.asked.causes
        if message.first_seq <= reached or (whole and message.first_seq != reached + 1):
            return f"{name}: after {reached} came a gap from {message.first_seq}"
        return ""

    def _missed(self, message: Message) -> str:
        by_cause = {} if message.missed_by is UNSET else message.missed_by
        if sum(by_cause.values()) != message.missed:
            return f"missed {message.missed}, by cause {by_cause}"
        self.missed_by.update(by_cause)
        returned = {"history"} if self.since else set()
        unknown = by_cause.keys() - self.asked.causes - returned
        return f"missed by {unknown}" if unknown else ""

    def _content(self, message: Message) -> str:
        asked = self.asked
        if asked.cameras is not None and message.camera not in asked.cameras:
            return f"a result of {message.camera}"
        if message.type == "error":
            return ""
        things = message.detections
        if things is UNSET:
            return "a result without detections"
        if asked.nonempty and not things:
            return "an empty result"
        for thing in things:
            if asked.labels is not None and thing.label not in asked.labels:
                return f"a {thing.label}"
            if thing.confidence < asked.min_confidence:
                return f"a confidence of {thing.confidence}"
        return ""


class CheckedGroup(Group):
    """Each client `knows` its account."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[str] = []
        self.wrong = 0

    def message(self, client: Client, data: bytes, start: int, stop: int, now: float) -> None:
        self.messages += 1
        account: Account = client.knows
        decoder = _msgpack if account.asked.msgpack else _json
        wrong = account.take(decoder.decode(memoryview(data)[start:stop]))
        if wrong:
            self.wrong += 1
            if len(self.errors) < _MOST_ERRORS:
                told = f"since {account.since}, at last {list(account.trail)}"
                self.errors.append(f"{account.asked.query}: {wrong}; {told}")


@dataclass
class Chance:
    """How often what happens, a second, among all clients."""

    stalls: float = 12.0
    ends: float = 1.5
    small_buffers: float = 0.5
    """The share of clients with a receive buffer of 4 KiB."""
    returns: float = 0.4
    """The share of those cut off that come back with `since`."""


@dataclass
class Tally:
    stalls: int = 0
    ends: int = 0
    returns: int = 0
    cut: Counter[str] = field(default_factory=Counter)
    """By reason, how often the gateway ended a connection."""


class CheckLoop(Loop):
    """Clients of mixed contracts that stall, vanish and come back at random."""

    def mixed(self, port: int, clients: int, seed: int) -> None:
        """Connect them and begin."""
        self._random = random.Random(seed)
        self._port = port
        self._group = CheckedGroup()
        self.groups["mixed"] = self._group
        self._chance = Chance()
        self.tally = Tally()
        self._stalled: set[Client] = set()
        self._at = clock.now()
        for number in range(clients):
            self._join(Account(MIX[number % len(MIX)]))
        self.ticker = self._tick

    def _join(self, account: Account) -> None:
        query = account.asked.query
        if account.cameras:
            positions = account.positions().items()
            since = ",".join(f"{name}:{epoch}:{seq}" for name, (epoch, seq) in positions)
            query = f"{query}&since={since}" if query else f"since={since}"
        small = self._random.random() < self._chance.small_buffers
        (client,) = connect(
            self._group, self._port, f"/ws?{query}", 1, 4096 if small else 0, knows=account
        )
        self.add(client)

    def _tick(self, now: float) -> None:
        passed, self._at = now - self._at, now
        for client in [each for each in self._stalled if each.knows.until <= now or each.closed]:
            self._stalled.discard(client)
            if not client.closed:
                self.reads(client, True)
        gone = [client for client in self._group.clients if client.closed]
        for client in gone:
            self._group.clients.remove(client)
            self.tally.cut[client.closed] += 1
            self._replace(client)
        if self._random.random() < passed * self._chance.stalls:
            self._stall(self._random.choice(self._group.clients), now)
        if self._random.random() < passed * self._chance.ends:
            self._vanish(self._random.choice(self._group.clients))

    def _stall(self, client: Client, now: float) -> None:
        seconds = self._random.choice([0.05, 0.2, 0.5, 1.0, 2.0, 4.0, 9.0])
        client.knows.until = now + seconds * self._random.random()
        self._stalled.add(client)
        self.reads(client, False)
        self.tally.stalls += 1

    def _vanish(self, client: Client) -> None:
        """Without a word, in the middle of whatever was on its way."""
        self._group.clients.remove(client)
        self._stalled.discard(client)
        self.end(client, "ours")
        self.tally.ends += 1
        self._replace(client)

    def _replace(self, client: Client) -> None:
        before: Account = client.knows
        if before.cameras and self._random.random() < self._chance.returns:
            self.tally.returns += 1
            self._join(Account(before.asked, before.positions()))
        else:
            self._join(Account(self._random.choice(MIX)))

    # ---- commands -----------------------------------------------------------------------------

    def settle(self) -> None:
        """No more of it: everybody reads."""
        self.ticker = None
        for client in self._stalled:
            if not client.closed:
                self.reads(client, True)
        self._stalled.clear()

    def accounts(self) -> dict[str, Any]:
        """The accounts of those still connected, by address as the gateway sees it."""
        whole = {}
        for client in self._group.clients:
            if not client.closed:
                host, port = client.sock.getsockname()
                account: Account = client.knows
                whole[f"{host}:{port}"] = (account.received, dict(account.missed_by))
        return {
            "accounts": whole,
            "wrong": self._group.wrong,
            "errors": self._group.errors,
            "tally": self.tally,
        }
