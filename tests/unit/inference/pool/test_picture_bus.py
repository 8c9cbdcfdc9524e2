"""What pictures cost while somebody who asked for them stands still, and whom."""

from __future__ import annotations

import contextlib
import ctypes
import shutil
import tempfile
from typing import TYPE_CHECKING, Any

import msgspec
import psutil
import pytest
import zmq
from waiting import wait_until

from framefan.ipc import bus
from framefan.ipc.outcomes import WorkerPreview
from framefan.ipc.records import StatusRecord
from framefan.settings.run import CameraSettings, Limits, Settings
from framefan.settings.secret import SourceText
from framefan_inference.pool.picture_bus import subscriptions
from framefan_inference.pool.previews import Preview
from framefan_inference.pool.publisher import Publisher

if TYPE_CHECKING:
    from collections.abc import Iterator

KIB, MIB = 1 << 10, 1 << 20
TOPIC = "preview/cam1/full/"
SLACK = 12 * MIB
"""What is in the readers, which are in this process too, in hand, and in the holes of the
heap. Without a bound it would be 64 MiB."""


class Bus:
    def __init__(self, folder: str) -> None:
        camera = CameraSettings(name="cam1", source=SourceText("demo"))
        self.settings = Settings(run_dir=folder, cameras=(camera,), limits=Limits())
        self.publisher = Publisher(self.settings, "k3f9")
        self._open = contextlib.ExitStack()
        self._open.callback(self.publisher.close)
        self.seq = 0

    def close(self) -> None:
        self._open.close()

    def reader(self, endpoints: tuple[str, ...], *topics: str, hwm: int = 100_000) -> Any:
        """A SUB that has been heard everywhere; with a `hwm` of 1 nearly nothing waits in it."""
        sock = bus.subscriber(msgspec.structs.replace(Limits(), bus_hwm=hwm), *topics)
        self._open.callback(sock.close, linger=0)
        sock.setsockopt(zmq.SNDHWM, 0)
        sock.setsockopt(zmq.RCVBUF, 8192)
        heard = 0

        def hear() -> bool:
            nonlocal heard
            sockets = [self.publisher.socket, *self.publisher.picture_sockets]
            for place, each in enumerate(sockets):
                for starts, topic in subscriptions(each):
                    self.publisher.previews.watched(topic, starts, place)
                    heard += 1
            return heard >= len(endpoints) * len(topics)

        for endpoint in endpoints:
            sock.connect(endpoint)
        wait_until(hear, 5, "its subscriptions")
        return sock

    def preview(self, jpeg: bytes) -> None:
        head = WorkerPreview(self.seq, "cam1", self.seq, self.seq, "full", 0.0)
        self.publisher.preview(Preview(head, jpeg))
        self.seq += 1

    def status(self) -> None:
        self.publisher.status(StatusRecord(subject="camera", camera="cam1", state="live"))


@pytest.fixture
def world() -> Iterator[Bus]:
    folder = tempfile.mkdtemp(prefix="ff-")
    made = Bus(folder)
    yield made
    made.close()
    shutil.rmtree(folder)


def rss() -> int:
    return int(psutil.Process().memory_info().rss)


def take(sock: Any) -> list[tuple[str, int]]:
    """The topics of what has come, and the `n` or `seq`."""
    found = []
    while sock.poll(0):
        topic, body = sock.recv_multipart()
        record = msgspec.msgpack.decode(body)
        found.append((topic.decode(), record["seq"] if "seq" in record else record["n"]))
    return found


SIZES = pytest.mark.parametrize(
    "size", [1200 * KIB, 300 * KIB, 40 * KIB], ids=["1.2M", "300K", "40K"]
)


@SIZES
@pytest.mark.parametrize("at", ["pictures", "results"])
def test_a_reader_that_stands_still_costs_a_bounded_amount(world: Bus, size: int, at: str) -> None:
    """And nobody else a picture, nobody a result. All pictures are four times the bound."""
    pictures, results = world.settings.picture_endpoints, (world.settings.results_endpoint,)
    world.reader(pictures if at == "pictures" else results, TOPIC, hwm=1)
    other = world.reader(pictures, TOPIC)
    told = world.reader(results, bus.STATUS)
    ctypes.CDLL(None).malloc_trim(0)  # else what earlier tests have freed is used, unseen
    before, count = rss(), 4 * 16 * MIB // size
    grown, seen, numbers = 0, 0, []
    for n in range(count):
        world.preview(n.to_bytes(4, "big") * (size // 4))
        world.status()
        assert other.poll(5000), "the other reader gets no picture"
        seen += len(take(other))
        grown = max(grown, rss() - before)
        numbers += [number for _, number in take(told)]
    wait_until(lambda: numbers.extend(number for _, number in take(told)) or len(numbers) >= count)
    print(size, at, grown / MIB)
    assert grown < world.settings.limits.picture_bytes + SLACK, grown / MIB
    assert seen == count
    assert numbers == list(range(count))


def test_pictures_leave_results_their_room(world: Bus) -> None:
    """A reader of both that stands still has as many results as if there were no pictures."""
    both = world.reader((world.settings.results_endpoint,), bus.STATUS, TOPIC, hwm=1)
    most = world.settings.limits.bus_hwm
    for _ in range(most):
        for _ in range(3):
            world.preview(bytes(64 * KIB))
        world.status()
    found: list[tuple[str, int]] = []

    def numbers() -> list[int]:
        found.extend(take(both))
        return [number for topic, number in found if topic.startswith(bus.STATUS)]

    wait_until(lambda: len(numbers()) >= most, 5, "as many results as there is room for")
    assert numbers() == list(range(most))
    assert len(found) > most, "no picture came"


def test_who_asks_where_results_are_gets_pictures_there_again_when_all_have_read(
    world: Bus,
) -> None:
    still = world.reader((world.settings.results_endpoint,), TOPIC, hwm=1)
    other = world.reader((world.settings.results_endpoint,), TOPIC)
    for _ in range(60):
        world.preview(bytes(MIB))
    got = []
    fit = world.settings.limits.picture_bytes // MIB - 1  # each is a little larger than a MiB
    wait_until(lambda: got.extend(take(other)) or len(got) >= fit)

    def flows() -> bool:
        take(still)
        world.preview(bytes(MIB))
        got.extend(take(other))
        return len(got) > 100

    wait_until(flows, 10, "pictures again")


def test_what_is_too_large_for_all_sockets_is_not_sent(world: Bus) -> None:
    other = world.reader(world.settings.picture_endpoints, TOPIC)
    world.preview(bytes(bus.most_jpeg_bytes(world.settings.limits) + bus.HEAD_BYTES))
    world.preview(bytes(bus.most_jpeg_bytes(world.settings.limits)))
    assert other.poll(5000)
    assert take(other) == [(TOPIC, 1)]


def test_nobody_is_sent_what_nobody_there_asked_for(world: Bus) -> None:
    """All records without exception: pictures that are made for others are not among them."""
    every = world.reader((world.settings.results_endpoint,), "")
    other = world.reader(world.settings.picture_endpoints, TOPIC)
    world.preview(b"jpeg")
    world.status()
    assert other.poll(5000)
    assert every.poll(5000)
    assert [topic for topic, _ in take(every)] == ["status/cam1/"]
