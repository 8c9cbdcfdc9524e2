r"""One worker in the pool: its process, state, deadline and restarts.

    starting -> ready <-> busy -> stopping
        \________|_______/
                 v
         backoff or failed -> starting

A worker counts as dead when its link ends. Its process is then killed and waited for. Only after
that are its leased slots free again.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING, Any

from framefan.base import clock, logs
from framefan.base.output import STDERR
from framefan.errors import LinkClosed
from framefan.ipc import processes
from framefan.ipc.messages import Detach, Draw, FromWorker, Lease, Leases, Stop, Try, WorkerFailed
from framefan.ipc.records import StatusRecord, WorkerFacts
from framefan.settings.restart import RestartPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from framefan.settings.run import Settings
    from framefan_inference.leases.camera_queue import Frame, Grant
    from framefan_inference.pool.rings import Ring

LEAVE_S = 5.0
"""How long a retiring worker without a frame has for its predictor's close()."""
DUMP_S = 0.3
"""How long a hanging worker has to write its stacks before it is killed."""
_DRAWN_BYTES = 65536
"""Longer lists of detections are not sent back to a worker: its link is for short messages."""
SHORTLY_S = 0.01
"""How long the end of a worker may block the pool; most have ended within a millisecond."""
_DYING_S = 0.1
"""How often a killed worker that still exists is checked."""
_BY_SIGTERM = "SIGTERM"
EXIT_S = 0.1
"""How long a worker that closed its link has to exit by itself, so its exit code is known."""


class WorkerHandle:
    """One worker number, through all its processes."""

    def __init__(
        self, number: int, settings: Settings, output: int = STDERR, predictor_name: str = ""
    ) -> None:
        """`settings`: those of its predictor. `output`: where its stdout and stderr go."""
        self.number = number
        self._output = output
        self.facts = WorkerFacts(
            id=number, predictor=settings.predictor, predictor_name=predictor_name
        )
        self.settings = settings
        self._policy = RestartPolicy(settings.limits)
        self.child: processes.Child | None = None
        self.deadline: float | None = None
        """When it counts as hanging; without a process: when to start one."""
        self.failed: WorkerFailed | None = None
        """Why this process could not set up its predictor, as it reported."""
        self.step = ""
        """Its current step before it is ready, as it reported."""
        self.dies_of: str | None = None
        """Why it was killed, while its process still exists."""
        self.on_trial = False
        """It gets no leases yet, and is not restarted if it ends."""
        self.retires = False
        """It finishes its frames, ends, and is not replaced."""
        self.stateful = False
        self.most = 1
        self.files: list[str] = []
        self._untold: dict[str, Any] = {}
        """How it ended; logged later, because that may be part of an orderly stop."""
        self._dumped = False
        self._exits_by = 0.0
        """Until then a worker that closed its link is not killed."""
        self._attached: set[tuple[str, int]] = set()
        self._in_hand = 0
        self._busy_s = self._busy_until = 0.0
        self._measured_at = clock.now()

    # ---- life -------------------------------------------------------------------------------

    def start(self) -> processes.Child:
        self._tell_end(logs.warning)  # the run continues: the signal was for this worker alone
        self._attached.clear()
        self._dumped = False
        self.failed = None
        self.step = ""
        self.child = processes.Child(
            processes.WORKER, str(self.number), self.settings, FromWorker, output=self._output
        )
        self.facts.pid = self.child.pid
        self.facts.state = "starting"
        self.deadline = clock.now() + self.settings.limits.worker_start_s
        return self.child

    def ready(self, model: str) -> None:
        if self.facts.state != "stopping":
            self.facts.state = "ready"
        self.facts.model = model
        self.facts.reason = ""
        self.deadline = None

    def hangs(self, now: float) -> bool:
        """Call past the deadline: first makes the worker write its stacks, then returns True."""
        if not self._dumped and self.child:
            self._dumped = True
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.child.pid, processes.DUMP_SIGNAL)
            self.deadline = now + DUMP_S
            return False
        return True

    def kill(self, reason: str, patience_s: float = SHORTLY_S) -> bool:
        """Kill its process; False: it still exists, call again at `deadline`.

        Blocks for `patience_s` at most, because other workers are served meanwhile.
        """
        assert self.child is not None
        if self.dies_of is None:  # if it closed its link, let it exit by itself, to learn how
            self._exits_by = clock.now() + (0.0 if reason else EXIT_S)
            if not reason:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.child.process.wait(patience_s)
        exits = self.child.process.poll() is None and clock.now() < self._exits_by
        if not exits and self.child.kill(patience_s if self.dies_of is None else 0.0):
            self.dies_of = None
            return True
        self.dies_of = reason
        self.deadline = clock.now() + _DYING_S
        return False

    def bury(self, reason: str = "", excused: bool = False, asked: bool = False) -> str:
        """Its process is gone: set the time of the next start; returns how it ended.

        `excused`: it held a frame, so the death counts for that camera instead (circuit.py).
        `asked`: the run is stopping, or the worker is no longer needed; then its end is no warning.
        """
        assert self.child is not None
        asked = asked or self.facts.state == "stopping"
        ending = reason or _said(self.failed) or _explained(self.child.ending)
        self.child = None
        self._died(ending, asked, excused)
        return ending

    def not_born(self, error: OSError) -> None:
        """The system could not start the process; that counts as a death."""
        self._died(f"could not be started: {error.strerror}", quiet=False)

    def _died(self, ending: str, quiet: bool, excused: bool = False) -> None:
        wait = self._policy.died(clock.now(), excused=excused)
        self.facts.pid = 0
        self.facts.state = "failed" if self._policy.failed else "backoff"
        self.facts.reason = ending
        self.facts.restarts = self._policy.restarts
        self.deadline = clock.now() + wait
        self._untold = {"how": ending, "next_start_s": round(wait, 1)}
        if quiet:
            self._tell_end(logs.debug)
        elif _BY_SIGTERM not in ending:
            self._tell_end(logs.warning)

    def _tell_end(self, tell: Callable[..., None]) -> None:
        facts, self._untold = self._untold, {}
        if facts:
            tell("worker ended", worker=self.number, **self.named, **facts)

    @property
    def named(self) -> dict[str, str]:
        """The name of its predictor for the log, if the run names its predictors."""
        return {"predictor_name": self.facts.predictor_name} if self.settings.predictors else {}

    def stop(self) -> None:
        """Send Stop; the worker may finish its current frame."""
        self.facts.state = "stopping"
        if self.child:
            with contextlib.suppress(LinkClosed):
                self.child.link.send(Stop())

    # ---- leases -----------------------------------------------------------------------------

    def lease(
        self,
        grants: Sequence[tuple[Grant, Ring]],
        pictures: Callable[[str], tuple[str, ...]] = lambda _camera: (),
    ) -> None:
        """Send the frames of one call; each ring is sent before its first lease.

        `pictures`: returns the pictures to make of a camera's frame. Raises LinkClosed.
        """
        assert self.child is not None
        self._dumped = False
        self._in_hand = len(grants)
        self.facts.state = "busy"
        self.deadline = clock.now() + self.settings.limits.predict_s  # also if it cannot be sent
        for _, ring in grants:
            self._attach(ring)
        leases = [
            _lease(each.lease, each.camera, each.seq, each.frame, pictures(each.camera))
            for each, _ in grants
        ]
        self.child.link.send(leases[0] if len(leases) == 1 else Leases(leases))

    def draw(self, lease: int, detections: bytes) -> None:
        """Have it make the picture with boxes of a frame that it has kept, if it still exists."""
        if self.child:
            fits = detections if len(detections) <= _DRAWN_BYTES else b""
            with contextlib.suppress(LinkClosed):  # its end is read elsewhere
                self.child.link.offer(Draw(lease, fits))

    def try_on(self, camera: str, frame: Frame, ring: Ring) -> None:
        """Make it predict on a borrowed frame. Raises LinkClosed."""
        assert self.child is not None
        self._dumped = False
        self.step = "self-test"
        self.deadline = clock.now() + self.settings.limits.predict_s
        self._attach(ring)
        self.child.link.send(Try(_lease(0, camera, -1, frame)))

    def _attach(self, ring: Ring) -> None:
        assert self.child is not None
        key = (ring.attach.camera, ring.attach.ring)
        if key not in self._attached:
            self.child.link.send(ring.attach, ring.fd)
            self._attached.add(key)

    def returned(self) -> None:
        self._in_hand -= 1
        if self._in_hand > 0:
            return
        if self.facts.state == "busy":
            self.facts.state = "ready"
        self.deadline = clock.now() + LEAVE_S if self.retires else None

    def retire(self) -> None:
        """Stop it after its current frame, and do not restart it."""
        self.retires = True
        if self.deadline is None:
            self.deadline = clock.now() + LEAVE_S
        self.stop()

    def start_now(self) -> None:
        """Start a waiting or failed worker now, with a fresh restart policy."""
        if self.child is None:
            self._policy = RestartPolicy(self.settings.limits)
            self.deadline = clock.now()

    def predicted(self, kind: str, started_at: float, finished_at: float) -> None:
        """Count an outcome; outcomes of one call share its time, which counts once."""
        self._busy_s += max(0.0, finished_at - max(started_at, self._busy_until))
        self._busy_until = max(finished_at, self._busy_until)
        if kind == "error":
            self.facts.errors += 1
        else:
            self.facts.results += 1

    def detach(self, camera: str, ring: int) -> None:
        if (camera, ring) in self._attached and self.child:
            self._attached.discard((camera, ring))
            with contextlib.suppress(LinkClosed):
                self.child.link.send(Detach(camera, ring))

    def status(self, state: str, reason: str, message: str = "") -> StatusRecord:
        """A status record of this worker, to be published."""
        return StatusRecord(
            subject="worker",
            worker=self.number,
            state=state,
            reason=reason,
            message=message,
        )

    def measure(self, now: float) -> WorkerFacts:
        """Its facts, with the share of time it spent in predict since the last call."""
        elapsed = now - self._measured_at
        if elapsed >= 0.5:
            self.facts.busy = round(min(1.0, self._busy_s / elapsed), 3)
            self._busy_s = 0.0
            self._measured_at = now
        return self.facts


def _said(failed: WorkerFailed | None) -> str:
    return f"{failed.what}: {failed.why}" if failed else ""


def _explained(ending: str) -> str:
    if "SIGABRT" in ending:
        return f"{ending}: did predict call cv2.imshow, which needs a display?"
    return ending


def _lease(
    lease: int, camera: str, seq: int, frame: Frame, pictures: tuple[str, ...] = ()
) -> Lease:
    return Lease(
        lease=lease,
        camera=camera,
        ring=frame.ring,
        slot=frame.slot,
        seq=seq,
        frame=frame.frame,
        captured_at=frame.captured_at,
        ts=frame.ts,
        width=frame.width,
        height=frame.height,
        pts=frame.pts,
        pictures=pictures,
    )
