"""Every message between two framefan processes, grouped by the link that carries it.

These messages are internal and encoded as arrays. They may change in any release, since all
processes of a run have the same version. The public records of the bus are in records.py, and what
workers send over ZeroMQ is in outcomes.py.
"""

from __future__ import annotations

from msgspec import Struct

from framefan.ipc.records import GatewayFacts, StateRecord
from framefan.settings.run import CameraSettings, PredictorSettings, Settings


class _Link(Struct, array_like=True, tag=True):
    """Base of link messages: `[class name, field, field, ...]`."""


# ---- supervisor <-> every child, over the control link the child inherits --------------------


class Start(_Link):
    """Supervisor or pool -> child, the first message: its settings, which are kept out of argv."""

    settings: Settings
    role: str = ""
    """The name of the camera, or the number of the worker or gateway."""
    inherited_fd: int = -1
    """A listening socket the child inherits, or -1."""
    results_fd: int = -1
    """The listening socket of the publish endpoint, or -1."""
    counts_fd: int = -1
    """The shared memory in which gateways count their clients (gateway_counts.py), or -1."""
    prints_fd: int = -1
    """A pipe for the output of its own children, or -1."""
    after_crash: bool = False
    """The previous process died of a fault in native code, for example in a decoder."""


class Stop(_Link):
    """Finish the current work, then exit 0."""


class Progress(_Link):
    """Child -> parent, about once a second, from the loop that does the work."""

    count: int


class Fatal(_Link):
    """Child -> supervisor: the child cannot continue. While a run starts this may end the run."""

    exit_code: int
    what: str
    why: str = ""
    fix: str = ""


class ChildFacts(Struct, frozen=True):
    """What the supervisor knows of one of its children."""

    stage: str
    role: str
    pid: int
    state: str
    restarts: int
    reason: str = ""
    """Why it waits for its next start: decoder_died, no_progress, unplayable (it reported that it
    can never work) or unknown. Empty while it runs."""
    next_start_s: float | None = None
    message: str = ""
    """The error that an unplayable child reported, as text without secrets."""


class Children(_Link):
    """Supervisor -> pool after each change; the pool adds it to the state table."""

    supervisor_pid: int
    url: str
    children: list[ChildFacts]


class Table(_Link):
    """Pool -> supervisor, about once a second and when the last source has ended."""

    state: StateRecord
    all_ended: bool


class Cameras(_Link):
    """Supervisor -> pool: the complete new list of cameras, addresses masked, and of predictors.

    Predictors are added and removed by it, not changed; without any, none is.
    """

    cameras: list[CameraSettings]
    predictors: list[PredictorSettings] = []


# ---- a command -> supervisor, over RUN_DIR/control -------------------------------------------


class Reload(_Link):
    """Read the configuration again and apply it to the running cameras."""


class Reloaded(_Link):
    """Names of cameras. `notes` are sentences about changes that take effect only on restart."""

    added: list[str]
    changed: list[str]
    removed: list[str]
    kept: list[str]
    notes: list[str]
    applied: dict[str, tuple[str, str]] = {}
    """The old and new value of workers, gateways and predictor, where the file changed them."""
    failed: list[str] = []
    """Sentences about those of these changes that failed."""
    added_predictors: list[str] = []
    removed_predictors: list[str] = []


class NotDone(_Link):
    """Nothing was changed: the lines of the error, and the exit code."""

    exit_code: int
    what: str
    why: str = ""
    fix: str = ""


class Scale(_Link):
    """Change the number of workers, if the run has several predictors of the named one."""

    workers: int
    predictor_name: str = ""


class ScaleGateways(_Link):
    """Change the number of gateways."""

    gateways: int


class Swap(_Link):
    """Switch to this predictor if it works; it replaces the named one if there are several."""

    predictor: str
    predictor_name: str = ""


class Changing(_Link):
    """The current step of a scale or swap, as text for the waiting user."""

    step: str


class Changed(_Link):
    """A scale or swap is complete. `was` and `now` are numbers, or predictors.

    `predictor_name`: the predictor that was changed, if the run has several.
    """

    what: str
    """workers, gateways or predictor."""
    was: str
    now: str
    notes: list[str]
    predictor_name: str = ""


ToControl = Reload | Scale | ScaleGateways | Swap
FromControl = Reloaded | NotDone | Changing | Changed
ToSupervisor = Progress | Fatal | Table | Changing | Changed | NotDone
FromSupervisor = Start | Stop | Children | Cameras | Scale | Swap


# ---- capture or gateway -> pool, over the pool's listening socket ----------------------------


class HelloCapture(_Link):
    camera: str
    pid: int
    frame: int
    """The number that its next frame would get."""
    began: int = 0
    """`began` of its first Welcome, repeated because a restarted pool does not know it."""


class RingMade(_Link):
    """Carries the ring's descriptor. Capture no longer owns slots of this camera's older rings."""

    ring: int
    slots: int
    slot_bytes: int


class Ready(_Link):
    """A slot contains a complete frame; the pool owns the slot until it sends Free.

    The counters are totals since HelloCapture, including this frame.
    """

    ring: int
    slot: int
    frame: int
    captured_at: float
    ts: float
    width: int
    height: int
    captured: int
    bad: int
    no_slot: int
    max_fps: int = 0
    """Number of frames dropped to respect the camera's `max_fps`."""
    pts: float | None = None
    """Seconds on the source's own clock, if it has one."""
    still: int = 0
    """Number of frames that the motion gate left out."""


class SourceStatus(_Link):
    """The camera changed its state, or its counters changed while no frame arrived."""

    state: str
    reason: str = ""
    message: str = ""
    next_try_s: float | None = None
    width: int = 0
    height: int = 0
    fps: float = 0.0
    captured: int = 0
    bad: int = 0
    no_slot: int = 0
    max_fps: int = 0
    frame: int = 0
    """The number of its next frame; the counters include all frames before it."""
    still: int = 0


class HelloGateway(_Link):
    id: int


class GatewayReport(_Link):
    facts: GatewayFacts


ToPool = HelloCapture | RingMade | Ready | SourceStatus | HelloGateway | GatewayReport


# ---- pool -> capture -------------------------------------------------------------------------


class Welcome(_Link):
    epoch: str
    frame: int
    """The number of the next frame, never used before."""
    slots: int
    ended: bool = False
    """The camera's source had already ended before this process started."""
    began: int = 0
    """The number of the camera's first frame with its current settings."""


class Free(_Link):
    """Capture owns these slots again."""

    ring: int
    slots: list[int]


class Slots(_Link):
    """The number of slots changed because workers were added: make a new ring."""

    slots: int


class FrameWanted(_Link):
    """Somebody waits for a frame: the motion gate lets the next one pass."""


ToCapture = Welcome | Free | Slots | FrameWanted


# ---- pool <-> worker, over the control link the worker inherits ------------------------------


class Attach(_Link):
    """Carries the ring's descriptor; sent before the first lease on the ring."""

    camera: str
    ring: int
    slots: int
    slot_bytes: int


class Detach(_Link):
    """No lease on this ring will follow: unmap it."""

    camera: str
    ring: int


class Lease(_Link):
    """The worker may read this slot until it sends Returned."""

    lease: int
    """Unique within the pool's lifetime. A return or outcome with an unknown number is stale."""
    camera: str
    ring: int
    slot: int
    seq: int
    frame: int
    captured_at: float
    ts: float
    width: int
    height: int
    pts: float | None = None
    pictures: tuple[str, ...] = ()
    """Previews that the worker makes of the frame before it returns the lease."""


class Leases(_Link):
    """A batch: one predictor call and one deadline. Each lease is returned separately."""

    leases: list[Lease]


class Try(_Link):
    """Predict on a borrowed frame, publish nothing, and answer Tried."""

    lease: Lease


class Draw(_Link):
    """Make the picture with boxes of a frame that the worker has kept. The pool has given ids.

    `detections`: a MessagePack list of Detection; empty if it is too long for a link.
    """

    lease: int
    detections: bytes = b""


class Tried(_Link):
    """The worker no longer reads the frame. `error` is the kind of error, empty on success."""

    error: str = ""
    message: str = ""


class WorkerStep(_Link):
    """The current step of a worker that is not ready yet, as text."""

    step: str


class WorkerReady(_Link):
    model: str
    stateful: bool
    most: int = 1
    """The most frames that one predictor call accepts."""
    files: list[str] = []
    """The predictor's file, and the files next to it that it has loaded."""


class WorkerFailed(_Link):
    """Setup of the predictor failed. At the first start the run exits with `exit_code`."""

    exit_code: int
    what: str
    why: str
    fix: str


class Returned(_Link):
    lease: int


class Notice(_Link):
    """Something to report once, in the log and to clients as a status."""

    kind: str
    message: str


ToWorker = Start | Stop | Attach | Detach | Lease | Leases | Try | Draw
FromWorker = WorkerReady | WorkerFailed | WorkerStep | Tried | Returned | Notice | Progress
