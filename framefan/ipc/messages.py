"""Every message between two framefan processes, by the link it travels on.

They are internal, encoded as arrays, and change whenever we like: all processes of a run are of
one version. What is on the bus for anyone to read stands in records.py.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Raw, Struct

from framefan.ipc.records import GatewayFacts, StateRecord
from framefan.settings.run import CameraSettings, Settings


class _Link(Struct, array_like=True, tag=True):
    """Base of link messages: `[class name, field, field, ...]`."""


# ---- supervisor <-> every child, over the control link the child inherits --------------------


class Start(_Link):
    """Supervisor or pool -> child, first message: all it needs to know, kept out of argv."""

    settings: Settings
    role: str = ""
    """The camera's name, the worker's or the gateway's number."""
    inherited_fd: int = -1
    """A listening socket the child inherits, or -1."""
    results_fd: int = -1
    """Another one, where results are published, or -1."""
    counts_fd: int = -1
    """The memory in which gateways count their clients (gateway_counts.py), or -1."""
    prints_fd: int = -1
    """A pipe for what its own children print, or -1."""
    after_crash: bool = False
    """The process before it died of a fault in native code, such as a decoder's."""


class Stop(_Link):
    """Finish what is in hand, then exit 0."""


class Progress(_Link):
    """Child -> parent, about once a second, from the loop that does the work."""

    count: int


class Fatal(_Link):
    """Child -> supervisor: this run cannot go on; shown to the person, then everything stops."""

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
    """Why it waits for its next start: decoder_died, no_progress, unplayable (it said that it can
    never work) or unknown; empty while it runs."""
    next_start_s: float | None = None
    message: str = ""
    """What an unplayable one said, for people, without secrets."""


class Children(_Link):
    """Supervisor -> pool, after each change, and to the table with it."""

    supervisor_pid: int
    url: str
    children: list[ChildFacts]


class Table(_Link):
    """Pool -> supervisor, about once a second and when the last file has ended."""

    state: StateRecord
    all_ended: bool


class Cameras(_Link):
    """Supervisor -> pool: the cameras there are from now on, all of them, addresses masked."""

    cameras: list[CameraSettings]


# ---- a command -> supervisor, over RUN_DIR/control -------------------------------------------


class Reload(_Link):
    """Read the configuration again, and make the running cameras what it says."""


class Reloaded(_Link):
    """Names of cameras; `notes` are sentences about what changed and needs a new start."""

    added: list[str]
    changed: list[str]
    removed: list[str]
    kept: list[str]
    notes: list[str]
    applied: dict[str, tuple[str, str]] = {}
    """What was and what is now, of workers, gateways and predictor, where the file changed it."""
    failed: list[str] = []
    """Sentences about what of these could not be done."""


class NotDone(_Link):
    """Nothing was changed; the lines of an error, and the code to exit with."""

    exit_code: int
    what: str
    why: str = ""
    fix: str = ""


class Scale(_Link):
    """Have so many workers."""

    workers: int


class ScaleGateways(_Link):
    """Have so many gateways."""

    gateways: int


class Swap(_Link):
    """Have this predictor, if it works."""

    predictor: str


class Changing(_Link):
    """What a scale or swap is at: words for the person who waits."""

    step: str


class Changed(_Link):
    """A scale or swap is done; `was` and `now` are numbers, or predictors."""

    what: str
    """workers, gateways or predictor."""
    was: str
    now: str
    notes: list[str]


ToControl = Reload | Scale | ScaleGateways | Swap
FromControl = Reloaded | NotDone | Changing | Changed
ToSupervisor = Progress | Fatal | Table | Changing | Changed | NotDone
FromSupervisor = Start | Stop | Children | Cameras | Scale | Swap


# ---- capture or gateway -> pool, over the pool's listening socket ----------------------------


class HelloCapture(_Link):
    camera: str
    pid: int
    frame: int
    """The number its next frame would have."""
    began: int = 0
    """As its first Welcome had it: a new pool does not know."""


class RingMade(_Link):
    """With the ring's descriptor. Slots of earlier rings of this camera are no longer capture's."""

    ring: int
    slots: int
    slot_bytes: int


class Ready(_Link):
    """A whole frame stands in a slot, which now is the pool's until Free.

    The counters are totals since HelloCapture, this frame included.
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
    """Left out because the camera's own `max_fps` wants fewer."""
    pts: float | None = None
    """Seconds on the source's own clock, where it has one."""


class SourceStatus(_Link):
    """The camera changed its state (or its counters, when no frame came for a while)."""

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
    """The number of its next frame: those before are counted."""


class HelloGateway(_Link):
    id: int


class GatewayReport(_Link):
    facts: GatewayFacts


ToPool = HelloCapture | RingMade | Ready | SourceStatus | HelloGateway | GatewayReport


# ---- pool -> capture -------------------------------------------------------------------------


class Welcome(_Link):
    epoch: str
    frame: int
    """The number of the next frame: never one that was used before."""
    slots: int
    ended: bool = False
    """The camera had come to its end before this process was started."""
    began: int = 0
    """The number of the first frame that the camera had with the settings it has now."""


class Free(_Link):
    """These slots are capture's again."""

    ring: int
    slots: list[int]


class Slots(_Link):
    """The number of slots changed (workers were added): make a new ring."""

    slots: int


ToCapture = Welcome | Free | Slots


# ---- pool <-> worker, over the control link the worker inherits ------------------------------


class Attach(_Link):
    """With the ring's descriptor, before the first lease on it."""

    camera: str
    ring: int
    slots: int
    slot_bytes: int


class Detach(_Link):
    """No lease on this ring will follow: let the mapping go."""

    camera: str
    ring: int


class Lease(_Link):
    """The worker may read this slot until it sends Returned."""

    lease: int
    """Unique within the pool's life: a return or outcome with another one is stale."""
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
    """To be made of the frame, before it is returned."""


class Leases(_Link):
    """Several at once: one call of the predictor, one deadline; each is returned by itself."""

    leases: list[Lease]


class Try(_Link):
    """Predict on a borrowed frame, publish nothing, and answer Tried."""

    lease: Lease


class Tried(_Link):
    """The frame is not read any more. `error` is the kind of error it was; empty: a result."""

    error: str = ""
    message: str = ""


class WorkerStep(_Link):
    """What a worker that is not ready yet does now, in words."""

    step: str


class WorkerReady(_Link):
    model: str
    stateful: bool
    most: int = 1
    """Frames that one call of the predictor takes."""
    files: list[str] = []
    """The predictor's file and those beside it that it has loaded."""


class WorkerFailed(_Link):
    """The predictor could not be set up; `exit_code` is what the run ends with at first start."""

    exit_code: int
    what: str
    why: str
    fix: str


class Returned(_Link):
    lease: int


class Notice(_Link):
    """Something a person should hear once: goes to the log and to clients as a status."""

    kind: str
    message: str


ToWorker = Start | Stop | Attach | Detach | Lease | Leases | Try
FromWorker = WorkerReady | WorkerFailed | WorkerStep | Tried | Returned | Notice | Progress


# ---- worker -> pool, over ZeroMQ -------------------------------------------------------------


class WorkerOutcome(Struct, array_like=True, frozen=True):
    """What became of one lease. `payload` is passed on without being looked into."""

    lease: int
    kind: Literal["detections", "value", "error"]
    started_at: float
    finished_at: float
    payload: Raw


class WorkerPreview(Struct, array_like=True, frozen=True):
    """The head of a picture; its JPEG is the second part of the message."""

    lease: int
    camera: str
    seq: int
    frame: int
    picture: str
    cpu_s: float
