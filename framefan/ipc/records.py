"""The records on the bus, to which anyone may subscribe; docs/bus.md documents them.

They are public: maps with a version, which change only by new fields.
"""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, Raw, Struct, UnsetType, field

BUS_VERSION = 1
BOXES = "boxes"
PICTURES = ("320", "640", "1280", "full", BOXES)
"""The kinds of preview: of that width, of the frame's own size, and full size with boxes drawn."""
AT_WORK = ("ready", "busy")
"""The states of a worker that can take a frame now or soon."""
CIRCUIT = "circuit"
"""The `reason` of a `predictor` status that is about a camera's circuit breaker."""


Point = tuple[float, float]
Keypoint = tuple[float, float, float]


class Detection(Struct, omit_defaults=True):
    """One detected object. All coordinates are pixels of the frame; y grows downwards."""

    label: str
    confidence: float
    box: tuple[float, float, float, float]
    """x1, y1, x2, y2 of the upright box around the object."""
    class_id: int | UnsetType = UNSET
    track_id: int | UnsetType = UNSET
    mask: list[Point] | UnsetType = UNSET
    """The object's outline, a closed polygon of x, y; of a rotated box its four corners."""
    keypoints: list[Keypoint] | UnsetType = UNSET
    """x, y and confidence of each point, in the order of the model."""
    angle: float | UnsetType = UNSET
    """The rotation of a rotated box in radians, clockwise on the picture.

    It is the direction from the first corner in `mask` to the second one.
    """


class PredictError(Struct):
    kind: str
    message: str


class OutcomeRecord(Struct, kw_only=True):
    """Topic `result/CAMERA/`: each seq of a camera exactly once, in order.

    `kind` determines the type of `payload`. detections: a list of Detection; value: any JSON
    value; error: a PredictError; lost: the cause as a string.
    """

    v: int = BUS_VERSION
    epoch: str
    n: int
    """Counts the pool's records on all topics except previews: a gap means lost records."""
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
    """Topic `preview/CAMERA/PICTURE/`: a JPEG of a result's frame, published after that result.

    Previews are made only while somebody subscribes to exactly that topic. They have no `n`: a
    slow subscriber may lose some without notice.
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
    """Set when the record is published, as are `n` and `ts`."""
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
    """ready, silent (it does not respond), or its process's state: starting, backoff, failed."""
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
    """The largest delay of its event loop in the last 15 to 30 seconds."""


class PredictorFacts(Struct, kw_only=True):
    predictor: str = ""
    """The reference of its workers, as in `--predictor`."""
    workers: int = 0
    """How many workers it should have."""
    ready: int = 0
    """How many of them are ready or busy."""


class WorkerFacts(Struct, kw_only=True):
    id: int
    pid: int = 0
    state: str = "starting"
    """starting, ready, busy, backoff, failed or stopping."""
    predictor: str = ""
    predictor_name: str = ""
    """The name of its predictor in this run, as in StateRecord.predictors."""
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
    predictor_name: str = ""
    """The predictor that gets its frames, as in StateRecord.predictors."""
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
    """open: its frames killed workers and are skipped; half_open: one of them is tried."""
    circuit_message: str = ""
    previews: dict[str, int] = field(default_factory=dict)
    """How many previews of each kind were made."""
    preview_cpu_s: float = 0.0
    """CPU time that workers spent on previews."""
    errors_in_row: int = 0
    """How many frames in a row predict failed on, since the last result."""
    last_error: str = ""
    """The message of the latest of these errors; empty after a result."""


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
    predictors: dict[str, PredictorFacts] = field(default_factory=dict)
    """By name; a run without `[[predictor]]` tables has one, named `default`."""
    foreign: int = 0
    """Number of messages on the bus that were not framefan's; they are dropped."""
    stale: int = 0
    """Number of outcomes and returns of leases that were already settled; they are dropped."""
    publish_endpoint: str = ""
    """The endpoint of `--publish`, which carries these records too; empty without `--publish`."""
    picture_endpoints: list[str] = field(default_factory=list)
    """Endpoints that carry previews and nothing else; a reader connects to all of them."""
    last: bool = False
    """The pool publishes nothing after this record: the run is stopping normally."""

    @property
    def unserved(self) -> list[str]:
        """The names of the predictors without a worker that is ready or busy."""
        at_work = {each.predictor_name for each in self.workers if each.state in AT_WORK}
        return [name for name in self.predictors if name not in at_work]

    @property
    def serves(self) -> bool:
        """Whether each predictor has a worker that is ready or busy."""
        return any(each.state in AT_WORK for each in self.workers) and not self.unserved

    @property
    def has_several(self) -> bool:
        """Whether there are several predictors, so that tables and metrics name them."""
        return len(self.predictors) > 1
