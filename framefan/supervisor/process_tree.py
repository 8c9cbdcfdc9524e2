"""The process tree: a ManagedChild for each place in it, which holds the current child process.

    fate of a capture:  STAYS
                        GOES      (its camera was removed)   stop, kill, remove the place
                        RETURNS   (its camera was changed)   stop, kill, start a new child

A camera that is added again while its old capture is still leaving takes over that place. So there
are never two captures of one name.
"""

from __future__ import annotations

import contextlib
import enum
import subprocess
from functools import partial
from typing import TYPE_CHECKING

from framefan.base import clock, host, logs
from framefan.errors import LinkClosed
from framefan.ipc import processes
from framefan.ipc.gateway_counts import GatewayCounts
from framefan.ipc.messages import Stop, ToSupervisor
from framefan.ipc.processes import secrets_of
from framefan.supervisor.child_output import LINES, OWN_LINES, ChildOutput
from framefan.supervisor.lifecycle import ChildLifecycle, RepeatedDeaths

if TYPE_CHECKING:
    import selectors
    from collections.abc import Callable, Iterator

    from framefan.ipc.processes import Child, Stage
    from framefan.settings.run import CameraSettings, Settings
    from framefan.supervisor.listeners import Listeners
    from framefan.supervisor.reload_plan import Plan

LEAVE_S = 3.0
"""How long a child that must leave may take before it is killed; the run's `grace_s` if shorter."""
_COMING_UP_S = 3.0
"""How long a starting capture may delay the start of other captures. After that it has loaded its
modules and at most waits for its camera."""
_LONGEST_START = 10
"""A child that uses the CPU may take this many times its `no_progress_s` to start."""
_WORKS = 0.02
"""A child that uses at least this share of a CPU core is working, not waiting for the network."""
_EXIT_S = 0.1
"""How long to block until a child that closed its link exits, to learn its own exit code."""
_EXIT_MOST_S = 1.0
"""How long such a child may take to exit in all; after _EXIT_S nothing blocks on it."""


class Fate(enum.Enum):
    STAYS = "stays"
    GOES = "goes"
    RETURNS = "returns"


class ManagedChild:
    """One place in the process tree."""

    def __init__(
        self,
        stage: Stage,
        watch: ChildLifecycle,
        inherited_fd: int = -1,
        results_fd: int = -1,
        counts_fd: int = -1,
        buried: Callable[[], None] = lambda: None,
    ) -> None:
        """`buried` is called when the child process is gone."""
        self.stage = stage
        self.watch = watch
        self.inherited_fd = inherited_fd
        self.results_fd = results_fd
        self.counts_fd = counts_fd
        self._buried = buried
        self.child: Child | None = None
        self.voices: list[ChildOutput] = []
        """The output of its child, and of the child's own children."""
        self.fate = Fate.STAYS
        self.late = False
        """It was added or changed during the run, so its errors do not end the run."""
        self.verdict = ""
        """Why its child can never work, as the child reported."""
        self.told = ""
        """The last verdict that was logged."""
        self.ending = ""
        """How its last child ended; empty while none has."""
        self.has_crashed = False
        """Its last child ended by a fault in native code."""
        self._passes_over = False
        """After a crash its next child skips the picture that caused it, and so makes progress."""
        self._deaths = RepeatedDeaths()
        self.is_up = False
        """Its child has loaded everything: its main loop has reported progress."""
        self.started_at = 0.0
        self._cpu_s = 0.0
        """The CPU time of its child at the last check."""
        self.is_dying = self._is_killed = False
        """Its child is exiting or was killed, but the process still exists."""
        self._ends_since = 0.0
        self.cause = ""
        """Why it was killed, while it is dying."""
        self._kill_at = float("inf")

    def start(self, settings: Settings, selector: selectors.BaseSelector, now: float) -> None:
        """Raises OSError when no memory, process or descriptor is left."""
        voices = self.voices
        self._passes_over = self.stage is processes.CAPTURE and (
            settings.camera(self.watch.role).source.spec.kind == "pattern"
        )
        try:
            self._listen(settings, selector)
            self.child = processes.Child(
                self.stage,
                self.watch.role,
                settings,
                ToSupervisor,
                self.inherited_fd,
                voices[0].theirs,
                self.results_fd,
                self.counts_fd,
                voices[1].theirs if len(voices) > 1 else -1,
                self.has_crashed,
            )
        except OSError:
            self._finish()
            raise
        finally:
            for voice in voices:
                voice.close_theirs()
        self.verdict = ""
        self.is_up, self.started_at, self._cpu_s = False, now, 0.0
        self.watch.started(now, self.child.pid)

    def is_coming_up(self, now: float) -> bool:
        """Whether its child may still use the CPU to load its modules."""
        young = now < self.started_at + _COMING_UP_S
        return self.child is not None and not self.is_up and young

    def spare(self, now: float) -> bool:
        """Whether a silent child is still loading and uses the CPU. On a busy machine loading takes
        long; such a child is not killed.
        """
        longest = self.started_at + _LONGEST_START * self.watch.no_progress_s
        if self.is_up or self.child is None or now > longest:
            return False
        before, self._cpu_s = self._cpu_s, host.cpu_s(self.child.pid)
        if self._cpu_s - before < _WORKS * self.watch.no_progress_s:
            return False
        self.watch.spare(now)
        return True

    def _listen(self, settings: Settings, selector: selectors.BaseSelector) -> None:
        """Raises OSError when no descriptors are left."""
        stage, secrets = self.stage, secrets_of(self.stage, self.watch.role, settings)
        most = LINES if stage.runs_theirs else OWN_LINES
        self.voices.append(ChildOutput(self.watch.title, selector, *secrets, most=most))
        if stage.children:
            self.voices.append(ChildOutput(stage.children, selector, *secrets))

    def _finish(self) -> None:
        """Pass on its last output."""
        for voice in self.voices:
            voice.finish()
        self.voices.clear()

    def kill(self, at_once: bool = False) -> bool:
        """Kill its child unless it has exited. False while the process exists: call again later.

        A child that closed its link unasked is about to exit. Its exit code is worth a short wait,
        because on a busy machine the exit takes a moment.
        """
        child, now = self.child, clock.now()
        assert child is not None
        if not (at_once or self.cause):
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(0 if self.is_dying else _EXIT_S)
            self._ends_since = self._ends_since if self.is_dying else now
            if child.process.poll() is None and now < self._ends_since + _EXIT_MOST_S:
                self.is_dying = True
                return False
        gone = child.kill(0 if self._is_killed else processes.KILL_S)
        if not gone and not self._is_killed:
            logs.error(f"{self.watch.title} was killed, but the process has not exited yet")
        self.is_dying = self._is_killed = not gone
        return gone

    def bury(self) -> str:
        """Clean up after a child that is gone. Returns how it ended."""
        child, self.child = self.child, None
        assert child is not None
        self._finish()
        self._buried()
        self.ending = child.ending
        self.has_crashed = child.has_crashed and not self.cause
        return self.ending

    def died(self, now: float, reason: str, ending: str) -> None:
        """Schedule the next child, and log the death unless the child reported its cause."""
        if self.has_crashed and self.is_up and self._passes_over:
            self.watch.pardon()
        wait = self.watch.died(now, reason, self.verdict)
        if self.verdict:
            return
        text = f"{self.watch.title} died: {ending}; starts again in {wait:.1f} s"
        untold = self._deaths.told(now) if self.has_crashed else 0
        if untold is not None:
            logs.error(text, **({"more_deaths": untold} if untold else {}))

    def stop(self) -> None:
        """Ask its child to stop; its death is no longer logged."""
        self.watch.stop()
        if self.child:
            with contextlib.suppress(LinkClosed):
                self.child.link.offer(Stop())
            self.child.terminate()

    # ---- leaving -----------------------------------------------------------------------------

    def leave(self, fate: Fate, kill_at: float) -> None:
        if self.fate is Fate.STAYS:
            self._kill_at = kill_at
            self._go()
        self.fate = fate
        self.late = True
        self.told = ""

    def _go(self) -> None:
        """Like `stop`, but the run continues. A gateway gets no Stop message, because at Stop it
        waits for the pool's last record.
        """
        if self.stage is not processes.GATEWAY:
            self.stop()
            return
        self.watch.stop()
        if self.child:
            self.child.terminate()

    def outstays(self, now: float) -> bool:
        return self.fate is not Fate.STAYS and self.child is not None and now >= self._kill_at

    def has_left(self) -> bool:
        return self.fate is not Fate.STAYS and self.child is None

    def renew(self, no_progress_s: float, now: float) -> None:
        """Make the next child due after the old one is gone."""
        self.fate = Fate.STAYS
        self.has_crashed = False
        self.watch.renew(now, no_progress_s)

    def next_event(self) -> float:
        """When this child next needs attention."""
        leaving = self._kill_at if self.fate is not Fate.STAYS else float("inf")
        said = (voice.next_event() for voice in self.voices)
        return min(self.watch.next_event(), leaving, *said)


class ProcessTree:
    """All managed children, in starting order: pool, captures, gateways."""

    def __init__(self, doors: Listeners) -> None:
        settings = doors.settings
        limits = settings.limits
        self._limits = limits
        watch = ChildLifecycle("pool", "", limits.no_progress_s, limits)
        results = doors.results.fileno() if doors.results else -1
        self.pool = ManagedChild(processes.POOL, watch, doors.pool.fileno(), results)
        self.captures = {camera.name: self._capture(camera) for camera in settings.cameras}
        self._web_fd, self._counts_fd = doors.web.fileno(), doors.counts_fd
        self._counts = GatewayCounts(self._counts_fd)
        self.gateways = {number: self._gateway(number) for number in _numbers(settings.gateways)}

    def __iter__(self) -> Iterator[ManagedChild]:
        return iter([self.pool, *self.captures.values(), *self.gateways.values()])

    def _capture(self, camera: CameraSettings) -> ManagedChild:
        watch = ChildLifecycle("capture", camera.name, camera.no_progress_s, self._limits)
        return ManagedChild(processes.CAPTURE, watch)

    def _gateway(self, number: int) -> ManagedChild:
        return ManagedChild(
            processes.GATEWAY,
            ChildLifecycle("gateway", str(number), self._limits.no_progress_s, self._limits),
            self._web_fd,
            counts_fd=self._counts_fd,
            buried=partial(self._counts.clear, number),
        )

    def due(self, now: float) -> list[ManagedChild]:
        """The children to start now. Only a few captures start at a time: many at once would slow
        down each other and all other processes.
        """
        turns = 2 * host.cores() - len(self._coming_up(now))
        found = []
        for post in self:
            if not post.watch.due(now):
                continue
            if post.stage is processes.CAPTURE:
                if turns <= 0:
                    continue
                turns -= 1
            found.append(post)
        return found

    def _coming_up(self, now: float) -> list[ManagedChild]:
        return [post for post in self.captures.values() if post.is_coming_up(now)]

    def next_event(self, now: float) -> float:
        """When any child next needs attention."""
        coming = self._coming_up(now)
        if len(coming) < 2 * host.cores():
            return min(post.next_event() for post in self)
        turn = min(post.started_at for post in coming) + _COMING_UP_S
        waiting = {id(post) for post in self.captures.values() if post.watch.due(now)}
        return min(turn, *(post.next_event() for post in self if id(post) not in waiting))

    def goes_on_without(self, post: ManagedChild) -> bool:
        """Whether this is a capture, and another capture may still work."""
        others = self.captures.values()
        return post in others and not all(other.verdict for other in others)

    def living(self) -> list[ManagedChild]:
        return [post for post in self if post.child]

    def follow(self, plan: Plan, settings: Settings, now: float) -> None:
        """Stop the captures of removed and changed cameras, and add captures for new cameras.

        A camera that only moves to another predictor keeps its capture.
        """
        kill_at = now + min(LEAVE_S, self._limits.grace_s)
        for name in plan.removed:
            self.captures[name].leave(Fate.GOES, kill_at)
        for name in plan.changed:
            if name not in plan.moved:
                self.captures[name].leave(Fate.RETURNS, kill_at)
        for name in plan.added:
            if name in self.captures:  # still leaving
                self.captures[name].leave(Fate.RETURNS, kill_at)
            else:
                self.captures[name] = self._capture(settings.camera(name))
                self.captures[name].late = True
        self.settle(settings, now)

    def scale_gateways(self, count: int, now: float) -> None:
        """Run gateways 1 to `count`. The others stop; their clients reconnect to one that stays."""
        self._counts.gateways = count
        for number in _numbers(count):
            post = self.gateways.get(number)
            if post is None:
                self.gateways[number] = post = self._gateway(number)
                post.late = True
            elif post.fate is Fate.GOES:
                post.leave(Fate.RETURNS, now)
        for number, post in self.gateways.items():
            if number > count:
                post.leave(Fate.GOES, now + min(LEAVE_S, self._limits.grace_s))

    def settle(self, settings: Settings, now: float) -> bool:
        """Remove each place whose child has left, or make its next child due. Returns whether any
        child had left.
        """
        left = [name for name, post in self.captures.items() if post.has_left()]
        for name in left:
            if self.captures[name].fate is Fate.GOES:
                del self.captures[name]
            else:
                self.captures[name].renew(settings.camera(name).no_progress_s, now)
        gone = [number for number, post in self.gateways.items() if post.has_left()]
        for number in gone:
            if self.gateways[number].fate is Fate.GOES:
                del self.gateways[number]
            else:
                self.gateways[number].renew(self._limits.no_progress_s, now)
        return bool(left or gone)


def _numbers(count: int) -> range:
    return range(1, count + 1)
