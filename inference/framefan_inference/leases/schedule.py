"""The schedule: which frame goes to which worker next. A pure core: events in, decisions out.

1. A ready frame waits with its camera. In `live` only the newest waits: the one before it is
   superseded at once and its slot freed. In `every` all wait, in order; capture stops reading its
   source when its slots are out, so no more than those can wait.
2. Whenever a worker is idle and a frame waits, a grant is made: the camera with the fewest frames
   in flight goes first, then the one served longest ago. So a camera that asks often or predicts
   slowly takes no turn from another.
3. A grant takes the camera's next seq. From then on the sequencer answers for that seq, and the
   worker for the slot, until it returns the lease or is known to be dead.
4. A stateful predictor sees each camera in one worker only. A camera is pinned to the worker with
   the fewest cameras when it first needs one; it moves when its worker dies, and one at a time
   cameras move to a worker with at least two fewer, once that came up or another camera left.
5. A worker whose predictor takes several frames a call gets what waits, up to its number: from each
   camera one before a second of any, by the turns of rule 2. Where several such workers are idle
   they share alike. Only the last idle one may wait for company (batching.py). A camera that must
   go alone gets a call of its own, and no worker waits for company meanwhile. A worker is idle
   again when all its leases are back.
6. A worker that retires gets no more grants and keeps those it has. A stateful camera moves on
   when its frame there is back: it is never in two workers at once.
7. A frame can be borrowed: it is shown to a predictor on trial, gets no seq and still counts as
   waiting. It comes back to the front, unless a newer one of its camera went first.
8. A removed camera gets no more grants: what waits is superseded at once. When its last lease is
   back it is parked; if it returns, its queue goes on where it was.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct

from framefan_inference.leases.batching import Batching

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet

    from framefan.settings.run import Mode

NEWER, NO_WORKER = "newer", "no_worker"
NO_SLOT = "no_slot"
MAX_FPS = "max_fps"
REMOVED = "removed"
CIRCUIT = "circuit"
_NOBODY: frozenset[str] = frozenset()


class Frame(NamedTuple):
    """A frame in a slot, as capture announced it."""

    ring: int
    slot: int
    frame: int
    captured_at: float
    ts: float
    width: int
    height: int
    pts: float | None = None


class Freed(NamedTuple):
    """This slot is capture's again."""

    camera: str
    ring: int
    slot: int


class Grant(Struct):
    """This worker may read this frame until it returns the lease; kept until its seq has left."""

    lease: int
    worker: int
    camera: str
    seq: int
    frame: Frame
    holder: Any = None
    """The worker's handle: when the seq leaves, the number may be another worker's."""


class CameraQueue:
    """One camera's frames that wait, and its part of the ledger."""

    def __init__(self, mode: Mode) -> None:
        self.mode = mode
        self.waiting: deque[Frame] = deque()
        self.since = 0.0
        """When a frame began to wait here while none did; what supersedes it waits as long."""
        self.superseded_by: Counter[str] = Counter()
        self.next_seq = 0
        self.in_flight = 0
        self.served = 0
        self.pinned: int | None = None
        self.lent: Frame | None = None
        """Borrowed from the front: it counts as waiting and cannot be granted."""
        self.overtaken = ""
        """Why the lent frame is superseded when it comes back; empty: it is not."""

    @property
    def waits(self) -> int:
        """Frames that are neither leased nor superseded, the lent one included."""
        return len(self.waiting) + (self.lent is not None)

    @property
    def may_go(self) -> bool:
        """A frame waits and may be leased: in `every` none overtakes the lent one."""
        return bool(self.waiting) and (self.lent is None or self.mode == "live")


class Schedule:
    """Cameras by name, workers by id. A worker that is down is not in here."""

    def __init__(
        self,
        cameras: Iterable[tuple[str, Mode]],
        first_lease: int = 1,
        batch_wait_s: float = 0.0,
    ) -> None:
        """`first_lease` differs from pool to pool, so that no lease of an earlier one fits."""
        self.cameras = {name: CameraQueue(mode) for name, mode in cameras}
        self.stateful = False
        self._idle: dict[int, None] = {}  # a set in the order in which they became idle
        self._held: set[int] = set()
        """Idle workers that wait for company, as the last `assign` decided."""
        self._grants: dict[int, Grant] = {}
        self._up: dict[int, int] = {}
        """By worker, the most frames that it takes in one call."""
        self._out: Counter[int] = Counter()
        """By worker, the leases that it has not returned."""
        self.window = Batching(batch_wait_s)
        self.due = math.inf
        """When `assign` may grant more without another event."""
        self._leases = first_lease - 1
        self._turns = 0

    # ---- events -----------------------------------------------------------------------------

    def ready(self, camera: str, frame: Frame, now: float = 0.0) -> list[Freed]:
        """A frame waits; answers the slots of frames that it supersedes.

        The time matters only to workers that take several frames a call.
        """
        queue = self.cameras[camera]
        self.window.arrived(camera, now)
        newest_only = queue.mode == "live"
        queue.since = queue.since if queue.waiting else now
        freed = self.supersede(camera, NEWER if self._up else NO_WORKER) if newest_only else []
        queue.waiting.append(frame)
        return freed

    def refuse(self, camera: str, frame: Frame, cause: str) -> Freed:
        """A frame that may not even wait."""
        self.cameras[camera].superseded_by[cause] += 1
        return Freed(camera, frame.ring, frame.slot)

    def supersede(self, camera: str, cause: str) -> list[Freed]:
        """No frame of the camera waits any more; answers the slots of those that did."""
        queue = self.cameras[camera]
        freed = [Freed(camera, old.ring, old.slot) for old in queue.waiting]
        queue.superseded_by += Counter({cause: len(freed)})
        queue.waiting.clear()
        return freed

    def remove(self, camera: str) -> list[Freed]:
        """No frame of the camera comes any more; answers the slots of those that wait."""
        self.window.forget(camera)
        return self.leave_out(camera, REMOVED)

    def leave_out(self, camera: str, cause: str) -> list[Freed]:
        """Supersede what waits, and what is lent as soon as that comes back; answers the slots."""
        self.cameras[camera].overtaken = cause
        return self.supersede(camera, cause)

    def park(self, camera: str) -> CameraQueue:
        """Take a removed camera out, which has nothing leased; `cameras[name] = it` undoes that."""
        queue = self.cameras.pop(camera)
        queue.pinned = None
        if self.stateful and self._up:
            self._rebalance(min(self._up, key=self._pins))
        return queue

    def worker_up(self, worker: int, most: int = 1) -> None:
        """A worker has its predictor set up and no lease; it takes up to `most` frames a call."""
        self._up[worker] = most
        self._idle[worker] = None
        if self.stateful:
            self._rebalance(worker)

    def retire(self, worker: int) -> None:
        """A worker gets no more grants. What it has is its own until it returns it or is down."""
        self._up.pop(worker, None)
        self._idle.pop(worker, None)
        for queue in self.cameras.values():
            if queue.pinned == worker:
                queue.pinned = None

    def worker_down(self, worker: int) -> list[Grant]:
        """A worker is known to be dead. Answers the leases it still had.

        Their slots may be freed only because its process is known to have ended.
        """
        self.retire(worker)
        mine = [grant for grant in self._grants.values() if grant.worker == worker]
        for grant in mine:
            self._settle(grant)
        return mine

    def returned(self, worker: int, lease: int) -> Grant | None:
        """A worker is done with a slot; None when it never had that lease, or no longer."""
        grant = self._grants.get(lease)
        if grant is None or grant.worker != worker:
            return None
        self._settle(grant)
        if worker in self._up and not self._out[worker]:
            self._idle[worker] = None
        return grant

    def borrow(self) -> tuple[str, Frame] | None:
        """The oldest waiting frame of a camera; of a `live` one if there is any, as it can pass on.

        Until `give_back` its slot is nobody else's.
        """
        rows = [(queue.mode != "live", name) for name, queue in self.cameras.items()]
        for _, name in sorted(rows):
            queue = self.cameras[name]
            if queue.waiting and queue.lent is None:
                queue.lent, queue.overtaken = queue.waiting.popleft(), ""
                return name, queue.lent
        return None

    def give_back(self, camera: str) -> list[Freed]:
        """Nobody reads the borrowed frame any more; answers its slot if the frame is superseded."""
        queue = self.cameras[camera]
        frame, queue.lent = queue.lent, None
        assert frame is not None
        newer = NEWER if queue.mode == "live" and queue.waiting else ""
        if cause := queue.overtaken or newer:
            queue.superseded_by[cause] += 1
            return [Freed(camera, frame.ring, frame.slot)]
        queue.waiting.appendleft(frame)
        return []

    # ---- decisions --------------------------------------------------------------------------

    def assign(self, now: float = 0.0, alone: AbstractSet[str] = _NOBODY) -> list[Grant]:
        """Every grant that can be made now; those of one worker belong into one call of it.

        Frames of the cameras in `alone` share no call with others.
        """
        grants: list[Grant] = []
        self._held.clear()
        self.due = math.inf
        while len(self._idle) > len(self._held):
            found = self._next()
            if found is None:
                break
            name, queue, worker = found
            if self._up[worker] == 1 or name in alone:
                del self._idle[worker]
                grants.append(self._grant(name, queue, worker))
                continue
            company = self._company(worker, alone)
            until = self._wait(worker, company, alone, now)
            if until > now:
                self._held.add(worker)
                self.due = min(self.due, until)
            else:
                grants += self._grant_several(worker, company)
        return grants

    def _company(self, worker: int, alone: AbstractSet[str]) -> dict[str, CameraQueue]:
        """Cameras whose waiting frames may share a call of this idle worker."""
        return {
            name: queue
            for name, queue in self.cameras.items()
            if queue.may_go and name not in alone and self._worker_for(queue) == worker
        }

    def _wait(
        self, worker: int, company: dict[str, CameraQueue], alone: AbstractSet[str], now: float
    ) -> float:
        """Until when the worker waits for more company; `now`: not at all."""
        if len(self._idle) > 1 and not self.stateful:
            return now
        if any(name in alone and queue.waiting for name, queue in self.cameras.items()):
            return now
        others = [
            name
            for name, queue in self.cameras.items()
            if not queue.waiting
            and name not in alone
            and (not self.stateful or queue.pinned == worker)
        ]
        room = self._up[worker] - sum(len(queue.waiting) for queue in company.values())
        since = min(queue.since for queue in company.values())
        return self.window.until(since, room, others, now)

    def _grant_several(self, worker: int, company: dict[str, CameraQueue]) -> list[Grant]:
        """One call's frames: this worker's share of those that wait, as many as it takes."""
        sharers = 1 if self.stateful else len(self._idle)
        waiting = sum(len(queue.waiting) for queue in company.values())
        del self._idle[worker]
        taken: Counter[str] = Counter()
        grants: list[Grant] = []
        for _ in range(min(self._up[worker], math.ceil(waiting / sharers))):
            name = min(
                (name for name, queue in company.items() if queue.waiting),
                key=lambda name: (taken[name], company[name].in_flight, company[name].served),
            )
            taken[name] += 1
            grants.append(self._grant(name, company[name], worker))
        return grants

    def _next(self) -> tuple[str, CameraQueue, int] | None:
        """The camera whose turn it is among those that have a frame and may use an idle worker."""
        best: tuple[tuple[int, int], str, CameraQueue, int] | None = None
        for name, queue in self.cameras.items():
            if not queue.may_go:
                continue
            rank = (queue.in_flight, queue.served)
            if best is not None and rank >= best[0]:
                continue
            worker = self._worker_for(queue)
            if worker is not None:
                best = (rank, name, queue, worker)
        return best[1:] if best else None

    def _worker_for(self, queue: CameraQueue) -> int | None:
        if not self.stateful:
            return next(iter(self._idle))
        if queue.pinned is None:
            if queue.in_flight or not self._up:
                return None  # its last frame is still in a worker that retires
            queue.pinned = min(self._up, key=lambda worker: (self._pins(worker), worker))
        is_free = queue.pinned in self._idle and queue.pinned not in self._held
        return queue.pinned if is_free else None

    def _grant(self, camera: str, queue: CameraQueue, worker: int) -> Grant:
        self._leases += 1
        self._turns += 1
        grant = Grant(self._leases, worker, camera, queue.next_seq, queue.waiting.popleft())
        queue.next_seq += 1
        queue.in_flight += 1
        queue.served = self._turns
        self._out[worker] += 1
        if queue.lent is not None:
            queue.overtaken = queue.overtaken or NEWER
        self._grants[grant.lease] = grant
        return grant

    def _settle(self, grant: Grant) -> None:
        del self._grants[grant.lease]
        self._out[grant.worker] -= 1
        self.cameras[grant.camera].in_flight -= 1

    def _pins(self, worker: int) -> int:
        return sum(queue.pinned == worker for queue in self.cameras.values())

    def _rebalance(self, newcomer: int) -> None:
        """Move single cameras to a worker that came up while another has two more than it."""
        while True:
            fullest = max(self._up, key=self._pins)
            if self._pins(fullest) - self._pins(newcomer) < 2:
                return
            movable = (
                queue
                for queue in self.cameras.values()
                if queue.pinned == fullest and not queue.in_flight
            )
            queue = next(movable, None)
            if queue is None:
                return  # all of them are in predict just now: order matters more than balance
            queue.pinned = newcomer

    # ---- what it knows ----------------------------------------------------------------------

    def uses(self, camera: str, ring: int) -> bool:
        """Whether a waiting or leased frame still stands in this ring."""
        queue = self.cameras[camera]
        if queue.lent is not None and queue.lent.ring == ring:
            return True
        return any(frame.ring == ring for frame in queue.waiting) or any(
            grant.camera == camera and grant.frame.ring == ring for grant in self._grants.values()
        )

    def in_hand(self, worker: int) -> set[str]:
        """Cameras of which the worker has a frame."""
        return {grant.camera for grant in self._grants.values() if grant.worker == worker}

    def slots_out(self, camera: str) -> int:
        """Slots that capture has handed over and not got back."""
        return self.cameras[camera].waits + self.cameras[camera].in_flight

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is leased."""
        return not self._grants and not any(queue.waits for queue in self.cameras.values())
