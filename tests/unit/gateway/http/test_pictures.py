"""Pictures that follow results: to whom, of which result, and who asks the workers for them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest
from gateway_fakes import outcome, parts, state
from hub_reader import Reader
from test_web import Site

from framefan.ipc.records import CameraFacts, PreviewRecord
from framefan_gateway.connection import options
from framefan_gateway.delivery.hub import Hub
from framefan_gateway.delivery.subscription import Subscription
from framefan_gateway.delivery.wire import Picture
from framefan_gateway.http.previews import MOST_SNAPSHOTS, Busy, Previews
from framefan_gateway.intake import Intake

JPEG = b"\xff\xd8 a picture \xff\xd9"


class Viewer(Reader):
    """A client whose line brings pictures, too."""

    def write(self, data: bytes) -> None:
        self.pictures: list[tuple[dict[str, Any], bytes]] = getattr(self, "pictures", [])
        texts = b""
        while data:
            size, start = data[1], 2
            if size == 126:
                size, start = int.from_bytes(data[2:4], "big"), 4
            body = data[start : start + size]
            if data[0] == 0x82:
                length = int.from_bytes(body[:4], "big")
                self.pictures.append((json.loads(body[4 : 4 + length]), body[4 + length :]))
            else:
                texts += data[: start + size]
            data = data[start + size :]
        if texts:
            super().write(texts)


class Run:
    """A pool that makes pictures, before a hub."""

    def __init__(self) -> None:
        self.cameras = ["a", "b"]
        self.previews = Previews(self.cameras)
        self.hub = Hub(1000, 1 << 20, observer=self.previews)
        self.intake = Intake(self.hub, 3.0)
        self.n = 0
        self.take("state/", state({name: CameraFacts(state="live") for name in self.cameras}))

    @property
    def topics(self) -> frozenset[str]:
        return self.previews.topics

    def take(self, topic: str, record: Any) -> None:
        record.epoch = "k3f9"
        if not isinstance(record, PreviewRecord):
            record.n = self.n
            self.n += 1
        self.intake.take(parts(topic, record), 0.0, 100.0)
        for item in self.hub.flush(0.0):
            if isinstance(item, Picture):
                self.previews.on_picture(item)

    def result(self, seq: int, camera: str = "a", **changes: Any) -> None:
        self.take(f"result/{camera}/", outcome(seq, camera, **changes))

    def picture(self, seq: int, camera: str = "a", picture: str = "640") -> None:
        record = PreviewRecord(
            epoch="", camera=camera, seq=seq, frame=2 * seq, picture=picture, jpeg=JPEG
        )
        self.take(f"preview/{camera}/{picture}/", record)


def seqs(viewer: Viewer) -> list[int]:
    return [message["seq"] for message, _ in viewer.pictures]


@pytest.mark.parametrize("delivery", ["latest", "every"])
def test_a_picture_repeats_its_result_word_for_word(delivery: Any) -> None:
    run = Run()
    viewer = Viewer(run.hub, Subscription(delivery=delivery, preview=640))
    plain = Reader(run.hub, Subscription(delivery=delivery))
    run.result(0)
    run.result(1, kind="lost")
    run.result(2, kind="error")
    run.picture(0)  # late: that of 2 is still to come
    run.picture(2)
    assert [(message, jpeg) for message, jpeg in viewer.pictures] == [
        (each, JPEG) for each in viewer.results
    ]
    assert seqs(viewer) == [0, 2]
    assert len(plain.results) == 2
    viewer.check_holes()
    assert viewer.client.cursor.account()[:2] == plain.client.cursor.account()[:2]


def test_only_subscribers_of_that_width_and_camera_get_a_picture() -> None:
    run = Run()
    small = Viewer(run.hub, Subscription(preview=320))
    other = Viewer(run.hub, Subscription(preview=640, cameras=frozenset("b")))
    run.result(0)
    run.result(0, "b")
    run.picture(0, picture="320")
    run.picture(0, "b", "640")
    assert [message["camera"] for message, _ in small.pictures] == ["a"]
    assert [message["camera"] for message, _ in other.pictures] == ["b"]


def test_what_was_not_sent_has_no_picture() -> None:
    run = Run()
    viewer = Viewer(run.hub, Subscription(preview=640, nonempty=True))
    run.result(0, payload=[])
    run.picture(0)
    run.result(1)
    run.picture(1)
    run.picture(1)  # twice on the bus
    run.picture(7)
    assert seqs(viewer) == [1]


def test_a_blocked_client_gets_only_the_newest_picture() -> None:
    run = Run()
    viewer = Viewer(run.hub, Subscription(preview=640), room=1)
    for seq in range(3):
        run.result(seq)
        run.picture(seq)
    viewer.drain(100)
    run.result(3)
    run.picture(3)
    assert seqs(viewer) == [2, 3]
    assert [each["seq"] for each in viewer.results] == [0, 2, 3]
    viewer.check_holes()


def test_the_topics_are_those_that_clients_need_now() -> None:
    run = Run()
    assert run.topics == set()
    Reader(run.hub, Subscription())
    first = Viewer(run.hub, Subscription(preview=640, cameras=frozenset("a")))
    second = Viewer(run.hub, Subscription(preview=640, cameras=frozenset("a")))
    assert run.topics == {"preview/a/640/"}
    second.switch(Subscription(preview=320))
    assert run.topics == {"preview/a/640/", "preview/a/320/", "preview/b/320/"}
    run.previews.on_cameras([*run.cameras, "c"])
    assert "preview/c/320/" in run.topics
    run.hub.leave(first.client)
    run.hub.leave(second.client)
    assert run.topics == set()


async def test_a_change_of_the_topics_wakes_the_reader_of_the_bus() -> None:
    run = Run()
    waiting = asyncio.create_task(run.previews.wait_changed(run.topics))
    Reader(run.hub, Subscription())
    await asyncio.sleep(0)
    assert not waiting.done()
    viewer = Viewer(run.hub, Subscription(preview=640, cameras=frozenset("a")))
    assert await waiting == {"preview/a/640/"}
    run.hub.leave(viewer.client)  # before anything waits again
    assert await run.previews.wait_changed({"preview/a/640/"}) == set()


def test_a_foreign_picture_is_dropped_and_counted() -> None:
    run = Run()
    viewer = Viewer(run.hub, Subscription(preview=640))
    run.result(0)
    record = PreviewRecord(epoch="k3f9", camera="a", seq=0, frame=0, picture="640", jpeg=JPEG)
    run.intake.take(parts("preview/b/640/", record), 0.0, 0.0)
    run.intake.take([b"preview/a/640/", b"no record"], 0.0, 0.0)
    other = msgspec.structs.replace(record, epoch="other")
    run.intake.take(parts("preview/a/640/", other), 0.0, 0.0)
    run.hub.flush(0.0)
    assert seqs(viewer) == []
    assert run.intake.foreign == 2


def test_a_picture_that_arrives_before_its_result_is_sent_after_it() -> None:
    """They come by two sockets."""
    run = Run()
    viewer = Viewer(run.hub, Subscription(preview=640))
    for seq in (0, 1, 2):
        run.result(seq)
    for seq in (4, 3, 5):
        run.picture(seq)
    assert seqs(viewer) == []
    run.result(3)
    assert seqs(viewer) == [3]
    run.result(5)  # the bus lost 4: its picture is of no result that anybody has
    assert seqs(viewer) == [3, 5]
    for seq in range(7, 107):
        run.picture(seq)
    for seq in range(7, 107):
        run.result(seq)
    assert seqs(viewer) == [3, 5, *range(99, 107)], "no more than a few wait"


@pytest.mark.parametrize(("text", "width"), [("0", 0), ("320", 320), ("640", 640), ("1280", 1280)])
def test_widths(text: str, width: int) -> None:
    assert options.parse_query(f"preview={text}", ["a"])[0].preview == width
    assert options.subscribe(Subscription(preview=640), {"preview": width or None}, ["a"])[
        0
    ] == Subscription(preview=width)


@pytest.mark.parametrize("value", [1, 641, -320, True, "640", 640.5, [640], float("nan")])
def test_other_widths_are_refused(value: Any) -> None:
    with pytest.raises(options.Refusal, match="preview is one of the widths"):
        options.subscribe(Subscription(), {"preview": value}, ["a"])


# ---- snapshots ---------------------------------------------------------------------------------


async def test_a_snapshot_is_watched_for_until_it_comes() -> None:
    run = Run()
    first = asyncio.create_task(run.previews.snapshot("a", "full", 5))
    second = asyncio.create_task(run.previews.snapshot("a", "full", 5))
    await asyncio.sleep(0)
    assert run.topics == {"preview/a/full/"}
    run.result(0)
    run.picture(0, picture="full")
    assert (await first, await second) == (JPEG, JPEG)
    assert run.topics == set()


async def test_one_that_does_not_come_in_time_is_watched_for_no_longer() -> None:
    run = Run()
    with pytest.raises(TimeoutError):
        await run.previews.snapshot("a", "boxes", 0.01)
    assert run.topics == set()


async def test_so_many_are_waited_for_and_no_more() -> None:
    run = Run()
    tasks = [
        asyncio.create_task(run.previews.snapshot(f"c{n}", "full", 5))
        for n in range(MOST_SNAPSHOTS)
    ]
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await run.previews.snapshot("a", "full", 5)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert run.topics == set()


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("/snapshot/none.jpg", 404, 'no camera "none"'),
        ("/snapshot/cam.png", 404, "/snapshot/CAMERA.jpg"),
        ("/snapshot/..%2f.jpg", 404, "/snapshot/CAMERA.jpg"),
        ("/snapshot/cam.jpg?boxes=2", 400, "boxes=1"),
        ("/snapshot/cam.jpg?size=3", 400, "boxes=1"),
    ],
)
def test_an_invalid_snapshot_path_is_refused_with_the_reason(
    path: str, code: int, words: str
) -> None:
    site = Site()
    site.state(state())
    answer = site.get(path)
    assert answer.status_code == code
    assert words in json.loads(answer.body)["error"]
