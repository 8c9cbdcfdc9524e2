"""The WebSocket messages that a gateway sends to its clients.

The gateway writes them, `framefan.client` reads them, and docs/protocol.md explains them. The JSON
Schema that a gateway serves is generated from them. They change only by new fields.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from framefan.ipc.records import Detection, PredictError

VERSION = 1
Delivery = Literal["latest", "every"]
Format = Literal["json", "msgpack", "protobuf"]

CAUSES = ("conflated", "lost", "bus", "filtered", "max_fps", "history")
"""Why a client did not get a result, in this order: a newer result replaced it while the
connection was full; the pool had no result for that seq; it never reached the gateway; the client
filtered it out; the client's `max_fps` excluded it; it was no longer kept when the client
reconnected."""


class Latency(Struct, frozen=True):
    """Milliseconds: capture to predict, in predict, end of predict to encoding in the gateway, and
    the total.
    """

    wait: float
    predict: float
    deliver: float
    total: float


class _Head(Struct, kw_only=True, omit_defaults=False):
    """The common fields of results and errors, in the order in which they are written."""

    v: int = VERSION
    camera: str
    seq: int
    epoch: str
    frame: int
    ts: float
    pts: float | UnsetType = UNSET
    """Seconds on the source's own clock, if it has one."""
    width: int
    height: int
    model: str
    worker: int
    missed: int
    missed_by: dict[str, int] | UnsetType = UNSET
    latency_ms: Latency


class Result(_Head, tag_field="type", tag="result", kw_only=True):
    """What predict returned: `detections`, or any other value as `result`."""

    detections: list[Detection] | UnsetType = UNSET
    result: Any = UNSET


class Failure(_Head, tag_field="type", tag="error", kw_only=True):
    """Predict raised an exception, or returned a value that cannot be sent."""

    error: PredictError


class Status(Struct, tag_field="type", tag="status", kw_only=True):
    """A camera, worker, predictor, gateway or the pool changed its state."""

    v: int = VERSION
    ts: float
    epoch: str
    subject: Literal["camera", "worker", "predictor", "gateway", "pool"]
    camera: str | UnsetType = UNSET
    worker: int | UnsetType = UNSET
    state: str
    reason: str = ""
    message: str = ""
    next_try_s: float | UnsetType = UNSET


class Gap(Struct, tag_field="type", tag="gap", kw_only=True):
    """To clients with `every`: these seqs will never come. They are counted in `missed`."""

    v: int = VERSION
    camera: str
    epoch: str
    first_seq: int
    last_seq: int
    missed: int
    missed_by: dict[str, int]


class Resumed(Struct, tag_field="type", tag="resumed", kw_only=True):
    """To a client that reconnected with `since`: whether every result after that position follows.

    Sent once for each camera in `since`, before its results. The results that were no longer kept
    are counted, where possible, in `missed` of the camera's next message.
    """

    v: int = VERSION
    camera: str
    epoch: str
    """The current epoch; it differs from the client's if the pool was restarted meanwhile."""
    seq: int
    """The seq that the client sent; results after it follow."""
    recovered: bool


class CommandError(Struct):
    code: int
    message: str
    temporary: bool = False
    """Whether the same command may work later."""


class Reply(Struct, tag_field="type", tag="reply", kw_only=True, omit_defaults=True):
    """The answer to a command, with the command's id when it had one."""

    id: int | str | None = None
    error: CommandError | UnsetType = UNSET
    subscribe: dict[str, Any] | UnsetType = UNSET
    unsubscribe: dict[str, Any] | UnsetType = UNSET
    """For both commands: the complete subscription that now applies."""
    auth: dict[str, Any] | UnsetType = UNSET
    ping: dict[str, Any] | UnsetType = UNSET


Message = Result | Failure | Status | Gap | Resumed | Reply
"""Every message that a client may receive. A client ignores types that it does not know."""


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of every message."""
    found = msgspec.json.schema(Message)
    found["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    found["title"] = "What a framefan client receives"
    return found
