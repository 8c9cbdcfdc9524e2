"""The bus's records: what anyone may subscribe to, documented in docs/bus.md.

They are public: maps with a version, changed only by adding fields.
"""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, Raw, Struct, UnsetType, field

BUS_VERSION = 1
PICTURES = ("320", "640", "1280", "full", "boxes")
"""What a preview may be: of that width, of the frame's own size, and that with boxes drawn."""
CIRCUIT = "circuit"
"""The reason of a status of the subject `predictor` that is about a camera's circuit."""


class Detection(Struct, omit_defaults=True):
    """One thing seen: `box` is x1, y1, x2, y2 in pixels of the frame."""

    label: str
    confidence: float
    box: tuple[float, float, float, float]
    class_id: int | UnsetType = UNSET
    track_id: int | UnsetType = UNSET


class PredictError(Struct):
    kind: str
    message: str


class OutcomeRecord(Struct, kw_only=True):
    """Topic `result/CAMERA/`: each seq of a camera exactly once, in order.

    `payload` by `kind`: detections: a list of Detection; value: any JSON value;
    error: a PredictError; lost: the cause as a string.
    """

    v: int = BUS_VERSION
    epoch: str
    n: int
    """Counts the pool's records on all topics but previews: a gap is a loss, exactly."""
    kind: Literal["detections", "value", "error", "lost"]
    camera: str
    seq: int
    frame: int
    ts: float
    captured_at: float
    started_at: float
    finished_at: float
    width: int
    height: int
    model: str
    worker: int
    payload: Raw
    pts: float | None = None
    """Seconds on the source's own clock, where it has one."""


class PreviewRecord(Struct, kw_only=True):
    """Topic `preview/CAMERA/PICTURE/`: a JPEG of the frame of a result, which it follows.

    Made only while somebody subscribes to exactly that topic. It has no `n`: whoever is slow may
    lose some, and nothing tells.
    """

    v: int = BUS_VERSION
    epoch: str
    camera: str
    seq: int
    frame: int
    picture: str
    jpeg: bytes


class StatusRecord(Struct, kw_only=True):
    """Topic `status/CAMERA/`, or `status/` when it is about no single camera."""

    v: int = BUS_VERSION
    epoch: str = ""
    """Set, like `n` and `ts`, when it is published."""
    n: int = 0
    ts: float = 0.0
    subject: Literal["camera", "worker", "predictor", "gateway", "pool"]
    camera: str | None = None
    worker: int | None = None
    state: str
    reason: str = ""
    message: str = ""
    next_try_s: float | None = None


class GatewayFacts(Struct, kw_only=True):
    id: int
    pid: int = 0
    state: str = "ready"
    """ready, silent (it stands still), or that of its process: starting, backoff, failed."""
    restarts: int = 0
    clients: int = 0
    offered: int = 0
    sent: int = 0
    missed: int = 0
    missed_by: dict[str, int] = field(default_factory=dict)
    bytes: int = 0
    closed_by: dict[str, int] = field(default_factory=dict)
    foreign: int = 0
    stale: int = 0
    bus_gaps: int = 0
    lag_s: float = 0.0
    """How late its loop was at worst in the last 15 to 30 seconds."""


class WorkerFacts(Struct, kw_only=True):
    id: int
    pid: int = 0
    state: str = "starting"
    """starting, ready, busy, backoff, failed or stopping."""
    predictor: str = ""
    model: str = ""
    restarts: int = 0
    busy: float = 0.0
    """Share of the last seconds spent in predict, 0 to 1."""
    results: int = 0
    errors: int = 0
    reason: str = ""


class CameraFacts(Struct, kw_only=True):
    """captured = leased + superseded + bad + waiting.
    leased = results + errors + lost + running.
    """

    pid: int = 0
    state: str = "connecting"
    reason: str = ""
    message: str = ""
    since: float = 0.0
    next_try_s: float | None = None
    source: str = ""
    mode: str = "live"
    width: int = 0
    height: int = 0
    fps: float = 0.0
    restarts: int = 0
    captured: int = 0
    leased: int = 0
    superseded: int = 0
    superseded_by: dict[str, int] = field(default_factory=dict)
    bad: int = 0
    waiting: int = 0
    results: int = 0
    errors: int = 0
    lost: int = 0
    lost_by: dict[str, int] = field(default_factory=dict)
    running: int = 0
    next_seq: int = 0
    next_frame: int = 0
    been_live: bool = False
    slots: int = 0
    slots_out: int = 0
    circuit: str = "closed"
    """open: its frames killed workers and are left out; half_open: one of them is tried."""
    circuit_message: str = ""
    previews: dict[str, int] = field(default_factory=dict)
    """How many of each picture were made."""
    preview_cpu_s: float = 0.0
    """What they cost the workers, of CPU time."""
    errors_in_row: int = 0
    """Frames on which predict failed, since the last result."""
    last_error: str = ""
    """What the newest of them says; empty when that was a result."""


class Pid(Struct):
    pid: int = 0
    restarts: int = 0


class StateRecord(Struct, kw_only=True):
    """Topic `state/`: the whole table, every second and on each new subscription."""

    v: int = BUS_VERSION
    epoch: str
    n: int
    ts: float
    version: str
    name: str
    run_dir: str
    results_endpoint: str
    url: str
    supervisor: Pid
    pool: Pid
    gateways: list[GatewayFacts]
    workers: list[WorkerFacts]
    cameras: dict[str, CameraFacts]
    foreign: int = 0
    """Messages on the bus that were not ours: dropped, never decoded further."""
    stale: int = 0
    """Outcomes and returns of leases that were settled before: counted and dropped."""
    publish_endpoint: str = ""
    """Where `--publish` has these records as well; empty without it."""
    picture_endpoints: list[str] = field(default_factory=list)
    """Where pictures are, and nothing else: a reader connects to all of them."""
    last: bool = False
    """This pool publishes nothing after it: the run ends in good order."""
