"""Cameras that are added and removed while clients of all kinds are connected."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import pytest
from gateway_fakes import outcome, parts, state, status
from hub_reader import Reader

from framefan.ipc.records import CameraFacts
from framefan_gateway.delivery.hub import Hub
from framefan_gateway.delivery.subscribers import Place
from framefan_gateway.delivery.subscription import Opening, StreamPosition, Subscription
from framefan_gateway.http.metrics import Metrics
from framefan_gateway.intake import Intake
from framefan_gateway.run_stats import RunStats
from framefan_gateway.stats import Stats

EVERY = Subscription(delivery="every")
REMOVED = {"state": "ended", "reason": "removed"}


class Run:
    """A pool whose cameras come and go, before a hub."""

    def __init__(self, *cameras: str) -> None:
        self.hub = Hub(1000, 1 << 20)
        self.intake = Intake(self.hub, 3.0)
        self.stats = Stats(1, self.hub, self.intake)
        self.facts: dict[str, CameraFacts] = {}
        self.n, self.epoch = 0, "k3f9"
        self.table(*cameras)

    def take(self, topic: str, record: Any) -> None:
        record.n, record.epoch = self.n, self.epoch
        self.n += 1
        self.intake.take(parts(topic, record), 0.0, 100.0)

    def result(self, camera: str, seq: int, **changes: Any) -> None:
        self.take(f"result/{camera}/", outcome(seq, camera, **changes))
        self.flush()

    def status(self, camera: str, name: str, reason: str = "", **changes: Any) -> None:
        self.take(f"status/{camera}/", status(name, camera, reason=reason, **changes))
        self.flush()

    def table(self, *cameras: str) -> None:
        self.take("state/", state({name: CameraFacts(state="live") for name in cameras}))
        self.flush()

    def flush(self) -> None:
        self.stats.on_delivered(self.hub.flush(0.0), 0.0)

    def remove(self, camera: str, *rest: str) -> None:
        self.status(camera, "ended", "removed", message="gone")
        self.table(*rest)


def received_of(reader: Reader, camera: str) -> list[Any]:
    """What a client received of a camera: seqs, and states."""
    return [
        message["seq"] if "seq" in message else message["state"]
        for message in reader.received
        if message.get("camera") == camera
    ]


@pytest.mark.parametrize("subscription", [Subscription(), EVERY])
def test_all_subscribers_get_the_removal_last(
    subscription: Subscription,
) -> None:
    run = Run("a", "b")
    fast, slow = Reader(run.hub, subscription), Reader(run.hub, subscription, room=1)
    other = Reader(run.hub, Subscription(cameras=frozenset("b")))
    run.result("a", 0)
    run.status("a", "ended", "removed")
    run.result("a", 1)  # it was at a worker
    run.table("b")
    slow.drain(100)
    assert received_of(fast, "a") == received_of(slow, "a") == [0, 1, "ended"]
    for reader in (fast, slow):
        assert reader.received[-1].items() >= REMOVED.items()
        reader.check_holes()
    assert received_of(other, "a") == []
    run.result("b", 0)
    assert received_of(fast, "b") == received_of(slow, "b") == received_of(other, "b") == [0]


@pytest.mark.parametrize("more", [0, 1])
def test_a_client_without_room_gets_the_removal_later(more: int) -> None:
    """It is in step up to the flush that tells all others."""
    run = Run("a", "b")
    reader = Reader(run.hub, Subscription(), paced=1)
    run.result("a", 0)
    assert reader.client.place is Place.LIVE
    for seq in range(1, 1 + more):
        run.take("result/a/", outcome(seq, "a"))
    run.table("b")
    assert received_of(reader, "a") == [0]
    reader.echo()
    assert received_of(reader, "a") == [*range(1 + more), "ended"]
    assert reader.client.cursor.account()[:2] == (1 + more, 1 + more), "offered and sent"


def test_a_removal_that_the_bus_lost_comes_from_the_table() -> None:
    run = Run("a", "b")
    reader = Reader(run.hub, Subscription())
    run.table("b")
    assert reader.received[-1].items() >= (REMOVED | {"camera": "a", "epoch": "k3f9"}).items()
    run.table("b")
    assert received_of(reader, "a") == ["ended"]


def test_a_removal_that_comes_after_the_table_is_not_repeated() -> None:
    run = Run("a")
    reader = Reader(run.hub, Subscription())
    run.table()
    run.status("a", "ended", "removed")
    run.table()
    assert received_of(reader, "a") == ["ended"]


def test_a_removal_waits_while_the_table_still_has_the_camera() -> None:
    run = Run("a")
    reader = Reader(run.hub, Subscription())
    run.status("a", "ended", "removed")
    run.take("state/", state({"a": CameraFacts(state="ended", reason="removed")}))
    run.result("a", 0)
    assert received_of(reader, "a") == [0]
    run.table()
    assert received_of(reader, "a") == [0, "ended"]


def test_a_removed_camera_sends_nothing_to_new_clients() -> None:
    run = Run("a", "b")
    run.status("a", "backoff", "refused", next_try_s=3.0)
    run.result("a", 0)
    run.remove("a", "b")
    for opening in (Opening(), Opening(history=5)):
        assert Reader(run.hub, Subscription(), opening=opening).received == []


@pytest.mark.parametrize("subscription", [Subscription(), EVERY])
def test_one_that_comes_back_goes_on_with_its_seq(subscription: Subscription) -> None:
    run = Run("a")
    reader = Reader(run.hub, subscription)
    for seq in range(3):
        run.result("a", seq)
    run.remove("a")
    run.table("a")
    run.result("a", 3)
    assert received_of(reader, "a") == [0, 1, 2, "ended", 3]
    run.remove("a")
    run.result("a", 5)  # before the table has it again; 4 was lost on the bus
    assert reader.received[-1]["seq"] == 5
    missed = sum(message.get("missed", 0) for message in reader.received)
    assert missed == 1
    assert run.intake.stale == 0


def test_one_that_comes_back_in_a_later_epoch_begins_at_0() -> None:
    run = Run("a", "b")
    run.result("a", 7)
    run.result("b", 7)
    run.remove("a", "b")
    run.epoch, run.n = "newer", 0
    reader = Reader(run.hub, Subscription(cameras=frozenset("a")))
    run.table("a", "b")
    run.result("a", 0)
    assert received_of(reader, "a") == [0]


def test_an_unreported_loss_is_not_reported_after_the_removal() -> None:
    run = Run("a")
    readers = [Reader(run.hub, Subscription()), Reader(run.hub, Subscription(), room=1)]
    run.result("a", 0)
    run.result("a", 1, kind="lost")
    run.remove("a")
    run.table("a")
    run.result("a", 2)
    readers[1].drain(100)
    for reader in readers:
        assert (reader.received[-1]["seq"], reader.received[-1]["missed"]) == (2, 0)
        account = reader.client.cursor.account()
        assert (account.offered, account.sent, account.lost) == (3, 2, 1)


@pytest.mark.parametrize("subscription", [Subscription(), EVERY])
def test_an_unreported_loss_of_a_replay_is_dropped_with_its_camera(
    subscription: Subscription,
) -> None:
    run = Run("a")
    run.result("a", 0)
    run.result("a", 1, kind="lost")
    reader = Reader(run.hub, subscription, opening=Opening(history=5))
    assert reader.client.cursor._carry
    run.remove("a")
    assert reader.client.cursor.live
    run.table("a")
    run.result("a", 2)
    assert (reader.received[-1]["seq"], reader.received[-1]["missed"]) == (2, 0)


@pytest.mark.parametrize("subscription", [Subscription(), EVERY])
def test_a_client_that_waits_for_a_removed_camera_gets_recovered_false(
    subscription: Subscription,
) -> None:
    run = Run("a")
    run.result("a", 0)
    since = {"a": StreamPosition("k3f9", 9)}
    reader = Reader(run.hub, subscription, opening=Opening(since=since))
    assert reader.received == []
    run.result("a", 1)
    run.remove("a")
    kinds = [message["type"] for message in reader.received]
    assert kinds == ["resumed", "status"]
    assert reader.received[0]["recovered"] is False
    account = reader.client.cursor.account()
    assert account.offered == account.sent + account.missed


def test_a_camera_that_a_client_comes_back_for_and_is_not_there() -> None:
    run = Run("a")
    opening = Opening(since={"x": StreamPosition("old", 4)}, unknown={"x": run.intake.removal("x")})
    reader = Reader(run.hub, Subscription(), opening=opening)
    resumed, removed = reader.received
    assert removed.items() >= (REMOVED | {"camera": "x", "epoch": "k3f9"}).items()
    assert (resumed["camera"], resumed["epoch"], resumed["seq"]) == ("x", "old", 4)
    assert resumed["recovered"] is False
    run.result("a", 0)
    assert reader.client.cursor.live
    run.table("a", "x")
    run.result("x", 0)
    assert received_of(reader, "x") == [4, "ended", 0]


@pytest.mark.parametrize("subscription", [Subscription(), EVERY])
def test_a_client_reconnects_between_the_table_and_the_removal(subscription: Subscription) -> None:
    run = Run("a")
    run.result("a", 0)
    run.take("state/", state({}))
    since = {"a": StreamPosition("k3f9", 0)}
    opening = Opening(since=since, unknown={"a": run.intake.removal("a")})
    reader = Reader(run.hub, subscription, opening=opening)
    run.hub.flush(0.0)
    assert [message["type"] for message in reader.received] == ["resumed", "status"]
    account = reader.client.cursor.account()
    assert account.offered == account.sent + account.missed == 0


# ---- nothing stays -------------------------------------------------------------------------------


def visit(run: Run, camera: str) -> None:
    """Everything that is kept of a camera, and then it is gone."""
    run.table("stays", camera)
    run.status(camera, "backoff", "refused", next_try_s=1.0)
    run.status(camera, "live")
    run.result(camera, 0)
    run.result(camera, 1, kind="lost")
    run.result(camera, 2, payload=[])
    run.result(camera, 4)
    run.result(camera, 5, payload=[])
    run.remove(camera, "stays")


def forget(reader: Reader) -> None:
    """What the test keeps of it."""
    reader.received.clear()
    reader._checked = reader._fresh = 0
    reader._last.clear()
    reader._told.clear()


def test_a_thousand_cameras_come_and_go_and_leave_nothing() -> None:
    run = Run("stays")
    subscriptions = (
        Subscription(),
        Subscription(max_fps=1.0, nonempty=True),
        Subscription(delivery="every", nonempty=True, max_fps=500.0),
    )
    readers = [Reader(run.hub, subscription) for subscription in subscriptions for _ in range(2)]

    def after(first: int, last: int) -> int:
        """Bytes in use after so many visits, of which every other client saw each third late."""
        for number in range(first, last):
            for slow in readers[::2] if number % 3 == 0 else ():
                slow.room = 0
                run.hub.block(slow.client)
            visit(run, f"cam{number}")
            for reader in readers:
                reader.drain(1000)
                reader.check_holes()
                forget(reader)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    before = after(0, 200)
    grown = after(200, 1000) - before
    tracemalloc.stop()
    assert grown < 100_000, "100 bytes each"
    assert set(run.hub._retained._histories) <= {"stays"}
    assert not run.hub._retained._problems
    assert set(run.intake._known()) == {"stays"}
    assert len(run.intake._removed) < 100
    assert (
        "cam999"
        not in b"".join(Metrics(RunStats(run.stats, run.intake), run.intake).parts()).decode()
    )
    for reader in readers:
        account = reader.client.cursor.account()
        assert account.offered == account.sent + account.missed == 1000 * 6
        assert not reader.client.subscribers.stream.cameras
        assert not getattr(reader.client.subscribers.stream, "_trailing", None)
    total = run.hub.totals()
    assert total.offered == total.sent + total.missed == 1000 * 6 * len(readers)


def test_what_a_full_line_is_due_is_kept_until_it_drains() -> None:
    run = Run("stays")
    slow = Reader(run.hub, Subscription(), room=1)
    Reader(run.hub, Subscription())
    run.result("stays", 0)
    for number in range(20):
        visit(run, f"cam{number}")
    assert not set(slow.client.subscribers.stream.cameras) - {"stays"}
    account = slow.client.cursor.account()
    assert account.pending == 20
    slow.drain(1000)
    for number in range(20):
        assert received_of(slow, f"cam{number}") == [5, "ended"]
    account = slow.client.cursor.account()
    assert account.offered == account.sent + account.missed == 121
    slow.check_holes()
