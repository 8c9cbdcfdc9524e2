"""The schedule: which frame goes to which worker next. Pure: events in, decisions out.

1. A ready frame waits in its camera's queue. In `live` only the newest waits: the one before it is
   superseded at once and its slot freed. In `every` all wait, in order; capture stops reading its
   source when it has no free slot, so the slots limit how many can wait.
2. Whenever a worker is idle and a frame waits, the schedule makes a grant. The camera with the
   fewest frames in flight goes first, then the one served longest ago. So a camera with many frames
   or a slow predict takes no turn from another.
3. A grant takes the camera's next seq. From then on the sequencer is responsible for that seq, and
   the worker holds the slot until it returns the lease or is known to be dead.
4. A stateful predictor gets each camera in one worker only. A camera is pinned to the worker with
   the fewest cameras when it first needs one. It moves when its worker dies. When a worker comes up
   or a camera leaves, cameras move one at a time to a worker with at least two cameras fewer.
5. A worker whose predictor takes several frames per call gets the waiting frames, up to its limit:
   one of each camera before a second of any, in the order of rule 2. Several such workers that are
   idle share the frames equally. Only the last idle worker may wait for more (batching.py). A
   camera that must go alone gets a call of its own, and no worker waits for more meanwhile. A
   worker is idle again when it has returned all its leases.
6. A retiring worker gets no more grants and keeps those it has. A stateful camera moves on when its
   frame there is returned, so it is never in two workers at once.
7. A frame can be borrowed for the self-test of a predictor on trial. It gets no seq and still
   counts as waiting. It returns to the front of its queue, unless it was superseded meanwhile.
8. A removed camera gets no more grants, and its waiting frames are superseded at once. When its
   last lease is returned it is taken out; put in again, its queue resumes where it left off.
9. Each predictor has a schedule. A camera changes to another predictor with its queue: what waits
   is granted there, and what is leased returns to the schedule that granted it.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import TYPE_CHECKING

from framefan_inference.leases.batching import Batching
from framefan_inference.leases.camera_queue import (
    NEWER,
    NO_WORKER,
    REMOVED,
    CameraQueue,
    Freed,
    Grant,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Set as AbstractSet

    from framefan.settings.run import Mode
    from framefan_inference.leases.camera_queue import Frame

_NOBODY: frozenset[str] = frozenset()


class Schedule:
    """Cameras by name, and workers that are up by number."""

    def __init__(
        self,
        cameras: Iterable[tuple[str, Mode]] = (),
        leases: Iterator[int] | None = None,
        batch_wait_s: float = 0.0,
    ) -> None:
        """`leases`: the numbers of the next leases; schedules of one pool share them."""
        self.cameras = {name: CameraQueue(mode) for name, mode in cameras}
        self.stateful = False
        self._idle: dict[int, None] = {}  # a set in the order in which they became idle
        self._held: set[int] = set()
        """Idle workers that wait for more frames, as the last `assign` decided."""
        self._grants: dict[int, Grant] = {}
        self._up: dict[int, int] = {}
        """By worker, the most frames that it takes per call."""
        self._out: Counter[int] = Counter()
        """By worker, how many leases it has not returned."""
        self.window = Batching(batch_wait_s)
        self.due = math.inf
        """When `assign` may grant more without another event."""
        self._leases = leases or itertools.count(1)
        self._turns = 0

    # ---- events -----------------------------------------------------------------------------

    def ready(self, camera: str, frame: Frame, now: float = 0.0) -> list[Freed]:
        """A frame is ready: it waits. Returns the slots of frames that it supersedes.

        The time matters only for workers that take several frames per call.
        """
        queue = self.cameras[camera]
        self.window.arrived(camera, now)
        newest_only = queue.mode == "live"
        queue.since = queue.since if queue.waiting else now
        freed = self.supersede(camera, NEWER if self._up else NO_WORKER) if newest_only else []
        queue.waiting.append(frame)
        return freed

    def refuse(self, camera: str, frame: Frame, cause: str) -> Freed:
        """Supersede a frame at once."""
        self.cameras[camera].superseded_by[cause] += 1
        return Freed(camera, frame.ring, frame.slot)

    def supersede(self, camera: str, cause: str) -> list[Freed]:
        """Supersede all waiting frames of a camera; returns their slots."""
        queue = self.cameras[camera]
        freed = [Freed(camera, old.ring, old.slot) for old in queue.waiting]
        queue.superseded_by += Counter({cause: len(freed)})
        queue.waiting.clear()
        return freed

    def remove(self, camera: str) -> list[Freed]:
        """Accept no more frames of a camera; returns the slots of its waiting frames."""
        self.window.forget(camera)
        return self.leave_out(camera, REMOVED)

    def leave_out(self, camera: str, cause: str) -> list[Freed]:
        """Supersede waiting frames, and the lent one on its return; returns the freed slots."""
        self.cameras[camera].overtaken = cause
        return self.supersede(camera, cause)

    def take_out(self, camera: str) -> CameraQueue:
        """Take out a camera; its leases stay until they are returned. `put_in` undoes that."""
        queue = self.cameras.pop(camera)
        queue.pinned = None
        self.window.forget(camera)
        if self.stateful and self._up:
            self._rebalance(min(self._up, key=self._pins))
        return queue

    def put_in(self, camera: str, queue: CameraQueue) -> None:
        """Take in a camera that was taken out, here or of another schedule."""
        self.cameras[camera] = queue

    def worker_up(self, worker: int, most: int = 1) -> None:
        """A worker is set up and has no lease; it takes up to `most` frames per call."""
        self._up[worker] = most
        self._idle[worker] = None
        if self.stateful:
            self._rebalance(worker)

    def retire(self, worker: int) -> None:
        """Make no more grants to a worker; it keeps its leases until it returns them or dies."""
        self._up.pop(worker, None)
        self._idle.pop(worker, None)
        for queue in self.cameras.values():
            if queue.pinned == worker:
                queue.pinned = None

    def worker_down(self, worker: int) -> list[Grant]:
        """A worker is dead; returns the leases it still had.

        Call it only after waitpid: until then the process may read the slots.
        """
        self.retire(worker)
        mine = [grant for grant in self._grants.values() if grant.worker == worker]
        for grant in mine:
            self._settle(grant)
        return mine

    def returned(self, worker: int, lease: int) -> Grant | None:
        """A worker returned a lease; None: it does not have that lease."""
        grant = self._grants.get(lease)
        if grant is None or grant.worker != worker:
            return None
        self._settle(grant)
        if worker in self._up and not self._out[worker]:
            self._idle[worker] = None
        return grant

    def borrow(self) -> tuple[str, Frame] | None:
        """Take the oldest waiting frame of a camera, of a `live` camera if possible.

        A borrowed frame delays an `every` camera, and not a `live` one. Until `give_back` nobody
        else gets its slot.
        """
        rows = [(queue.mode != "live", name) for name, queue in self.cameras.items()]
        for _, name in sorted(rows):
            queue = self.cameras[name]
            if queue.waiting and queue.lent is None:
                queue.lent, queue.overtaken = queue.waiting.popleft(), ""
                return name, queue.lent
        return None

    def give_back(self, camera: str) -> list[Freed]:
        """Return the borrowed frame; returns its slot if the frame was superseded meanwhile."""
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
        """Make every grant that can be made now; those of one worker are one call.

        Frames of cameras in `alone` share no call with others.
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
        """Until when the worker waits for more frames; `now`: not at all."""
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
        """Grant the frames of one call: the worker's share of the waiting ones, up to its limit."""
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
        """The next camera, of those with a waiting frame and an idle worker that may take it."""
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
                return None  # a retiring worker still holds its last frame
            queue.pinned = min(self._up, key=lambda worker: (self._pins(worker), worker))
        is_free = queue.pinned in self._idle and queue.pinned not in self._held
        return queue.pinned if is_free else None

    def _grant(self, camera: str, queue: CameraQueue, worker: int) -> Grant:
        self._turns += 1
        frame = queue.waiting.popleft()
        grant = Grant(next(self._leases), worker, camera, queue.next_seq, frame, queue)
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
        assert grant.queue is not None
        grant.queue.in_flight -= 1

    def _pins(self, worker: int) -> int:
        return sum(queue.pinned == worker for queue in self.cameras.values())

    def _rebalance(self, newcomer: int) -> None:
        """Move cameras to a worker while another has at least two more than it."""
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
                return  # all have frames in flight: order matters more than balance
            queue.pinned = newcomer

    # ---- state ------------------------------------------------------------------------------

    def has_leased(self, camera: str, ring: int) -> bool:
        """Whether a leased frame of the camera is in this ring."""
        return any(
            grant.camera == camera and grant.frame.ring == ring for grant in self._grants.values()
        )

    def in_hand(self, worker: int) -> set[str]:
        """The cameras of the frames that the worker holds."""
        return {grant.camera for grant in self._grants.values() if grant.worker == worker}

    @property
    def idle(self) -> bool:
        """Whether no frame waits and none is leased."""
        return not self._grants and not any(queue.waits for queue in self.cameras.values())
