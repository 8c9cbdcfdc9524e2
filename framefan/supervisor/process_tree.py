"""The process tree at work: one post for each place in it, and the child that fills it just now.

    a capture's post:  stays
                       leaves for good    (its camera was removed)   stop, kill, then no post
                       leaves to return   (its camera was changed)   stop, kill, then a new child

A camera that comes back while its old capture is still leaving takes over that post: there are
never two captures of one name.
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
    from framefan.supervisor.reload import Plan

LEAVE_S = 3.0
"""What a capture that has to go gets to end by itself, or the run's grace if that is shorter."""
_COMING_UP_S = 3.0
"""For so long at most a capture that is coming up keeps others waiting for their turn: one whose
camera does not answer has long loaded what it needs."""
_LONGEST_START = 10
"""So many times as long as a child may be silent, it may take to come up while it works."""
_WORKS = 0.02
"""The share of a processor from which on a child works; who waits for a network has less."""
_EXIT_S = 0.1
"""What a child that closed its link gets to finish exiting, so that its exit code is its own."""
_EXIT_MOST_S = 1.0
"""The same without anybody waiting for it."""


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
        """`buried` is called when nothing of its child is left."""
        self.stage = stage
        self.watch = watch
        self.inherited_fd = inherited_fd
        self.results_fd = results_fd
        self.counts_fd = counts_fd
        self._buried = buried
        self.child: Child | None = None
        self.voices: list[ChildOutput] = []
        """What it prints, and what its own children do."""
        self.fate = Fate.STAYS
        self.late = False
        """Added or changed while the run was on: its errors are its own, and end nothing."""
        self.verdict = ""
        """Why its child can never work, as it has said."""
        self.told = ""
        """The last verdict that people were told."""
        self.ending = ""
        """How its last child ended; empty while none has."""
        self.has_crashed = False
        """It ended by a fault in native code."""
        self._passes_over = False
        """After a crash its next child passes over the picture that caused it, so it gets on."""
        self._deaths = RepeatedDeaths()
        self.is_up = False
        """Its child is through with loading what it needs: its loop has come round."""
        self.started_at = 0.0
        self._cpu_s = 0.0
        """The processor time that its child had had when it was last looked at."""
        self.is_dying = self._is_killed = False
        """Its child has ended or was killed, and is still there."""
        self._ends_since = 0.0
        self.cause = ""
        """Why it was killed, while it is dying."""
        self._kill_at = float("inf")

    def start(self, settings: Settings, selector: selectors.BaseSelector, now: float) -> None:
        """Raises OSError where there is no memory, process or descriptor left for it."""
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
        """Whether its child may need the processor for loading what it needs."""
        young = now < self.started_at + _COMING_UP_S
        return self.child is not None and not self.is_up and young

    def spare(self, now: float) -> bool:
        """Whether a silent child is one that is still loading and gets its time too seldom: on a
        machine that is busy nobody is killed for that.
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
        """Raises OSError where no descriptors are left."""
        stage, secrets = self.stage, secrets_of(self.stage, self.watch.role, settings)
        most = LINES if stage.runs_theirs else OWN_LINES
        self.voices.append(ChildOutput(self.watch.title, selector, *secrets, most=most))
        if stage.children:
            self.voices.append(ChildOutput(stage.children, selector, *secrets))

    def _finish(self) -> None:
        """Pass on its last words."""
        for voice in self.voices:
            voice.finish()
        self.voices.clear()

    def kill(self, at_once: bool = False) -> bool:
        """Kill its child if need be; whether it is gone. If not, ask again in the next turn.

        One that has closed its link without being asked for is ending by itself: how is worth
        knowing, and on a busy machine that takes a moment.
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
            logs.error(f"{self.watch.title} was killed, and the system has not let go of it yet")
        self.is_dying = self._is_killed = not gone
        return gone

    def bury(self) -> str:
        """It is gone: pass on its last words; how it ended."""
        child, self.child = self.child, None
        assert child is not None
        self._finish()
        self._buried()
        self.ending = child.ending
        self.has_crashed = child.has_crashed and not self.cause
        return self.ending

    def died(self, now: float, reason: str, ending: str) -> None:
        """Its child has ended: have the next one due, and log it, unless it has said why itself."""
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
        """Ask its child to end; deaths are no news from here on."""
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
        """As `stop`, but the run goes on: at Stop a gateway waits for the last word of the pool."""
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
        """Its old child is gone: the next one is due, for the camera as it is now."""
        self.fate = Fate.STAYS
        self.has_crashed = False
        self.watch.renew(now, no_progress_s)

    def next_event(self) -> float:
        """The time at which this post next needs a look."""
        leaving = self._kill_at if self.fate is not Fate.STAYS else float("inf")
        said = (voice.next_event() for voice in self.voices)
        return min(self.watch.next_event(), leaving, *said)


class ProcessTree:
    """All posts, in the order they are started: pool, captures, gateways."""

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
        """Who is to be started now. Captures come by turns: many at once would keep each other,
        and everybody else, from getting up.
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
        """The time at which a post next needs a look."""
        coming = self._coming_up(now)
        if len(coming) < 2 * host.cores():
            return min(post.next_event() for post in self)
        turn = min(post.started_at for post in coming) + _COMING_UP_S
        waiting = {id(post) for post in self.captures.values() if post.watch.due(now)}
        return min(turn, *(post.next_event() for post in self if id(post) not in waiting))

    def goes_on_without(self, post: ManagedChild) -> bool:
        """Whether this is a capture, and another one may still play its source."""
        others = self.captures.values()
        return post in others and not all(other.verdict for other in others)

    def living(self) -> list[ManagedChild]:
        return [post for post in self if post.child]

    def follow(self, plan: Plan, settings: Settings, now: float) -> None:
        """Send away what was removed or changed, and make posts for what was added."""
        kill_at = now + min(LEAVE_S, self._limits.grace_s)
        for name in plan.removed:
            self.captures[name].leave(Fate.GOES, kill_at)
        for name in plan.changed:
            self.captures[name].leave(Fate.RETURNS, kill_at)
        for name in plan.added:
            if name in self.captures:  # still leaving
                self.captures[name].leave(Fate.RETURNS, kill_at)
            else:
                self.captures[name] = self._capture(settings.camera(name))
                self.captures[name].late = True
        self.settle(settings, now)

    def scale_gateways(self, count: int, now: float) -> None:
        """Have gateways 1 to `count`: the others leave, their clients find one that stays."""
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
        """Let go of posts whose child has left, or make them due again; whether there were any."""
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
