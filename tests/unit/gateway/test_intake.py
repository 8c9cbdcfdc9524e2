"""What is taken from the bus, what is dropped and counted, and which holes are told."""

from __future__ import annotations

import math
import pickle
from typing import Any

import msgspec
import pytest
from gateway_fakes import outcome, parts, state, status

from framefan.ipc.records import CameraFacts
from framefan_gateway.delivery import wire
from framefan_gateway.delivery.accounts import Loss
from framefan_gateway.delivery.news import NewEpoch
from framefan_gateway.intake import Intake


class FakeHub:
    """Takes the place of the hub and keeps its news."""

    def __init__(self) -> None:
        self.news: list[Any] = []

    def publish(self, news: Any) -> None:
        if not isinstance(news, NewEpoch):
            self.news.append(news)

    @property
    def summary(self) -> list[Any]:
        return [item.seq if isinstance(item, wire.Outcome) else item for item in self.news]


@pytest.fixture
def hub() -> FakeHub:
    return FakeHub()


@pytest.fixture
def intake(hub: FakeHub) -> Intake:
    return Intake(hub, state_lost_s=3.0)  # type: ignore[arg-type]


def take(intake: Intake, topic: str, record: Any, now: float = 0.0) -> None:
    intake.take(parts(topic, record), now, 100.0)


def results(intake: Intake, *seqs: int, **changes: Any) -> None:
    for seq in seqs:
        take(intake, "result/cam/", outcome(seq, **changes))


def test_outcomes_pass_in_order(intake: Intake, hub: FakeHub) -> None:
    results(intake, 0, 1, 2)
    assert hub.summary == [0, 1, 2]


def test_counting_starts_at_the_first_record_seen(intake: Intake, hub: FakeHub) -> None:
    results(intake, 41, 42)
    assert hub.summary == [41, 42]


def test_a_hole_in_seq_is_a_loss_by_the_bus(intake: Intake, hub: FakeHub) -> None:
    results(intake, 0, 4)
    assert hub.summary == [0, Loss("cam", "k3f9", 1, 3, "bus"), 4]
    assert intake.bus_gaps == 3


def test_a_lost_outcome_is_a_loss(intake: Intake, hub: FakeHub) -> None:
    results(intake, 0)
    results(intake, 1, kind="lost")
    assert hub.summary == [0, Loss("cam", "k3f9", 1, 1, "lost")]


def test_what_came_before_is_stale(intake: Intake, hub: FakeHub) -> None:
    results(intake, 0, 1, 1, 0, 2)
    assert hub.summary == [0, 1, 2]
    assert intake.stale == 2


def test_a_new_epoch_starts_at_0_and_ends_the_old_one_for_good(
    intake: Intake, hub: FakeHub
) -> None:
    results(intake, 7)
    results(intake, 2, epoch="new")
    results(intake, 8)
    results(intake, 3, epoch="new")
    assert hub.summary == [7, Loss("cam", "new", 0, 1, "bus"), 2, 3]
    assert intake.stale == 1


@pytest.mark.parametrize(
    "message",
    [
        [],
        [b"result/cam/"],
        [b"result/cam/", b""],
        [b"result/cam/", b"\xc1 junk"],
        [b"result/cam/", pickle.dumps({"seq": 1})],
        [b"\xff\xfe/", b"x"],
        [b"other/cam/", msgspec.msgpack.encode(outcome(0))],
        [b"result/other/", msgspec.msgpack.encode(outcome(0))],
        [b"result/Not A Name/", msgspec.msgpack.encode(outcome(0, "Not A Name"))],
        [b"result/cam/", msgspec.msgpack.encode(outcome(0)), b"more"],
        [b"result/cam/", b"\x91" * 5000],
        parts("result/cam/", outcome(-1)),
        parts("result/cam/", outcome(1 << 60)),
        parts("result/cam/", outcome(0, ts=math.nan)),
        parts("result/cam/", outcome(0, captured_at=math.inf)),
        parts("result/cam/", outcome(0, payload="no list")),
        parts("result/cam/", outcome(0, kind="error", payload=3)),
        parts("status/cam/", outcome(0)),
        parts("state/", status("live")),
    ],
)
def test_what_is_not_ours_is_dropped_and_counted(
    intake: Intake, hub: FakeHub, message: list[bytes]
) -> None:
    results(intake, 0)
    intake.take(message, 0.0, 0.0)
    results(intake, 1)
    assert hub.summary == [0, 1]
    assert intake.foreign == 1


def test_deep_nesting_is_foreign(intake: Intake) -> None:
    record = outcome(0, kind="value", payload=None)
    record.payload = msgspec.Raw(b"\x91" * 20_000 + b"\x00")
    take(intake, "result/cam/", record)
    assert intake.foreign == 1


def test_a_status_passes_once_even_when_the_state_table_repeats_it(
    intake: Intake, hub: FakeHub
) -> None:
    take(intake, "status/cam/", status("stalled", reason="timeout"))
    table = state({"cam": CameraFacts(state="stalled", reason="timeout")})
    take(intake, "state/", table)
    take(intake, "state/", table)
    assert [item.state for item in hub.news] == ["stalled"]


def test_a_status_that_the_bus_lost_comes_from_the_state_table(
    intake: Intake, hub: FakeHub
) -> None:
    take(intake, "state/", state({"cam": CameraFacts(state="stalled", reason="timeout")}))
    take(intake, "state/", state({"cam": CameraFacts(state="live")}))
    assert [(item.camera, item.state) for item in hub.news] == [
        ("cam", "stalled"),
        ("cam", "live"),
    ]


def test_the_table_reports_a_live_camera_only_if_it_was_not_live_before(
    intake: Intake, hub: FakeHub
) -> None:
    take(intake, "state/", state({"cam": CameraFacts(state="live", reason="size_changed")}))
    assert hub.news == []
    take(intake, "state/", state({"cam": CameraFacts(state="frozen", reason="same_picture")}))
    take(intake, "state/", state({"cam": CameraFacts(state="live", reason="size_changed")}))
    assert [item.state for item in hub.news] == ["frozen", "live"]


def test_the_table_has_the_time_left_until_the_next_try(intake: Intake, hub: FakeHub) -> None:
    facts = CameraFacts(state="backoff", reason="dns", next_try_s=20.0)
    take(intake, "state/", state({"cam": facts}))
    assert hub.news[0].next_try_s == 20.0


def test_each_change_is_counted_by_camera_state_and_reason(intake: Intake) -> None:
    for name, reason in [("backoff", "dns"), ("connecting", ""), ("backoff", "dns")]:
        take(intake, "status/cam/", status(name, reason=reason))
    take(intake, "status/cam/", status("dreaming", reason="of sheep"))
    assert intake.changes == {
        "cam": {("backoff", "dns"): 2, ("connecting", ""): 1, ("other", "other"): 1}
    }


@pytest.mark.parametrize("pts", [math.nan, math.inf, 1e300])
def test_a_source_clock_that_is_none_is_foreign(intake: Intake, hub: FakeHub, pts: float) -> None:
    results(intake, 0, pts=pts)
    results(intake, 0, pts=-0.5)
    assert (hub.summary, intake.foreign) == ([0], 1)


def test_a_live_camera_is_no_news(intake: Intake, hub: FakeHub) -> None:
    take(intake, "state/", state())
    assert hub.news == []


def test_silence_and_its_end_are_reported_once_each(intake: Intake, hub: FakeHub) -> None:
    intake.tick(100.0, 0.0)
    assert hub.news == []  # nothing was received yet: starting, not silent
    assert not intake.fresh
    take(intake, "state/", state(), now=100.0)
    intake.tick(102.9, 0.0)
    assert intake.fresh
    intake.tick(103.1, 0.0)
    intake.tick(104.1, 0.0)
    assert not intake.fresh
    take(intake, "state/", state(), now=105.0)
    assert intake.fresh
    assert [(item.subject, item.state) for item in hub.news] == [
        ("pool", "silent"),
        ("pool", "live"),
    ]
