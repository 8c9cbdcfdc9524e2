"""What travels over the WebSocket: the records that a client reads, and what it may ask for.

The gateway writes these and `framefan.client` reads them; docs/protocol.md says what they mean, and
the schema that a gateway serves is made from them. Fields are only ever added.
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
"""Why a client was not sent a result: a newer one took its place while the line was full; the pool
had none for that seq; it never reached the gateway; the client asked for others only; it asked for
fewer; it was not kept for the client's return."""


class Latency(Struct, frozen=True):
    """Milliseconds: grab to predict, in predict, predict's end to encoding here, and the whole."""

    wait: float
    predict: float
    deliver: float
    total: float


class _Head(Struct, kw_only=True, omit_defaults=False):
    """What a result and an error have in common, in the order it is written."""

    v: int = VERSION
    camera: str
    seq: int
    epoch: str
    frame: int
    ts: float
    pts: float | UnsetType = UNSET
    """Seconds on the source's own clock, where it has one."""
    width: int
    height: int
    model: str
    worker: int
    missed: int
    missed_by: dict[str, int] | UnsetType = UNSET
    latency_ms: Latency


class Result(_Head, tag_field="type", tag="result", kw_only=True):
    """A predict that returned: detections, or any other value as `result`."""

    detections: list[Detection] | UnsetType = UNSET
    result: Any = UNSET


class Failure(_Head, tag_field="type", tag="error", kw_only=True):
    """A predict that raised, or returned what cannot be sent."""

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
    """To `every` clients: these seqs will never come. Counts as telling them `missed`."""

    v: int = VERSION
    camera: str
    epoch: str
    first_seq: int
    last_seq: int
    missed: int
    missed_by: dict[str, int]


class Resumed(Struct, tag_field="type", tag="resumed", kw_only=True):
    """To a client that came back with `since`: whether what follows leaves nothing out.

    Told once for each camera of `since`, before its results. What was not kept is told, as far as
    it can be counted, by `missed` of the next message of that camera.
    """

    v: int = VERSION
    camera: str
    epoch: str
    """The current one; not the client's, if the pool was restarted meanwhile."""
    seq: int
    """The client's: what follows comes after it."""
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
    """Of both: the contract from here on, whole."""
    auth: dict[str, Any] | UnsetType = UNSET
    ping: dict[str, Any] | UnsetType = UNSET


Message = Result | Failure | Status | Gap | Resumed | Reply
"""All that a client may receive. A type that it does not know, it ignores."""


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of every message."""
    found = msgspec.json.schema(Message)
    found["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    found["title"] = "What a framefan client receives"
    return found
