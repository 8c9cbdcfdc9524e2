"""Pictures in a feed: each follows its own result, once, and only the newest one has to come."""

from __future__ import annotations

from typing import Literal

import pytest
from gateway_fakes import outcome
from hub_reader import Reader
from hypothesis import example, given
from hypothesis import strategies as st

from framefan.ipc.records import PreviewRecord
from framefan_gateway.delivery.hub import Hub
from framefan_gateway.delivery.subscription import Subscription
from framefan_gateway.delivery.wire import Outcome, Picture

PREVIEW = Subscription(preview=320)
Event = Literal["result", "picture", "drain"]


class Camera:
    """One camera: its results, and the pictures that follow some of them."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._results = 0
        self.pictured: set[int] = set()

    def publish(self) -> None:
        self._hub.publish(Outcome(outcome(self._results, "a")))
        self._hub.flush(0.0)
        self._results += 1

    @property
    def newest(self) -> int:
        return self._results - 1

    def show(self) -> None:
        """Send the picture of the newest result; once, as the pool does."""
        seq = self.newest
        if seq < 0 or seq in self.pictured:
            return
        self.pictured.add(seq)
        record = PreviewRecord(
            epoch="k3f9", camera="a", seq=seq, frame=seq * 2, picture="320", jpeg=b"jpeg"
        )
        self._hub.publish(Picture(record))
        self._hub.flush(0.0)


@given(events=st.lists(st.sampled_from(Event.__args__), max_size=30), limit=st.integers(1, 3))
@example(events=["result", "picture", "drain", "result", "drain", "picture"], limit=1)
@example(events=["result", "picture", "drain"], limit=2)
@pytest.mark.parametrize("limited", ["paced", "ack", "room"])
def test_each_picture_follows_its_result_once(
    events: list[Event], limit: int, limited: str
) -> None:
    hub = Hub(every_messages=50, every_bytes=1 << 20)
    fast, slow = Reader(hub, PREVIEW), Reader(hub, PREVIEW, **{limited: limit})
    camera = Camera(hub)
    for event in events:
        if event == "result":
            camera.publish()
        elif event == "picture":
            camera.show()
        else:
            slow.drain(limit if limited == "room" else 1000)
    for _ in range(4):  # with a limit of one, what is left comes one by one
        slow.drain(1000)

    for reader in (fast, slow):
        seen: list[int] = []
        shown: list[int] = []
        for message in reader.received:
            (shown if message["type"] == "picture" else seen).append(message["seq"])
            assert message["type"] != "picture" or message["seq"] in seen
        assert len(shown) == len(set(shown)), "a picture came twice"
        if camera.newest in camera.pictured:
            assert shown[-1] == camera.newest
    assert [m["seq"] for m in fast.received if m["type"] == "picture"] == sorted(camera.pictured)
