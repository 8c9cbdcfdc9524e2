"""The hub's accounts under random events, against a model of its clients' lines."""

from __future__ import annotations

import random
from typing import Any

from gateway_fakes import outcome, status
from hub_reader import Reader
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from framefan_gateway import wire
from framefan_gateway.accounts import Loss
from framefan_gateway.contract import Contract
from framefan_gateway.group import Place
from framefan_gateway.hub import Hub, NewEpoch

CAMERAS = ("a", "b", "c")
CONTRACTS = (
    Contract(),
    Contract(delivery="every"),
    Contract(cameras=frozenset({"a"})),
    Contract(cameras=frozenset({"a", "b"}), delivery="every"),
)


class Accounts(RuleBasedStateMachine):
    """Random news, joins, leaves, full lines and drains; all accounts exact after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.hub = Hub(every_messages=20, every_bytes=1 << 20)
        self.readers: list[Reader] = []
        self.next_seq = dict.fromkeys(CAMERAS, 0)
        self.epoch = 0
        self.random = random.Random(1)

    def tell_outcome(self, camera: str, kind: str) -> None:
        record = outcome(self.next_seq[camera], camera, kind=kind, epoch=str(self.epoch))
        self.hub.tell(wire.Outcome(record))
        self.next_seq[camera] += 1

    @rule(contract=st.sampled_from(CONTRACTS), room=st.sampled_from([0, 1, 2, 5, 1000]))
    def join(self, contract: Contract, room: int) -> None:
        self.readers.append(Reader(self.hub, contract, room))

    @rule(camera=st.sampled_from(CAMERAS), kind=st.sampled_from(["detections", "error", "value"]))
    def one(self, camera: str, kind: str) -> None:
        self.tell_outcome(camera, kind)

    @rule(cameras=st.lists(st.sampled_from(CAMERAS), min_size=2, max_size=9))
    def some(self, cameras: list[str]) -> None:
        for camera in cameras:
            self.tell_outcome(camera, "detections")

    @rule(
        camera=st.sampled_from(CAMERAS),
        seqs=st.integers(1, 5),
        cause=st.sampled_from(["lost", "bus"]),
    )
    def lose(self, camera: str, seqs: int, cause: Any) -> None:
        first = self.next_seq[camera]
        self.next_seq[camera] += seqs
        self.hub.tell(Loss(camera, str(self.epoch), first, first + seqs - 1, cause))

    @rule(camera=st.sampled_from(CAMERAS), name=st.sampled_from(["live", "stalled"]))
    def change(self, camera: str, name: str) -> None:
        self.hub.tell(wire.status(status(name, camera)))

    @rule()
    def flush(self) -> None:
        self.hub.flush(0.0)

    @rule()
    def new_epoch(self) -> None:
        self.epoch += 1
        self.next_seq = dict.fromkeys(CAMERAS, 0)
        self.hub.tell(NewEpoch())

    @precondition(lambda self: self.readers)
    @rule(data=st.data(), room=st.sampled_from([1, 2, 1000]))
    def drain(self, data: st.DataObject, room: int) -> None:
        data.draw(st.sampled_from(self.readers)).drain(room)

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def fill(self, data: st.DataObject) -> None:
        reader = data.draw(st.sampled_from(self.readers))
        reader.room = 0
        self.hub.line_full(reader.client)

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        reader = data.draw(st.sampled_from(self.readers))
        self.readers.remove(reader)
        self.hub.leave(reader.client)

    @invariant()
    def accounts_balance(self) -> None:
        for reader in list(self.readers):
            if reader.client.place is Place.GONE:
                assert reader.evicted
                self.readers.remove(reader)
                continue
            account = reader.client.outbox.account()
            assert account.sent == len(reader.results)
            assert account.pending >= 0
            if reader.client.place is Place.IN_STEP:
                assert account.pending == 0
            elif reader.contract.delivery == "latest":
                assert account.pending <= len(CAMERAS)
            if reader.contract.delivery == "every":
                assert account.conflated == 0

    @invariant()
    def the_sum_is_the_sum_of_the_parts(self) -> None:
        total = self.hub.left
        for reader in self.readers:
            total = total.plus(reader.client.outbox.account())
        assert self.hub.totals() == total

    @invariant()
    def what_is_told_missed_is_the_hole_in_seq(self) -> None:
        for reader in self.readers:
            last: dict[tuple[str, str], int] = {}
            for m in reader.received:
                if m["type"] == "status":
                    continue
                key = (m["camera"], m["epoch"])
                assert sum(m.get("missed_by", {}).values()) == m["missed"]
                if m["type"] == "gap":
                    assert m["first_seq"] == last.get(key, m["first_seq"] - 1) + 1
                    last[key] = m["last_seq"]
                else:
                    if key in last:
                        assert m["seq"] == last[key] + 1 + m["missed"]
                    last[key] = m["seq"]

    def teardown(self) -> None:
        """Once every line drains, everybody has been told everything."""
        for camera in CAMERAS:
            self.tell_outcome(camera, "detections")
        self.hub.flush(0.0)
        for reader in self.readers:
            if reader.client.place is Place.GONE:
                continue
            reader.drain(1000)
            account = reader.client.outbox.account()
            assert reader.client.place is Place.IN_STEP
            assert account.pending == 0
            assert account.offered == len(reader.results) + reader.told_missed
            assert account.missed == reader.told_missed


Accounts.TestCase.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
TestAccounts = Accounts.TestCase
