"""Formats: what one result costs as JSON, MessagePack and Protocol Buffers.

The bytes of a message, the gateway's CPU to write it, and a Python client's to read it into a
record. The gateway writes a message once for all clients that get the same; each client reads its
own.
"""

from __future__ import annotations

import random
from time import process_time
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from benchmarks.report import Row, spread
from framefan.client import connector
from framefan.ipc.protocol import Latency, Result
from framefan.ipc.records import Detection
from framefan_gateway.delivery import wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from framefan.ipc.protocol import Format

FORMATS: tuple[tuple[Format, str], ...] = (
    ("json", "JSON"),
    ("msgpack", "MessagePack"),
    ("protobuf", "Protocol Buffers"),
)
COUNTS = (1, 5, 20)
NUMBERS = 10_000
ROUNDS = 7
ROUND_S = 0.1


def measure() -> list[Row]:
    results = [(_seen(count), f"{count} detection{'s' * (count > 1)}") for count in COUNTS]
    results.append((_returned(), f"a value, {NUMBERS:,} numbers"))
    return [_row(result, what, fmt, name) for result, what in results for fmt, name in FORMATS]


def _row(result: Result, what: str, fmt: Format, name: str) -> Row:
    body = wire.body(result, fmt)
    data: Any = body.data if body.binary else body.data.decode()
    write = _costs(lambda: wire.body(result, fmt))
    read = _costs(lambda: connector.decode(data, fmt))
    measured = (
        f"{len(body.data):,} bytes; write {spread(write, 1)} µs, read {spread(read, 1)} µs of CPU"
    )
    return Row(f"{what}, {name}", "", measured)


def _costs(act: Callable[[], object]) -> list[float]:
    """µs of CPU, one figure for each round."""
    act()
    found = []
    for _ in range(ROUNDS):
        count, begin = 0, process_time()
        while (spent := process_time() - begin) < ROUND_S:
            act()
            count += 1
        found.append(spent / count * 1e6)
    return found


def _seen(count: int) -> Result:
    chance = random.Random(1)

    def number(most: float) -> float:
        return round(chance.uniform(0, most), 3)

    detections = [
        Detection(
            "person",
            number(1),
            (number(1280), number(720), number(1280), number(720)),
            class_id=chance.randrange(80),
            track_id=chance.randrange(1000),
        )
        for _ in range(count)
    ]
    return _result(detections=detections)


def _returned() -> Result:
    chance = random.Random(1)
    return _result(result=[round(chance.random(), 6) for _ in range(NUMBERS)])


def _result(*, detections: Any = UNSET, result: Any = UNSET) -> Result:
    return Result(
        camera="front",
        seq=123_456,
        epoch="6cdf539a",
        frame=234_567,
        ts=1_795_400_000.123,
        width=1280,
        height=720,
        model="yolo11n.onnx",
        worker=2,
        missed=0,
        latency_ms=Latency(2.1, 14.02, 0.94, 17.06),
        detections=detections,
        result=result,
    )
