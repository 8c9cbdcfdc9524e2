"""The bytes of each message, to the letter of the protocol."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import msgspec
import pytest
from gateway_fakes import DETECTIONS, outcome, status

from framefan.ipc import protocol
from framefan.ipc.records import CameraFacts, Detection
from framefan_gateway.delivery import wire
from framefan_gateway.delivery.accounts import NOTHING, Loss, Missed
from framefan_gateway.delivery.every import gap
from framefan_gateway.delivery.subscription import DetectionFilter

HEAD = [
    "type", "v", "camera", "seq", "epoch", "frame", "ts", "width", "height", "model", "worker",
    "missed", "latency_ms",
]  # fmt: skip


def message(missed: Missed = NOTHING, **changes: Any) -> dict[str, Any]:
    made = wire.Outcome(outcome(7, **changes)).body("json", missed, 1.0)
    assert not made.binary
    text = json.loads(made.data)
    assert isinstance(text, dict)
    return text


def test_a_result_has_exactly_the_documented_fields_in_order() -> None:
    stamps = {"captured_at": 0.983, "started_at": 0.9851, "finished_at": 0.9991, "ts": 17.12345}
    text = message(**stamps)
    assert list(text) == [*HEAD, "detections"]
    assert text["latency_ms"] == {"wait": 2.1, "predict": 14.0, "deliver": 0.9, "total": 17.0}
    assert (text["type"], text["v"], text["seq"], text["frame"]) == ("result", 1, 7, 14)
    assert (text["missed"], text["ts"], text["worker"]) == (0, 17.123, 2)
    assert text["detections"] == [
        {
            "label": "person", "confidence": 0.91, "box": [10.5, 20.2, 110.0, 220.5],
            "class_id": 0, "track_id": 17,
        }
    ]  # fmt: skip


PLAIN = protocol.Result(
    camera="front", seq=1234, epoch="6cdf539a", frame=5678, ts=1795400000.123, width=1280,
    height=720, model="motion", worker=2, missed=0,
    latency_ms=protocol.Latency(2.1, 14.0, 0.9, 17.0),
    detections=[
        Detection("person", 0.91, (10.5, 20.2, 110.0, 220.5), class_id=0, track_id=17),
        Detection("car", 0.5, (1.0, 2.0, 3.0, 4.0)),
    ],
)  # fmt: skip
BYTES = {
    "json": "9b6b3a1983f90b2f52eb8558e74acd179cd493fe289aa368346999b29f084cbb",
    "msgpack": "a9a9d5d4bbd9acd648f78d9e99a9b1d8d29d0e7942f7bbd75178026c3485382d",
    "protobuf": "9cf862c288ea8519446a00351ffa00bde71d1a15e56b1f78acf48c085bf958b1",
}
"""SHA-256 of the message as framefan wrote it before detections had masks."""
SHAPED = Detection(
    "person",
    0.91,
    (10.5, 20.2, 110.0, 220.5),
    track_id=17,
    mask=[(10.5, 20.2), (110.0, 20.2), (60.0, 220.5)],
    keypoints=[(60.0, 40.0, 0.98), (0.0, 0.0, 0.0)],
    angle=-0.25,
)
FIELDS = {
    "mask": [[10.5, 20.2], [110.0, 20.2], [60.0, 220.5]],
    "keypoints": [[60.0, 40.0, 0.98], [0.0, 0.0, 0.0]],
    "angle": -0.25,
}


@pytest.mark.parametrize("fmt", BYTES)
def test_a_result_of_plain_boxes_has_the_same_bytes_as_ever(fmt: Any) -> None:
    assert hashlib.sha256(wire.body(PLAIN, fmt).data).hexdigest() == BYTES[fmt]


def test_shapes_come_behind_the_older_fields_and_pass_a_filter_unchanged() -> None:
    made = wire.Outcome(outcome(7, payload=[SHAPED, Detection("person", 0.4, (0, 0, 1, 1))]))
    least = DetectionFilter(frozenset({"person"}), 0.5)
    text = json.loads(made.body("json", NOTHING, 1.0, least).data)
    (seen,) = text["detections"]
    assert list(seen) == ["label", "confidence", "box", "track_id", *FIELDS]
    assert {name: seen[name] for name in FIELDS} == FIELDS


@pytest.mark.parametrize("value", [None, 3, "text", [1, {"a": None}], {"count": 3}])
def test_any_other_value_comes_as_result(value: Any) -> None:
    text = message(kind="value", payload=value)
    assert list(text) == [*HEAD, "result"]
    assert text["result"] == value


def test_no_detections_and_no_result_are_different_messages() -> None:
    assert message(payload=[])["detections"] == []
    assert "detections" not in message(kind="value", payload=None)


def test_an_error_has_the_same_head() -> None:
    text = message(kind="error")
    assert list(text) == [*HEAD, "error"]
    assert text["type"] == "error"
    assert text["error"] == {"kind": "ValueError", "message": "no"}


def test_missed_by_is_there_only_when_something_was_missed() -> None:
    text = message(Missed(conflated=2, bus=1))
    assert text["missed"] == 3
    assert text["missed_by"] == {"conflated": 2, "bus": 1}
    assert "missed_by" not in message()


def test_strict_json_of_numbers_that_have_none() -> None:
    text = message(kind="value", payload=[math.nan, math.inf])
    assert text["result"] == [None, None]


def test_encoded_once_for_each_format_and_missed() -> None:
    one = wire.Outcome(outcome(0))
    plain = one.body("json", NOTHING, 1.0)
    assert one.body("json", NOTHING, 2.0) is plain
    other = one.body("json", Missed(1), 2.0)
    assert other is not plain
    assert json.loads(other.data)["missed"] == 1
    assert one.body("json", NOTHING, 3.0) is plain
    assert json.loads(plain.data)["missed"] == 0


def test_msgpack_has_the_same_content_in_binary() -> None:
    one = wire.Outcome(outcome(0))
    made = one.body("msgpack", NOTHING, 1.0)
    assert made.binary
    same = json.loads(one.body("json", NOTHING, 1.0).data)
    assert msgspec.msgpack.decode(made.data) == same


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("detections", {"a": 1}),
        ("detections", [{"label": "x"}]),
        ("error", "text"),
        ("value", {(1, 2): 3}),
    ],
)
def test_a_payload_that_is_not_what_kind_says_is_refused(kind: str, payload: Any) -> None:
    if kind == "value":  # a map whose key is an array: nobody encodes it, anybody may send it
        raw = msgspec.Raw(b"\x81\x92\x01\x02\x03")
        record = outcome(0, kind=kind, payload=None)
        record.payload = raw
    else:
        record = outcome(0, kind=kind, payload=payload)
    with pytest.raises((msgspec.MsgspecError, TypeError)):
        wire.Outcome(record)


def test_every_message_fits_the_schema_generated_from_the_structs() -> None:
    bodies = [
        wire.Outcome(outcome(0)).body("json", Missed(1), 0.0),
        wire.Outcome(outcome(0, kind="value")).body("json", NOTHING, 0.0),
        wire.Outcome(outcome(0, kind="error")).body("json", NOTHING, 0.0),
        wire.Notice(wire.status(status("stalled", reason="timeout"))).body("json"),
        gap(Loss("cam", "e", 3, 5, "bus")).body("json"),
        wire.body(protocol.Resumed(camera="cam", epoch="e", seq=5, recovered=True), "json"),
        wire.body(protocol.Reply(id=1, error=protocol.CommandError(100, "no")), "json"),
    ]
    mapping = protocol.schema()["discriminator"]["mapping"]
    assert set(mapping) == {"result", "error", "status", "gap", "resumed", "reply"}
    for made in bodies:
        msgspec.json.decode(made.data, type=protocol.Message)


def test_a_status_leaves_out_what_it_is_not_about() -> None:
    text = json.loads(wire.Notice(wire.status(status("stalled", next_try_s=2.5))).body("json").data)
    assert text == {
        "type": "status", "v": 1, "ts": 1.0, "epoch": "k3f9", "subject": "camera",
        "camera": "cam", "state": "stalled", "reason": "", "message": "", "next_try_s": 2.5,
    }  # fmt: skip
    facts = CameraFacts(state="frozen", reason="same_picture")
    again = wire.camera_status("cam", facts, "e", 2.0)
    assert (again.camera, again.state, again.reason) == ("cam", "frozen", "same_picture")


def test_boxes_come_as_the_worker_gave_them() -> None:
    assert message()["detections"][0]["box"] == list(DETECTIONS[0].box)
