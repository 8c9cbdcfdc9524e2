"""The supervisor: starts the stages, watches their progress, restarts them, stops them.

It is a single loop. The loop waits on the children's control links, on the children's output, on
the control socket for commands, and on a wake-up socket. The interpreter writes the number of each
signal to the wake-up socket; signal handlers do nothing else. A thread reads the configuration file
for a reload (reload.py), but all decisions are made in the loop.

- A child's death shows as EOF on its link or as SIGCHLD. The supervisor then sends SIGKILL, which
  is harmless if the process is dead, and calls waitpid. After that the child reads and writes
  nothing more.
- A live child sends progress from the loop that does its work. A child that sends none for too
  long is killed, but only after its link has been read to the end. Time in which the supervisor
  itself did not run (SIGSTOP, a suspended machine) does not count.
- Cameras may be added, changed and removed during the run (reload.py); other children keep running.
- The supervisor stops in two steps: it asks all children to stop and waits for them until the
  deadline, then it kills and logs those that still run. A second signal ends the waiting.
"""

from __future__ import annotations

import contextlib
import os
import selectors
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from framefan.base import clock, logs, net
from framefan.errors import (
    BY_EXIT_CODE,
    EXIT_FORCED,
    EXIT_OK,
    EXIT_START,
    FramefanError,
    LinkClosed,
    LinkGarbled,
    RunError,
)
from framefan.ipc import messages, processes
from framefan.supervisor.control import CONTROL, Control
from framefan.supervisor.lifecycle import State
from framefan.supervisor.process_tree import ProcessTree
from framefan.supervisor.ready_banner import announce, is_ready, never_ready, not_started
from framefan.supervisor.reload import STOPPING, Reloads
from framefan.supervisor.reload_plan import applied, lists_for_pool
from framefan.supervisor.run_totals import Summary
from framefan.supervisor.rundir import FolderGone
from framefan.supervisor.scale_gateways import GatewayScale
from framefan.supervisor.scale_swap import ChangeRelay, followed

if TYPE_CHECKING:
    from collections.abc import Callable

    from framefan.ipc.records import StateRecord
    from framefan.settings.run import Settings
    from framefan.supervisor.control import Asker
    from framefan.supervisor.listeners import Listeners
    from framefan.supervisor.process_tree import ManagedChild
    from framefan.supervisor.reload_plan import Plan
    from framefan.supervisor.rundir import RunDir
    from framefan.supervisor.signals import Signals

_TURN_S = 0.5
"""The longest time between two turns of the loop."""
_STOOD_STILL_S = 1.0
"""If a turn waits this much longer than it asked for, the supervisor itself was stopped."""


class Supervisor:
    """`run` returns the exit code, or raises the error that ended the run."""

    def __init__(
        self,
        place: RunDir,
        doors: Listeners,
        signals: Signals,
        on_ready: Callable[[str], None],
        reloads: Callable[..., Reloads],
    ) -> None:
        settings = self.settings = doors.settings
        """The current settings, after reloads, scales and swaps."""
        self._place = place
        self._signals = signals
        self._on_ready = on_ready
        self._url = net.url(settings.host, settings.port, bool(settings.tls_cert))
        self._tree = ProcessTree(doors)
        self._selector = selectors.DefaultSelector()
        self._selector.register(signals, selectors.EVENT_READ, lambda: None)
        self.reloads = reloads(self._follow, self._asked, lambda: self.settings)
        self._control = Control(settings.path(CONTROL), self._selector, self._asked)
        self._changes = ChangeRelay(self._change, lambda: self.settings)
        self._gateways = GatewayScale(self._tree, self._changed)
        self._code: int | None = None
        self._error: FramefanError | None = None
        self._untold = False
        self._untold_cameras = False
        self._stopping = False
        self._ready = False
        self._state: StateRecord | None = None
        self._summary = Summary()

    def run(self) -> int:
        """Start all children, run until the end, and return the exit code. Raises FramefanError."""
        try:
            return self._run()
        finally:
            for post in self._tree.living():
                self._bury(post)
            self._selector.close()

    def _run(self) -> int:
        self._began = self._last = clock.now()
        self._start_due(self._began)
        while self._code is None:
            self._turn()
        self._stop_all()
        if self._error:
            raise self._error
        for line in self._summary.lines():
            logs.info(line)
        return self._code

    # ---- one turn of the loop ----------------------------------------------------------------

    def _turn(self) -> None:
        patience = self._patience(clock.now())
        events = self._selector.select(patience)
        now = clock.now()
        if now - self._last - patience > _STOOD_STILL_S:
            self._forgive(now - self._last)
        self._last = now
        if self._signals.stops(now):
            logs.info("stopping: received a stop signal")
            self._code = EXIT_OK
            return
        for key, _ in events:
            key.data()
        if not self._place.is_ours():
            self._error, self._code = FolderGone(self._place.path), EXIT_START
            return
        self._reap()
        self._judge(now)
        self._control.tick(now)
        self.reloads.tick(now)
        self._tend(now)
        self._gateways.tick(now)
        self._start_due(now)
        self._tell_pool()
        if 0 < self.settings.duration_s <= now - self._began and self._code is None:
            self._over(f"after {self.settings.duration_s:g} s")

    def _over(self, why: str) -> None:
        logs.info(f"stopping: {why}")
        self._code = EXIT_OK
        if not self._ready:
            self._error = never_ready(self._tree, self._state)
            self._code = self._error.exit_code

    def _patience(self, now: float) -> float:
        events = [self._tree.next_event(now)]
        events += [self._control.next_event(), self.reloads.next_event()]
        if self.settings.duration_s:
            events.append(self._began + self.settings.duration_s)
        return max(0.0, min(_TURN_S, min(events) - now))

    def _forgive(self, seconds: float) -> None:
        logs.warning(f"not scheduled for {seconds:.1f} s; deadlines of children extended")
        for post in self._tree:
            post.watch.forgive(seconds)

    def _judge(self, now: float) -> None:
        for post in self._tree:
            if post.is_dying or not post.watch.overdue(now):
                continue
            self._read(post)  # its progress may still be unread
            if post.child and post.watch.overdue(now) and not post.spare(now):
                logs.error(f"{post.watch.title}: no progress for {post.watch.no_progress_s:g} s")
                self._lost(post, "no_progress")

    def _start_due(self, now: float) -> None:
        if self._code is not None:
            return
        for post in self._tree.due(now):
            self._start(post, now)

    def _start(self, post: ManagedChild, now: float) -> None:
        self._untold = True
        try:
            post.start(self.settings, self._selector, now)
        except OSError as error:  # no memory, no processes, no descriptors left
            wait = post.watch.died(now, "unknown")
            logs.error(f"{post.watch.title}: cannot start, {error}; again in {wait:.1f} s")
            return
        assert post.child is not None
        self._selector.register(post.child.link, selectors.EVENT_READ, partial(self._read, post))
        if post is self._tree.pool:
            self._untold_cameras = False

    def _tell_pool(self) -> None:
        pool = self._tree.pool.child
        if pool is None:
            return
        with contextlib.suppress(LinkClosed):  # its death is read from the link
            if self._untold_cameras:
                self._untold_cameras = not pool.link.offer(lists_for_pool(self.settings))
            if self._untold:
                now = clock.now()
                children = [post.watch.facts(now) for post in self._tree]
                self._untold = not pool.link.offer(
                    messages.Children(os.getpid(), self._url, children)
                )

    # ---- requests of commands ----------------------------------------------------------------

    def _asked(self, client: Asker) -> None:
        if isinstance(client.request, messages.Scale | messages.Swap):
            self._changes.ask(client, client.request)
        elif isinstance(client.request, messages.ScaleGateways):
            self._gateways.ask(client, client.request)
        else:
            self.reloads.ask(client)

    def _change(self, request: messages.Scale | messages.Swap) -> bool:
        pool = self._tree.pool.child
        with contextlib.suppress(LinkClosed):  # its death is read from the link
            return pool is not None and pool.link.offer(request)
        return False

    def _changed(self, done: messages.Changed) -> None:
        self.settings = followed(self.settings, done)

    # ---- cameras added, changed and removed --------------------------------------------------

    def _follow(self, plan: Plan, new: Settings) -> None:
        """Apply the cameras of a configuration that passed all checks."""
        both = (*self.settings.cameras, *new.cameras)  # cameras that leave may still be logged
        logs.configure(msgspec.structs.replace(self.settings, cameras=both), "supervisor")
        self.settings = applied(self.settings, new)
        self._untold = self._untold_cameras = True
        self._tell_pool()  # before a capture stops, so that the pool knows why it stops
        self._tree.follow(plan, self.settings, clock.now())
        self._untold = True

    def _tend(self, now: float) -> None:
        """Kill children that have not left in time, and handle the output of all children."""
        for post in self._tree:
            if post.outstays(now) and not post.is_dying:
                logs.warning(f"{post.watch.title}: did not stop, killed")
                self._bury(post, at_once=True)
            for voice in post.voices:
                voice.tick(now)
        self._untold |= self._tree.settle(self.settings, now)

    # ---- messages of children ----------------------------------------------------------------

    def _read(self, post: ManagedChild) -> None:
        """Handle every message in the child's link, and the child's death if the link has ended.

        While the run stops, a closed link only means that the child is about to exit; SIGCHLD
        reports the exit.
        """
        if post.child is None:
            return
        link = post.child.link
        try:
            for message in link.drain():
                self._heard(post, message)
        except (LinkClosed, LinkGarbled) as error:
            if self._stopping:
                with contextlib.suppress(KeyError):
                    self._selector.unregister(link)
                return
            if isinstance(error, LinkGarbled):
                logs.error(f"{post.watch.title}: {error.what}", why=error.why)
            self._lost(post)

    def _heard(self, post: ManagedChild, message: Any) -> None:
        now = clock.now()
        match message:
            case messages.Progress(count):
                post.is_up |= count > 0
                self._untold |= post.watch.progressed(now)
                self._look_ready()
            case messages.Table(state, all_ended):
                self._state = state
                self._summary.add(state, now)
                self._look_ready()
                if self._code is not None:
                    return
                if self.settings.fail_fast and (error := not_started(self._tree, state)):
                    self._error, self._code = error, error.exit_code
                elif all_ended and self._knows_all(state):
                    logs.info("stopping: every source has ended")
                    self._code = EXIT_OK
            case messages.Changed():
                self._changed(message)
                self._changes.heard(message)
            case messages.Changing() | messages.NotDone():
                self._changes.heard(message)
            case messages.Fatal():
                self._fatal(post, message)

    def _knows_all(self, state: StateRecord) -> bool:
        """Whether the pool knew of the latest cameras when it wrote this table."""
        names = {camera.name for camera in self.settings.cameras}
        return not self._untold_cameras and names <= state.cameras.keys()

    def _fatal(self, post: ManagedChild, message: messages.Fatal) -> None:
        """A child cannot continue. This ends a run that is starting, so that the user notices.

        It does not end the run if the child has been restarted, if its camera has been live, if a
        reload or a scale added it, or if another camera may still work and `fail_fast` is off. The
        child then has failed like any other and is started again when due.
        """
        said = logs.clean(": ".join(text for text in (message.what, message.why) if text))
        been_live = self._been_live(post)
        unplayable = post.stage is processes.CAPTURE and not been_live
        post.verdict = said if post.late or unplayable else ""
        others = not self.settings.fail_fast and self._tree.goes_on_without(post)
        if post.late or post.watch.restarts or been_live or others:
            tell = logs.debug if said == post.told else logs.error
            wait = self.settings.limits.restarts_within_s
            again = f"; starts again in {wait:.1f} s" if post.verdict else ""
            tell(f"{post.watch.title}: {message.what}{again}", why=message.why)
            post.told = post.verdict
        elif self._error is None:
            error = BY_EXIT_CODE.get(message.exit_code, RunError)
            self._error = error(message.what, message.why, message.fix)
            self._code = message.exit_code

    def _been_live(self, post: ManagedChild) -> bool:
        if post.stage is not processes.CAPTURE or self._state is None:
            return False
        camera = self._state.cameras.get(post.watch.role)
        return camera is not None and camera.been_live

    def _look_ready(self) -> None:
        """Announce once that the run is ready."""
        if not self._ready and is_ready(self._tree, self._state):
            self._ready = True
            announce(self.settings, self._url)
            self._on_ready(self._url)

    # ---- death -------------------------------------------------------------------------------

    def _reap(self) -> None:
        """Handle children that died while another process holds their end of the link open, and
        children that were killed earlier and have exited only now.
        """
        for post in self._tree.living():
            if post.is_dying:
                self._lost(post)
            elif post.child and post.child.process.poll() is not None:
                self._read(post)
                if post.child:
                    self._lost(post)

    def _lost(self, post: ManagedChild, reason: str = "") -> None:
        post.cause = post.cause or reason
        ending = self._bury(post)
        if ending is None:
            return
        unsaid = "decoder_died" if post.stage is processes.CAPTURE else "unknown"
        reason, post.cause = post.cause or unsaid, ""
        if post is self._tree.pool:
            self._changes.pool_died()
        if post.watch.alive and self._code is None:
            post.died(clock.now(), reason, ending)
            self._untold = True
            vital = post.stage is not processes.CAPTURE and not post.late
            if vital and not self._ready and post.watch.state is State.FAILED:
                self._over(f"{post.watch.title} died repeatedly before the run was ready")

    def _bury(self, post: ManagedChild, at_once: bool = False) -> str | None:
        """Kill the child and return how it ended; None while the process still exists."""
        assert post.child is not None
        with contextlib.suppress(KeyError):  # already unregistered while the run stops
            self._selector.unregister(post.child.link)
        return post.bury() if post.kill(at_once) else None

    # ---- the end -----------------------------------------------------------------------------

    def _stop_all(self) -> None:
        self._stopping = True
        self._control.close(STOPPING)
        for post in self._tree:
            post.stop()
        deadline = clock.now() + self.settings.limits.grace_s
        while self._tree.living() and (now := clock.now()) < deadline:
            events = self._selector.select(min(_TURN_S, deadline - now))
            if self._signals.stops(clock.now()):
                self._code, self._error = EXIT_FORCED, None
                break
            for key, _ in events:
                key.data()
            self._reap()
        for post in self._tree.living():
            logs.warning(f"{post.watch.title}: did not stop, killed")
            self._bury(post, at_once=True)
