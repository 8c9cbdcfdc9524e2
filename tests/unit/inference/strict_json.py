"""What a client reads of a predictor's return, after a trip through strict JSON."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from framefan.ipc.records import Detection
from framefan_inference.predictors import results
from framefan_inference.predictors.results import ResultError, convert

LIMIT = 256 * 1024
LABELS = {0: "person", 1: "car"}
BOX = (1.0, 2.0, 3.0, 4.0)


def sent(
    returned: Any, labels: Any = LABELS, limit: int = LIMIT, size: tuple[int, int] = (0, 0)
) -> tuple[str, Any]:
    """Kind and value as a client reads them, after a trip through strict JSON."""
    kind, payload = convert(returned, labels, limit, size)
    value = msgspec.msgpack.decode(payload)
    if kind == "detections":
        msgspec.msgpack.decode(payload, type=list[Detection])  # exactly the promised schema
    assert json.loads(json.dumps(value, allow_nan=False)) == value
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    return kind, value


def refused(returned: Any, limit: int = LIMIT) -> str:
    """The kind of the error, whose text must be one that can be sent too."""
    with pytest.raises(ResultError) as caught:
        convert(returned, LABELS, limit)
    payload = msgspec.msgpack.decode(results.error(caught.value.kind, caught.value.message))
    assert payload["message"]
    return caught.value.kind


def seen(label: str, confidence: float, **more: int) -> dict[str, Any]:
    return {"label": label, "confidence": confidence, "box": list(BOX), **more}
