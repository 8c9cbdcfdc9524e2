"""Protocol Buffers say what JSON says, and their numbers are for ever."""

from __future__ import annotations

import contextlib
import math
import re
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from framefan.client import connect, connector
from framefan.errors import Refused, UsageError
from framefan.ipc import proto_schema, protobuf
from framefan.ipc.protocol import (
    CommandError,
    Failure,
    Gap,
    Latency,
    Message,
    Reply,
    Result,
    Resumed,
    Status,
)
from framefan.ipc.records import Detection, PredictError

GOLDEN = Path(__file__).with_name("result.v1.proto")
"""Renewed by `python -c "from framefan.ipc.proto_schema import text; print(text(), end='')"`."""
DEPTH = 32
"""Of what a predictor may return."""

TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
COUNTS = st.integers(0, 1 << 40)
INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
WHOLE = st.integers(-(1 << 53), 1 << 53)
VALUES = st.recursive(
    st.none() | st.booleans() | WHOLE | FLOATS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=3)
UNSETS = st.just(UNSET)
CAUSES = st.dictionaries(TEXTS, COUNTS, min_size=1, max_size=3)
DETECTIONS = st.builds(
    Detection,
    label=TEXTS,
    confidence=FLOATS,
    box=st.tuples(FLOATS, FLOATS, FLOATS, FLOATS),
    class_id=INT64 | UNSETS,
    track_id=INT64 | UNSETS,
    mask=st.lists(st.tuples(FLOATS, FLOATS), min_size=3, max_size=5) | UNSETS,
    keypoints=st.lists(st.tuples(FLOATS, FLOATS, FLOATS), min_size=1, max_size=3) | UNSETS,
    angle=FLOATS | UNSETS,
)
HEAD: dict[str, Any] = {
    "camera": TEXTS,
    "seq": COUNTS,
    "epoch": TEXTS,
    "frame": COUNTS,
    "ts": FLOATS,
    "pts": FLOATS | UNSETS,
    "width": COUNTS,
    "height": COUNTS,
    "model": TEXTS,
    "worker": COUNTS,
    "missed": COUNTS,
    "missed_by": CAUSES | UNSETS,
    "latency_ms": st.builds(Latency, FLOATS, FLOATS, FLOATS, FLOATS),
}
STATUSES = st.builds(
    Status,
    ts=FLOATS,
    epoch=TEXTS,
    subject=st.sampled_from(["camera", "worker", "predictor", "gateway", "pool"]),
    camera=TEXTS | UNSETS,
    worker=COUNTS | UNSETS,
    state=TEXTS,
    reason=TEXTS,
    message=TEXTS,
    next_try_s=FLOATS | UNSETS,
)
REPLIES = st.builds(
    Reply,
    id=INT64 | TEXTS | st.none(),
    error=st.builds(CommandError, INT64, TEXTS, st.booleans()) | UNSETS,
    **dict.fromkeys(("subscribe", "unsubscribe", "auth", "ping"), OBJECTS | UNSETS),  # type: ignore[arg-type]
)
MESSAGES = st.one_of(
    st.builds(Result, **HEAD, detections=st.lists(DETECTIONS, max_size=3)),
    st.builds(Result, **HEAD, result=VALUES),
    st.builds(Failure, **HEAD, error=st.builds(PredictError, TEXTS, TEXTS)),
    STATUSES,
    st.builds(
        Gap, camera=TEXTS, epoch=TEXTS, first_seq=COUNTS, last_seq=COUNTS, missed=COUNTS,
        missed_by=CAUSES | st.just({}),
    ),
    st.builds(Resumed, camera=TEXTS, epoch=TEXTS, seq=COUNTS, recovered=st.booleans()),
    REPLIES,
)  # fmt: skip
RESULT = Result(
    camera="cam", seq=1, epoch="e", frame=2, ts=3.0, width=4, height=5, model="m", worker=6,
    missed=0, latency_ms=Latency(1, 2, 3, 6), detections=[],
)  # fmt: skip


@given(message=MESSAGES)
def test_every_message_comes_back_as_it_was_and_says_what_json_says(message: Message) -> None:
    data = protobuf.encode(message)
    assert protobuf.decode(data) == message
    assert protobuf.plain(data) == msgspec.json.decode(msgspec.json.encode(message))
    assert not data.startswith(b"\0"), "taken for a picture"


def test_nothing_seen_and_nothing_returned_are_two_things() -> None:
    nothing = msgspec.structs.replace(RESULT, detections=UNSET, result=None)
    for message in (RESULT, nothing):
        assert protobuf.decode(protobuf.encode(message)) == message


@pytest.mark.parametrize(
    "value",
    [
        [n + 0.5 for n in range(3000)],
        [[float(n), n, None, n % 2 == 0] for n in range(300)],
        {f"k{n}": {"text": "é" * n, "": [{}, [], ""]} for n in range(0, 300, 7)},
        "x" * 70_000,
    ],
)
def test_large_values_come_back_as_they_were(value: Any) -> None:
    large = msgspec.structs.replace(RESULT, detections=UNSET, result=value)
    found = protobuf.plain(protobuf.encode(large))
    assert found == msgspec.json.decode(msgspec.json.encode(large))


def test_what_is_not_finite_within_a_value_is_null_as_in_json() -> None:
    odd = msgspec.structs.replace(RESULT, detections=UNSET, result=[math.nan, math.inf, 1])
    assert protobuf.plain(protobuf.encode(odd))["result"] == [None, None, 1]  # type: ignore[index]


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"a": inner}])
def test_the_deepest_value_that_a_predictor_may_return_can_be_read(wrap: Any) -> None:
    value: Any = "x" * 9
    for _ in range(DEPTH):
        value = wrap(value)
    deep = msgspec.structs.replace(RESULT, detections=UNSET, result=value)
    assert protobuf.decode(protobuf.encode(deep)) == deep
    deeper = msgspec.structs.replace(RESULT, detections=UNSET, result=wrap(value))
    found = protobuf.decode(protobuf.encode(deeper))  # the one level that workers allow besides
    assert isinstance(found, Failure)
    assert found.error.kind == "too_deep"


def test_an_id_beyond_the_numbers_there_are_is_told_as_an_error() -> None:
    seen = Detection("person", 0.5, (0, 0, 1, 1), class_id=(1 << 64) - 1)
    found = protobuf.decode(protobuf.encode(msgspec.structs.replace(RESULT, detections=[seen])))
    assert isinstance(found, Failure)
    assert (found.camera, found.seq, found.error.kind) == ("cam", 1, "number")


# ---- numbers -------------------------------------------------------------------------------------


def fields(text: str) -> dict[tuple[str, int], str]:
    """What is declared, by message and number."""
    found, message = {}, ""
    for line in text.splitlines():
        if opened := re.match(r"message (\w+)", line):
            message = opened[1]
        elif declared := re.match(r"\s*(.+) = (\d+);$", line):
            assert (message, int(declared[2])) not in found, "a number is used twice"
            found[message, int(declared[2])] = declared[1]
    return found


def test_the_proto_only_ever_grows() -> None:
    golden, text = GOLDEN.read_text(), proto_schema.text()
    before, now = fields(golden), fields(text)
    assert now == before | now, "a field changed its number or its type"
    assert text == golden, "renew the golden file, if only something was added"


def test_every_field_has_a_number_and_none_has_two() -> None:
    found = proto_schema.messages()
    assert found.keys() == proto_schema.NUMBERS.keys()
    for name, numbers in proto_schema.NUMBERS.items():
        assert len(set(numbers.values())) == len(numbers), name
        assert {field.name: field.number for field in found[name]} == numbers, name
    records = {record.__name__: record for record in proto_schema.RECORDS}
    for name, record in records.items():
        assert set(record.__struct_fields__) == {field.name for field in found[name]} - {"text_id"}


def test_the_text_declares_what_the_classes_have() -> None:
    descriptor = protobuf._runtime().message.DESCRIPTOR.file
    classes = {
        (message.name, field.number)
        for message in descriptor.message_types_by_name.values()
        for field in message.fields
    }
    assert classes == set(fields(proto_schema.text()))


# ---- commands ------------------------------------------------------------------------------------

COMMANDS = st.one_of(
    st.builds(
        lambda number, name, options: ({} if number is None else {"id": number}) | {name: options},
        st.none() | INT64 | TEXTS,
        st.sampled_from(proto_schema.COMMANDS),
        OBJECTS,
    ),
    st.builds(lambda count: {"ack": count}, INT64),
)


@given(command=COMMANDS)
def test_a_command_comes_back_as_it_was(command: dict[str, Any]) -> None:
    found = protobuf.read_command(protobuf.encode_command(command))
    assert found == command


@given(data=st.binary(max_size=60))
def test_any_bytes_are_a_command_or_are_refused(data: bytes) -> None:
    with contextlib.suppress(protobuf.Garbled):
        protobuf.read_command(data)


# ---- the client ----------------------------------------------------------------------------------


def test_the_client_tells_what_it_does_not_know_from_what_is_broken() -> None:
    later = b"\x3a\x02\x08\x01"  # the 7th kind of message, of some later version
    assert connector.decode(later, "protobuf") is None
    assert connector.decode(protobuf.encode(RESULT), "protobuf") == RESULT
    assert connector.decode(msgspec.json.encode(RESULT).decode(), "protobuf") == RESULT
    with pytest.raises(Refused):
        connector.decode(b"\xff\xff", "protobuf")
    with pytest.raises(Refused, match="result has missing"):  # no latency_ms
        connector.decode(b"\x0a\x02\x08\x01", "protobuf")


def test_without_the_package_the_client_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    protobuf._runtime.cache_clear()
    monkeypatch.setitem(sys.modules, "google.protobuf", None)
    with pytest.raises(UsageError) as caught:
        connect(format="protobuf")
    assert caught.value.fix == "pip install 'framefan[protobuf]'"
