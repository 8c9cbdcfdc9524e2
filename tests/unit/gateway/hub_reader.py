"""A client of the hub, played by a test: its line, and all that came out of it."""

from __future__ import annotations

import json
from typing import Any

from gateway_fakes import outcome

from framefan.ipc.protocol import Reply
from framefan_gateway.delivery import wire
from framefan_gateway.delivery.accounts import Loss
from framefan_gateway.delivery.cursor import ALL
from framefan_gateway.delivery.hub import Hub
from framefan_gateway.delivery.subscribers import Writer
from framefan_gateway.delivery.subscription import ANEW, Opening, Subscription


def split(data: bytes) -> list[dict[str, Any]]:
    """The messages of a run of whole frames; a picture is told as `type` "picture"."""
    messages = []
    while data:
        first, size, start = data[0], data[1], 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        payload, data = data[start : start + size], data[start + size :]
        if first == 0x81:
            messages.append(json.loads(payload))
        else:
            assert first == 0x82
            of = json.loads(payload[4 : 4 + int.from_bytes(payload[:4], "big")])
            messages.append({**of, "type": "picture"})
    return messages


def publish(hub: Hub, seq: int, camera: str = "a", **changes: Any) -> None:
    hub.publish(wire.Outcome(outcome(seq, camera, **changes)))
    hub.flush(0.0)


def lose(hub: Hub, first: int, last: int, camera: str = "a", cause: Any = "lost") -> None:
    hub.publish(Loss(camera, "k3f9", first, last, cause))
    hub.flush(0.0)


class Reader:
    """A client's side: a line with room for so many writes, and all that came out of it."""

    def __init__(
        self,
        hub: Hub,
        subscription: Subscription,
        room: int = 1000,
        opening: Opening = ANEW,
        *,
        ack: int = 0,
        paced: int = 0,
        works: bool = True,
    ) -> None:
        """`ack`: so many messages at most are unacknowledged; 0: they are not counted. `paced`:
        the same, of writes. `works`: the hub's work is done at once.
        """
        self.hub = hub
        self.ack = ack
        self.acked = 0
        self.paced = paced
        self.echoed = 0
        self._works = works
        self.subscription = subscription
        self.room = room
        self.received: list[dict[str, Any]] = []
        self.writes = 0
        self.kept = b""
        self.evicted = ""
        self.replayed = bool(opening.since) or opening.history != 1
        self.dropped = False
        """Whether it ever changed to a subscription without a camera it had."""
        self._subscriptions = [(0, subscription)]
        """From which message on which subscription was in force."""
        self._coming: list[Subscription] = []
        """Contracts whose replies have not come yet."""
        self._fresh = 0
        self._checked = 0
        self._last: dict[str, tuple[str, int]] = {
            camera: (since.epoch, since.seq)
            for camera, since in opening.since.items()
            if camera not in opening.unknown
        }
        self._told: dict[str, int] = {}
        self.client: Any = None
        line = Writer(self.write, self.try_write, self.left if ack else None)
        if paced:
            line = Writer(self.write, self.take, self.left_writes, by_write=True)
        self.client = hub.join(subscription, line, self.evict, 0.0, opening)
        hub.start(self.client, 0.0)
        self.work()
        if self.room <= 0:
            hub.block(self.client)

    def work(self) -> None:
        while self._works and self.hub.has_work:
            self.hub.work(0.0)

    def left(self) -> int:
        """How many messages may be written."""
        left = self.ack - (len(self.received) - self.acked)
        if not left:
            self.hub.block(self.client)
        return left

    def acknowledge(self, count: int) -> None:
        """So many more were handled."""
        self.acked = min(self.acked + count, len(self.received))
        if self.room > 0 and self.acked == len(self.received):
            self.hub.unblock(self.client, 0.0)
            self.work()

    def left_writes(self) -> int:
        """Room for any number of messages in one write, or for none."""
        if self.writes - self.echoed < self.paced:
            return ALL
        self.hub.block(self.client)
        return 0

    def echo(self) -> None:
        """What was written has been heard of."""
        self.echoed = self.writes
        if self.room > 0 and not self.kept:
            self.hub.unblock(self.client, 0.0)
            self.work()

    def switch(self, subscription: Subscription) -> None:
        before = self.subscription
        self.dropped = self.dropped or not all(
            subscription.covers(camera) for camera in ("a", "b", "c") if before.covers(camera)
        )
        self.replayed = True
        self.subscription = subscription
        self._coming.append(subscription)
        reply = wire.body(Reply(id=len(self._subscriptions), ping={}), "json")
        self.hub.switch(self.client, subscription, ANEW, reply, 0.0)
        self.work()

    def try_write(self, data: bytes) -> int:
        """All of it while there is room; the last one in part, or not at all."""
        assert not self.kept
        if self.room > 1:
            self.write(data)
            return len(data)
        taken = len(data) // 2 if self.writes % 2 else 0
        if not taken:
            raise BlockingIOError
        self.kept = data[:taken]
        return taken

    def take(self, data: bytes) -> int:
        """All of it, whatever the room: the rest is kept on the way."""
        self.write(data)
        return len(data)

    def write(self, data: bytes) -> None:
        assert data
        data, self.kept = self.kept + data, b""
        self.writes += 1
        self.room -= 1
        for message in split(data):
            self.received.append(message)
            assert not self.ack or len(self.received) - self.acked <= self.ack
            if message["type"] == "reply":
                self._subscriptions.append((len(self.received), self._coming.pop(0)))
        if self.room <= 0 and self.client is not None:
            self.hub.block(self.client)

    def drain(self, room: int) -> None:
        self.room = room
        self.acked, self.echoed = len(self.received), self.writes
        self.hub.unblock(self.client, 0.0)
        self.work()

    def evict(self, reason: str) -> None:
        self.evicted = reason

    @property
    def results(self) -> list[dict[str, Any]]:
        return [m for m in self.received if m["type"] in ("result", "error")]

    @property
    def told_missed(self) -> int:
        return sum(message.get("missed", 0) for message in self.received)

    @property
    def switching(self) -> bool:
        """Whether what was due under the subscription before may still wait for the line."""
        return bool(self._coming)

    @property
    def newest(self) -> dict[str, tuple[str, int]]:
        """By camera, the epoch and seq of the last result it had."""
        found: dict[str, tuple[str, int]] = {}
        for message in self.results:
            found[message["camera"]] = (message["epoch"], message["seq"])
        return found

    def fresh_results(self) -> list[tuple[dict[str, Any], Subscription]]:
        """Results since the last call, each with the subscription it was sent under."""
        start, self._fresh = self._fresh, len(self.received)
        found = []
        for index in range(start, len(self.received)):
            if self.received[index]["type"] in ("result", "error"):
                subscription = [under for since, under in self._subscriptions if since <= index][-1]
                found.append((self.received[index], subscription))
        return found

    def check_holes(self) -> None:
        """What messages and gaps call missed is the hole in `seq`, message for message."""
        while self._checked < len(self.received):
            message = self.received[self._checked]
            self._checked += 1
            if message["type"] == "reply":
                subscription = dict(self._subscriptions)[self._checked]
                for camera in [c for c in self._last if not subscription.covers(c)]:
                    del self._last[camera]
                    self._told.pop(camera, None)
            elif message.get("reason") == "removed":  # after that it begins anew
                self._last.pop(message["camera"], None)
                self._told.pop(message["camera"], None)
            elif message["type"] == "gap":
                self._check_gap(message)
            elif message["type"] in ("result", "error"):
                self._check_hole(message)

    def _check_gap(self, message: dict[str, Any]) -> None:
        camera, first = message["camera"], message["first_seq"]
        assert message["missed"] == message["last_seq"] - first + 1
        told = self._told.get(camera, 0)
        epoch, seq = self._last.get(camera, ("", 0))
        # A client that goes on from the gap's end must not leave out what was never reported.
        selects = self.subscription.nonempty or self.subscription.max_fps or self.switching
        if epoch == message["epoch"] and not selects:
            assert first == seq + 1 + told, (self.subscription, message, seq, told)
        self._told[camera] = told + message["missed"]

    def _check_hole(self, message: dict[str, Any]) -> None:
        camera, epoch, seq = message["camera"], message["epoch"], message["seq"]
        assert sum(message.get("missed_by", {}).values()) == message["missed"]
        assert min(message.get("missed_by", {"": 1}).values()) > 0
        last = self._last.get(camera)
        told = self._told.pop(camera, 0) + message["missed"]
        if last is not None and last[0] == epoch:
            assert seq == last[1] + 1 + told, (self.subscription, message, last)
        self._last[camera] = (epoch, seq)
