"""The pool's two ends of the bus, over real sockets."""

from __future__ import annotations

import pickle
import shutil
import tempfile
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import zmq
from ledger_world import outcome_of
from waiting import wait_until

from framefan.ipc import bus
from framefan.ipc.records import OutcomeRecord, Pid, StateRecord, StatusRecord
from framefan.settings.run import CameraSettings, Settings
from framefan.settings.secret import SourceText
from framefan_inference.leases.camera_queue import Frame, Grant
from framefan_inference.leases.sequencer import LATE, Entry
from framefan_inference.pool.publisher import OutcomeReader, Publisher

if TYPE_CHECKING:
    from collections.abc import Iterator

GRANT = Grant(9, 2, "cam1", 5, Frame(1, 3, 40, 7.5, 1.25, 640, 480))


@pytest.fixture
def settings() -> Iterator[Settings]:
    folder = tempfile.mkdtemp(prefix="ff-")
    rows = tuple(CameraSettings(name=name, source=SourceText("demo")) for name in ("cam1", "cam10"))
    yield Settings(run_dir=folder, cameras=rows)
    shutil.rmtree(folder)


@pytest.fixture
def publisher(settings: Settings) -> Iterator[Publisher]:
    made = Publisher(settings, "k3f9")
    yield made
    made.close()


@pytest.fixture
def reader(settings: Settings) -> Iterator[OutcomeReader]:
    made = OutcomeReader(settings)
    yield made
    made.close()


class Subscriber:
    def __init__(self, settings: Settings, publisher: Publisher, topic: str) -> None:
        self.socket = bus.subscriber(settings.limits, topic)
        self.socket.connect(settings.results_endpoint)
        wait_until(publisher.new_subscriptions)

    def take(self, kind: Any) -> tuple[str, Any]:
        assert self.socket.poll(5000)
        topic, body = self.socket.recv_multipart()
        return topic.decode(), msgspec.msgpack.decode(body, type=kind)

    def __enter__(self) -> Subscriber:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def entry(outcome: Any = None, cause: str = "") -> Entry:
    made = Entry(GRANT)
    made.outcome, made.cause = outcome, cause
    return made


def state() -> StateRecord:
    return StateRecord(
        epoch="",
        n=0,
        ts=0.0,
        version="1",
        name="n",
        run_dir="",
        results_endpoint="",
        url="",
        supervisor=Pid(),
        pool=Pid(),
        gateways=[],
        workers=[],
        cameras={},
    )


# ---- what goes out -------------------------------------------------------------------------------


def test_a_result_has_the_workers_payload_and_the_frames_facts(
    settings: Settings, publisher: Publisher
) -> None:
    with Subscriber(settings, publisher, bus.RESULT) as sub:
        publisher.outcome(entry(outcome_of(9, "detections", 8.0)), "motion", 8.5)
        topic, record = sub.take(OutcomeRecord)
    assert topic == "result/cam1/"
    assert (record.kind, bytes(record.payload)) == ("detections", b"\x90")
    assert (record.epoch, record.n, record.camera, record.seq) == ("k3f9", 0, "cam1", 5)
    assert (record.frame, record.ts, record.captured_at) == (40, 1.25, 7.5)
    assert (record.started_at, record.finished_at) == (7.99, 8.0)
    assert (record.width, record.height) == (640, 480)
    assert (record.model, record.worker, record.v) == ("motion", 2, 1)


def test_a_loss_names_its_cause(settings: Settings, publisher: Publisher) -> None:
    with Subscriber(settings, publisher, bus.RESULT) as sub:
        publisher.outcome(entry(cause=LATE), "motion", 8.5)
        _, record = sub.take(OutcomeRecord)
    assert (record.kind, msgspec.msgpack.decode(record.payload)) == ("lost", LATE)
    assert (record.started_at, record.finished_at) == (8.5, 8.5)


def test_one_numbering_over_all_topics(settings: Settings, publisher: Publisher) -> None:
    with Subscriber(settings, publisher, "") as sub:
        publisher.outcome(entry(cause=LATE), "motion", 8.5)
        publisher.status(StatusRecord(subject="camera", camera="cam1", state="live"))
        publisher.status(StatusRecord(subject="worker", worker=1, state="ready"))
        publisher.state(state())
        kinds = (OutcomeRecord, StatusRecord, StatusRecord, StateRecord)
        seen = [sub.take(kind) for kind in kinds]
    assert [topic for topic, _ in seen] == ["result/cam1/", "status/cam1/", "status/", "state/"]
    assert [record.n for _, record in seen] == [0, 1, 2, 3]
    assert {record.epoch for _, record in seen} == {"k3f9"}
    assert all(record.ts > 0 for _, record in seen)


def test_cam1_is_not_cam10(settings: Settings, publisher: Publisher) -> None:
    with Subscriber(settings, publisher, f"{bus.STATUS}cam1/") as sub:
        for name in ("cam10", "cam1"):
            publisher.status(StatusRecord(subject="camera", camera=name, state="live"))
        assert sub.take(StatusRecord)[1].camera == "cam1"


def test_each_subscription_is_news_once(settings: Settings, publisher: Publisher) -> None:
    assert not publisher.new_subscriptions()
    for _ in range(2):  # the second subscribes to what is subscribed already
        with Subscriber(settings, publisher, bus.STATE):
            assert not publisher.new_subscriptions()


@pytest.mark.parametrize(
    ("topic", "reads"), [("state/", False), ("status/", False), ("", True), ("result/cam1/", True)]
)
def test_readers_of_results_are_known(
    settings: Settings, publisher: Publisher, topic: str, reads: bool
) -> None:
    with Subscriber(settings, publisher, topic):
        assert publisher.has_readers is reads


def test_nobody_listening_costs_nothing(settings: Settings, publisher: Publisher) -> None:
    for _ in range(2 * settings.limits.bus_hwm):
        publisher.outcome(entry(cause=LATE), "motion", 8.5)
    assert publisher.n == 2 * settings.limits.bus_hwm


# ---- what comes in -------------------------------------------------------------------------------

FOREIGN = {
    "nothing": b"",
    "noise": b"\xc1\xc1\xc1",
    "pickle": pickle.dumps([1, 2, 3]),
    "cut short": msgspec.msgpack.encode(outcome_of(1, "value", 1.0))[:-1],
    "more than one": msgspec.msgpack.encode(outcome_of(1, "value", 1.0)) * 2,
    "another kind": msgspec.msgpack.encode([1, "lost", 0.0, 0.0, []]),
    "a lease of text": msgspec.msgpack.encode(["1", "value", 0.0, 0.0, []]),
    "bad UTF-8": b"\x95\x01\xa5\xff\xff\xff\xff\xff\xcb"
    + b"\0" * 8
    + b"\xcb"
    + b"\0" * 8
    + b"\x90",
}


@pytest.mark.parametrize("data", FOREIGN.values(), ids=FOREIGN)
def test_foreign_bytes_are_counted_and_what_follows_is_read(
    settings: Settings, reader: OutcomeReader, data: bytes
) -> None:
    good = outcome_of(3, "value", 1.0)
    heard = send_and_drain(settings, reader, [data, msgspec.msgpack.encode(good)])
    assert heard == [good]
    assert reader.foreign == 1


def test_several_parts_are_no_outcome(settings: Settings, reader: OutcomeReader) -> None:
    good = msgspec.msgpack.encode(outcome_of(3, "value", 1.0))
    parts = [b"noise", b"more of it"]
    assert len(send_and_drain(settings, reader, [parts, good])) == 1
    assert reader.foreign >= 1


def test_a_payload_is_passed_on_unread(settings: Settings, reader: OutcomeReader) -> None:
    data = msgspec.msgpack.encode([1, "value", 0.0, 0.5, {"deep": [1, 2, None]}])
    (outcome,) = send_and_drain(settings, reader, [data])
    assert msgspec.msgpack.decode(outcome.payload) == {"deep": [1, 2, None]}


def send_and_drain(settings: Settings, reader: OutcomeReader, messages: list[Any]) -> list[Any]:
    """Everything that was read by the time the last message was."""
    sender = bus.publisher(settings.limits)
    heard: list[Any] = []

    def drained() -> bool:
        heard.extend(reader.drain())
        return bool(heard)

    try:
        sender.connect(settings.outcomes_endpoint)
        wait_until(lambda: reader.drain() or sender.poll(0, zmq.POLLIN))
        for message in messages:
            sender.send_multipart(message if isinstance(message, list) else [message])
        wait_until(drained)
    finally:
        sender.close()
    return heard
