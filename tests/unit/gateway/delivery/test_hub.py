"""What clients of the hub see, in step, behind a full line, and on joining and leaving."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from gateway_fakes import outcome, status
from hub_reader import Reader, lose, publish, split

from framefan_gateway.delivery import wire
from framefan_gateway.delivery.frames import frames
from framefan_gateway.delivery.hub import Hub
from framefan_gateway.delivery.news import NewEpoch, Removed
from framefan_gateway.delivery.subscribers import WRITE_BYTES, Place, Writer
from framefan_gateway.delivery.subscription import Opening, StreamPosition, Subscription


def whole(write: Callable[[bytes], object]) -> Callable[[bytes], int]:
    def try_write(data: bytes) -> int:
        write(data)
        return len(data)

    return try_write


@pytest.fixture
def hub() -> Hub:
    return Hub(every_messages=50, every_bytes=1 << 20)


def test_clients_in_step_share_the_very_same_bytes(hub: Hub) -> None:
    seen: list[bytes] = []
    for _ in range(3):
        line = Writer(seen.append, whole(seen.append))
        hub.start(hub.join(Subscription(), line, lambda _: None, 0.0), 0.0)
    publish(hub, 0)
    assert len(seen) == 3
    assert seen[0] is seen[1] is seen[2]


def test_news_due_together_leaves_in_one_write(hub: Hub) -> None:
    reader = Reader(hub, Subscription())
    for seq in range(5):
        hub.publish(wire.Outcome(outcome(seq, "a")))
    hub.flush(0.0)
    assert [m["seq"] for m in reader.results] == [0, 1, 2, 3, 4]
    assert reader.writes == 1


def test_much_news_leaves_in_several_writes_and_a_full_line_keeps_only_one_of_them(
    hub: Hub,
) -> None:
    fast, slow = Reader(hub, Subscription()), Reader(hub, Subscription(), room=1)
    for seq in range(10):
        hub.publish(wire.Outcome(outcome(seq, "a", kind="value", payload="x" * 9000)))
    hub.flush(0.0)
    assert (fast.writes, slow.writes) == (10, 1)
    slow.drain(5)
    assert [m["seq"] for m in slow.results] == [0, 9]


def test_a_newcomer_gets_the_last_of_each_camera_then_live(hub: Hub) -> None:
    for seq in range(3):
        publish(hub, seq, "a")
        publish(hub, seq, "b")
    late = Reader(hub, Subscription())
    assert {(m["camera"], m["seq"], m["missed"]) for m in late.results} == {
        ("a", 2, 0), ("b", 2, 0),
    }  # fmt: skip
    assert late.writes == 1
    publish(hub, 3, "a")
    assert late.results[-1]["seq"] == 3
    assert late.client.place is Place.LIVE


def test_a_new_client_after_a_loss_gets_the_gap_with_its_second_message(hub: Hub) -> None:
    Reader(hub, Subscription())
    publish(hub, 0)
    lose(hub, 1, 4)
    late = Reader(hub, Subscription())
    publish(hub, 5)
    assert [(m["seq"], m["missed"]) for m in late.results] == [(0, 0), (5, 4)]
    assert late.results[1]["missed_by"] == {"lost": 4}


def test_a_gap_does_not_skip_unreported_losses_of_a_new_client(hub: Hub) -> None:
    every = Subscription(delivery="every")
    publish(hub, 0)
    lose(hub, 1, 1)
    late = Reader(hub, every)
    back = Reader(hub, every, opening=Opening(since={"a": StreamPosition("k3f9", 0)}))
    lose(hub, 2, 3)
    publish(hub, 4)
    lose(hub, 5, 5)
    publish(hub, 6)
    for reader in (late, back):
        reader.check_holes()
        assert [(m["seq"], m["missed"]) for m in reader.results if m["seq"]] == [(4, 3), (6, 0)]
        assert [m["first_seq"] for m in reader.received if m["type"] == "gap"] == [5]


def test_a_new_client_gets_no_losses_from_before_the_first_result(hub: Hub) -> None:
    early = Reader(hub, Subscription())
    lose(hub, 0, 4)
    late = Reader(hub, Subscription())
    publish(hub, 5)
    assert early.results[0]["missed"] == 5
    assert late.results[0]["missed"] == 0
    assert late.client.place is Place.LIVE


def test_a_blocked_client_conflates_and_gets_the_count_by_cause(hub: Hub) -> None:
    slow, fast = Reader(hub, Subscription(), room=1), Reader(hub, Subscription())
    publish(hub, 0)
    publish(hub, 1)
    lose(hub, 2, 3)
    lose(hub, 4, 4, cause="bus")
    publish(hub, 5)
    assert [m["seq"] for m in slow.results] == [0]
    slow.drain(10)
    last = slow.results[-1]
    assert (last["seq"], last["missed"]) == (5, 4)
    assert last["missed_by"] == {"conflated": 1, "lost": 2, "bus": 1}
    assert fast.results[-1]["missed_by"] == {"lost": 2, "bus": 1}
    assert "missed_by" not in fast.results[0]


def test_a_loss_after_the_pending_result_is_reported_with_the_next_one(hub: Hub) -> None:
    slow = Reader(hub, Subscription(), room=1)
    publish(hub, 0)
    publish(hub, 1)
    lose(hub, 2, 2)
    slow.drain(10)
    publish(hub, 3)
    assert [(m["seq"], m["missed"]) for m in slow.results] == [(0, 0), (1, 0), (3, 1)]


def test_nothing_is_done_for_a_full_line(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Reader(hub, Subscription(), room=1)
    publish(hub, 0)
    assert slow.client.place is Place.BLOCKED
    monkeypatch.setattr(type(slow.client.cursor), "drain", None)
    monkeypatch.setattr(type(slow.client.cursor), "account", None)
    publish(hub, 1)


def test_statuses_conflate_by_subject_on_a_full_line(hub: Hub) -> None:
    slow = Reader(hub, Subscription(), room=1)
    publish(hub, 0)
    for name in ("stalled", "live", "stalled", "frozen"):
        hub.publish(wire.status(status(name, "a")))
        hub.flush(0.0)
    slow.drain(5)
    assert [m["state"] for m in slow.received if m["type"] == "status"] == ["frozen"]


def test_status_on_join_only_for_cameras_that_are_not_live(hub: Hub) -> None:
    hub.publish(wire.status(status("live", "a")))
    hub.publish(wire.status(status("connecting", "b")))
    hub.publish(wire.status(status("stalled", "c")))
    hub.publish(wire.status(status("live", "c")))
    hub.publish(wire.status(status("ready", None, subject="worker", worker=1)))
    hub.flush(0.0)
    reader = Reader(hub, Subscription())
    assert [(m["camera"], m["state"]) for m in reader.received] == [("b", "connecting")]
    assert Reader(hub, Subscription(cameras=frozenset("a"))).received == []


def test_new_clients_get_no_results_of_an_earlier_epoch(hub: Hub) -> None:
    Reader(hub, Subscription())
    publish(hub, 7)
    hub.publish(NewEpoch())
    hub.flush(0.0)
    late = Reader(hub, Subscription())
    assert late.received == []
    publish(hub, 0, epoch="new")
    assert [(m["epoch"], m["seq"]) for m in late.results] == [("new", 0)]


def test_the_account_of_a_client_that_left_is_kept(hub: Hub) -> None:
    reader = Reader(hub, Subscription())
    publish(hub, 0)
    before = hub.totals()
    hub.leave(reader.client)
    hub.leave(reader.client)
    assert hub.totals() == before == hub.left
    assert hub.clients == 0
    publish(hub, 1)
    assert len(reader.results) == 1


def test_what_is_still_due_of_an_old_contract_leaves_as_that_had_it(hub: Hub) -> None:
    for seq in range(3):
        publish(hub, seq)
    written: list[bytes] = []
    line = Writer(written.append, whole(written.append))
    client = hub.join(Subscription(), line, lambda _: None, 0.0, Opening(history=3))
    reply = wire.Body(b"reply", False)
    hub.switch(client, Subscription(format="msgpack"), Opening(), reply, 0.0)
    before, after = b"".join(written).split(frames([reply]))
    assert [message["seq"] for message in split(before)] == [0, 1, 2]
    assert after == b""
    publish(hub, 3)
    assert written[-1][0] == 0x82


def test_a_new_client_gets_the_missed_count_with_its_second_result(hub: Hub) -> None:
    subscription = Subscription(delivery="every", nonempty=True)
    Reader(hub, subscription)
    publish(hub, 0)
    lose(hub, 1, 1)
    publish(hub, 2, payload=[])
    lose(hub, 3, 3)
    newcomer = Reader(hub, subscription)
    publish(hub, 4)
    assert [(m["seq"], m["missed"]) for m in newcomer.received] == [(0, 0), (4, 3)]
    assert newcomer.received[1]["missed_by"] == {"lost": 2, "filtered": 1}
    newcomer.check_holes()
    assert newcomer.client.cursor.account().missed == 3


def test_a_client_waiting_for_a_silent_camera_is_live_until_it_delivers(hub: Hub) -> None:
    publish(hub, 0)
    opening = Opening(since={"a": StreamPosition("k3f9", 0), "b": StreamPosition("k3f9", 7)})
    back = [Reader(hub, Subscription(delivery=how), opening=opening) for how in ("latest", "every")]
    assert [each.client.place for each in back] == [Place.LIVE] * 2
    publish(hub, 1)
    assert [each.client.place for each in back] == [Place.LIVE] * 2
    publish(hub, 9, "b")
    for each in back:
        assert [m["seq"] for m in each.results] == [1, 9]
        assert each.results[-1]["missed_by"] == {"history": 1}
        assert each.client.place is Place.LIVE
        each.check_holes()


def test_latest_goes_on_with_the_newest_and_counts_what_lies_between(hub: Hub) -> None:
    for seq in range(6):
        publish(hub, seq)
    lose(hub, 6, 7)
    since = {"a": StreamPosition("k3f9", 1)}
    back = Reader(hub, Subscription(), opening=Opening(since=since))
    assert [(m["type"], m.get("recovered"), m["seq"]) for m in back.received] == [
        ("resumed", False, 1), ("result", None, 5),
    ]  # fmt: skip
    assert back.results[0]["missed_by"] == {"history": 3}
    publish(hub, 8)
    assert back.results[-1]["missed_by"] == {"lost": 2}
    more = Reader(hub, Subscription(), opening=Opening(history=3, since=since))
    assert [m["seq"] for m in more.results] == [4, 5, 8]
    back.check_holes()
    more.check_holes()


def test_a_long_past_is_made_in_slices_and_others_have_their_turn(hub: Hub) -> None:
    for seq in range(500):
        publish(hub, seq)
    late = Reader(hub, Subscription(), opening=Opening(history=500), works=False)
    other = Reader(hub, Subscription(), works=False)
    assert 0 < len(late.results) < 100
    publish(hub, 500)
    assert other.results[-1]["seq"] == 500
    slices = 0
    while hub.has_work:
        hub.work(0.0)
        slices += 1
    assert slices > 5
    assert [m["seq"] for m in late.results] == list(range(501))
    late.check_holes()


def test_a_client_far_behind_catches_up_in_slices() -> None:
    """Its line takes all at once, as that of a client nearby does."""
    hub = Hub(every_messages=1000, every_bytes=1 << 24)
    late = Reader(hub, Subscription(delivery="every"), room=1, works=False)
    other = Reader(hub, Subscription(delivery="every"))
    for seq in range(1000):
        publish(hub, seq, kind="value", payload="x" * 1000)
    before, slices = len(late.results), 0
    late.drain(2000)
    while hub.has_work:
        slices += 1
        assert len(late.results) - before <= slices * (WRITE_BYTES / 1000 + 1)
        hub.work(0.0)
    assert slices > 5
    assert late.client.place is Place.LIVE
    assert [m["seq"] for m in late.results] == [m["seq"] for m in other.results]
    late.check_holes()


def test_a_filter_that_looks_into_a_long_past_gives_others_their_turn(hub: Hub) -> None:
    for seq in range(1000):
        publish(hub, seq)
    nobody = Subscription(nonempty=True, labels=frozenset({"nobody"}))
    late = Reader(hub, nobody, opening=Opening(history=1000), works=False)
    slices = 0
    while hub.has_work:
        hub.work(0.0)
        slices += 1
    assert slices >= 1000 / 64 / 2 - 1
    assert late.results == []


def test_a_message_limit_is_kept_to_the_message(hub: Hub) -> None:
    """The reader asserts that no more are unacknowledged; each camera is served in its turn."""
    reader = Reader(hub, Subscription(), ack=2)
    for seq in range(9):
        for camera in "abc":
            publish(hub, seq, camera)
        if seq % 2:
            reader.acknowledge(2)
    assert len({m["camera"] for m in reader.results[-3:]}) == 3
    reader.check_holes()


def test_much_news_at_once_is_no_lag_of_a_client_with_a_free_line() -> None:
    hub = Hub(every_messages=20, every_bytes=1 << 20)
    publish(hub, 0)
    lose(hub, 1, 1)
    client = Reader(hub, Subscription(delivery="every"), opening=Opening(history=3))
    publish(hub, 0, "b")
    for seq in range(1, 100):
        hub.publish(wire.Outcome(outcome(seq, "b")))
    hub.flush(0.0)
    assert not client.evicted
    assert [m["seq"] for m in client.results if m["camera"] == "b"] == list(range(100))


def test_what_is_queued_behind_an_empty_replay_waits_for_no_news(hub: Hub) -> None:
    """Nothing else may come for minutes, so the next flush would be late."""
    hub.publish(wire.status(status("stalled", "a")))
    for camera in ("a", "c"):
        lose(hub, 0, 4, camera)
    reader = Reader(hub, Subscription(), ack=1, works=False)
    assert [message["camera"] for message in reader.received] == ["a"], "it takes one at a time"
    hub.publish(Removed("b", wire.status(status("ended", "b", reason="removed"))))
    hub.flush(0.0)
    reader.drain(1000)
    while hub.has_work:
        hub.work(0.0)
    assert [message["camera"] for message in reader.received] == ["a", "b"]
