"""The hub's accounts under random events, against a model of its clients' lines."""

from __future__ import annotations

from typing import Any

from gateway_fakes import outcome, status
from hub_reader import Reader
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from framefan.ipc.records import Detection
from framefan_gateway.delivery import wire
from framefan_gateway.delivery.accounts import Loss
from framefan_gateway.delivery.hub import Hub
from framefan_gateway.delivery.news import NewEpoch, Removed
from framefan_gateway.delivery.subscribers import Place
from framefan_gateway.delivery.subscription import Opening, StreamPosition, Subscription

CAMERAS = ("a", "b", "c")
CONTRACTS = (
    Subscription(),
    Subscription(delivery="every"),
    Subscription(cameras=frozenset({"a"})),
    Subscription(cameras=frozenset({"a", "b"}), delivery="every"),
    Subscription(nonempty=True, labels=frozenset({"person"})),
    Subscription(nonempty=True, min_confidence=0.5, delivery="every"),
    Subscription(max_fps=25.0),
    Subscription(max_fps=40.0, nonempty=True, delivery="every"),
)
PACES = ({"paced": 1}, {"paced": 2})
SEEN = [[], [("person", 0.9)], [("car", 0.9)], [("person", 0.2), ("car", 0.6)]]
BOX = (0.0, 0.0, 1.0, 1.0)


class Accounts(RuleBasedStateMachine):
    """Random news, joins, returns, changes, leaves, full lines and drains; all accounts exact."""

    def __init__(self) -> None:
        super().__init__()
        self.hub = Hub(20, 1 << 20, history_s=0.4, history_bytes=30_000)
        self.readers: list[Reader] = []
        self.next_seq = dict.fromkeys(CAMERAS, 0)
        self.removed: set[str] = set()
        self.removing = False
        self.epoch = 0
        self.time = 0.0

    def tell_outcome(self, camera: str, kind: str, seen: list[tuple[str, float]]) -> None:
        self.time += 0.01
        payload = [Detection(label, confidence, BOX) for label, confidence in seen]
        changes: dict[str, Any] = {"payload": payload} if kind == "detections" else {}
        record = outcome(
            self.next_seq[camera],
            camera,
            kind=kind,
            epoch=str(self.epoch),
            captured_at=self.time,
            started_at=self.time,
            finished_at=self.time,
            ts=self.time,
            **changes,
        )
        self.hub.publish(wire.Outcome(record))
        self.next_seq[camera] += 1
        self.removed.discard(camera)

    @rule(
        subscription=st.sampled_from(CONTRACTS),
        room=st.sampled_from([0, 1, 2, 5, 1000]),
        history=st.sampled_from([0, 1, 1, 1, 3]),
        limits=st.sampled_from([{}, {}, {"ack": 1}, {"ack": 2}, {"ack": 5}, *PACES, *PACES]),
    )
    def join(
        self, subscription: Subscription, room: int, history: int, limits: dict[str, int]
    ) -> None:
        self.add(Reader(self.hub, subscription, room, Opening(history), works=False, **limits))

    def add(self, reader: Reader) -> None:
        self.readers.append(reader)
        if self.removing:
            reader.dropped = reader.replayed = True

    @precondition(lambda self: self.readers)
    @rule(
        data=st.data(),
        subscription=st.sampled_from(CONTRACTS),
        room=st.sampled_from([1, 2, 1000]),
        ahead=st.sampled_from([0, 0, 0, 2]),
        limits=st.sampled_from([{}, {"ack": 1}, {"ack": 3}, *PACES]),
    )
    def come_back(
        self,
        data: st.DataObject,
        subscription: Subscription,
        room: int,
        ahead: int,
        limits: dict[str, int],
    ) -> None:
        """Leave, and return with the last seqs had; or with later ones, had elsewhere."""
        reader = data.draw(st.sampled_from(self.readers))
        self.leave_now(reader)
        since = {
            camera: StreamPosition(epoch, seq + ahead)
            for camera, (epoch, seq) in reader.newest.items()
            if subscription.covers(camera)
        }
        opening = Opening(since=since, unknown=dict.fromkeys(self.removed & since.keys()))
        self.add(Reader(self.hub, subscription, room, opening, works=False, **limits))

    @rule(slices=st.sampled_from([1, 3]))
    def work(self, slices: int) -> None:
        for _ in range(slices):
            self.hub.work(self.time)

    @precondition(lambda self: self.readers)
    @rule(data=st.data(), count=st.sampled_from([1, 2, 10]))
    def acknowledge(self, data: st.DataObject, count: int) -> None:
        reader = data.draw(st.sampled_from(self.readers))
        if reader.paced:
            reader.echo()
        else:
            reader.acknowledge(count)

    @precondition(lambda self: self.readers)
    @rule(data=st.data(), subscription=st.sampled_from(CONTRACTS))
    def change(self, data: st.DataObject, subscription: Subscription) -> None:
        data.draw(st.sampled_from(self.readers)).switch(subscription)

    @rule(
        camera=st.sampled_from(CAMERAS),
        kind=st.sampled_from(["detections", "detections", "error", "value"]),
        seen=st.sampled_from(SEEN),
    )
    def one(self, camera: str, kind: str, seen: list[tuple[str, float]]) -> None:
        self.tell_outcome(camera, kind, seen)

    @rule(
        news=st.lists(
            st.tuples(st.sampled_from(CAMERAS), st.sampled_from(SEEN)), min_size=2, max_size=9
        )
    )
    def some(self, news: list[tuple[str, list[tuple[str, float]]]]) -> None:
        for camera, seen in news:
            self.tell_outcome(camera, "detections", seen)

    @rule(
        camera=st.sampled_from(CAMERAS),
        seqs=st.integers(1, 5),
        cause=st.sampled_from(["lost", "bus"]),
    )
    def lose(self, camera: str, seqs: int, cause: Any) -> None:
        self.removed.discard(camera)
        first = self.next_seq[camera]
        self.next_seq[camera] += seqs
        self.hub.publish(Loss(camera, str(self.epoch), first, first + seqs - 1, cause))

    @rule(camera=st.sampled_from(CAMERAS), name=st.sampled_from(["live", "stalled"]))
    def state(self, camera: str, name: str) -> None:
        self.hub.publish(wire.status(status(name, camera)))

    @rule(camera=st.sampled_from(CAMERAS))
    def remove(self, camera: str) -> None:
        """It may come back, and then goes on with its seq."""
        self.hub.publish(Removed(camera, wire.status(status("ended", camera, reason="removed"))))
        self.removed.add(camera)
        self.removing = True
        for reader in self.readers:
            reader.dropped = reader.replayed = True

    @rule(late=st.sampled_from([0.0, 0.0, 0.0, 1.0]))
    def flush(self, late: float) -> None:
        self.hub.flush(self.time + late)
        self.removing = False

    @rule()
    def new_epoch(self) -> None:
        self.epoch += 1
        self.next_seq = dict.fromkeys(CAMERAS, 0)
        self.hub.publish(NewEpoch())

    @precondition(lambda self: self.readers)
    @rule(data=st.data(), room=st.sampled_from([1, 2, 1000]))
    def drain(self, data: st.DataObject, room: int) -> None:
        data.draw(st.sampled_from(self.readers)).drain(room)

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def fill(self, data: st.DataObject) -> None:
        reader = data.draw(st.sampled_from(self.readers))
        reader.room = 0
        self.hub.block(reader.client)

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        self.leave_now(data.draw(st.sampled_from(self.readers)))

    def leave_now(self, reader: Reader) -> None:
        self.readers.remove(reader)
        self.hub.leave(reader.client)

    @invariant()
    def accounts_balance(self) -> None:
        for reader in list(self.readers):
            if reader.client.place is Place.CLOSED:
                assert reader.evicted
                self.readers.remove(reader)
                continue
            account = reader.client.cursor.account()
            if not reader.switching:
                assert account.sent == len(reader.results)
            assert account.messages == reader.client.cursor.sent_messages == len(reader.received)
            assert account.pending >= 0
            if reader.client.place is Place.LIVE:
                assert account.pending == 0
            elif reader.subscription.delivery == "latest" and not reader.replayed:
                assert account.pending <= len(CAMERAS)

    @invariant()
    def nothing_is_kept_of_a_camera_that_is_gone(self) -> None:
        if not self.hub.waiting:
            assert not self.removed & self.hub._retained._histories.keys()
            for reader in self.readers:
                assert not self.removed & reader.client.subscribers.stream.cameras.keys()

    @invariant()
    def the_sum_is_the_sum_of_the_parts(self) -> None:
        total = self.hub.left
        for reader in self.readers:
            total = total.plus(reader.client.cursor.account())
        assert self.hub.totals() == total

    @invariant()
    def what_is_told_missed_is_the_hole_in_seq(self) -> None:
        for reader in self.readers:
            reader.check_holes()

    @invariant()
    def only_what_was_asked_for_is_sent(self) -> None:
        for reader in self.readers:
            for message, subscription in reader.fresh_results():
                assert subscription.covers(message["camera"])
                for seen in message.get("detections", ()):
                    assert subscription.labels is None or seen["label"] in subscription.labels
                    assert seen["confidence"] >= subscription.min_confidence
                if subscription.nonempty and message["type"] == "result":
                    assert message.get("detections", "value")

    def teardown(self) -> None:
        """Once every line drains, everybody has been told everything."""
        for _ in range(4):  # a client may be ahead by so much
            self.time += 1.0
            for camera in CAMERAS:
                self.tell_outcome(camera, "error", [])
            self.hub.flush(self.time)
        for reader in self.readers:
            if reader.client.place is Place.CLOSED:
                continue
            before = -1
            while before < len(reader.received) or self.hub.has_work:
                before = len(reader.received)
                reader.drain(1000)
                self.hub.work(self.time)
            account = reader.client.cursor.account()
            if not reader.ack:
                assert reader.client.place is Place.LIVE
            assert account.pending == 0
            assert account.offered == account.sent + account.missed
            if not reader.dropped:
                assert account.offered == len(reader.results) + reader.told_missed
            reader.check_holes()


Accounts.TestCase.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
TestAccounts = Accounts.TestCase
