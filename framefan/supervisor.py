"""The supervisor: starts the stages, watches their progress, restarts them, stops them.

One loop, one thread. It waits on the control links of its children and on a wake-up socket into
which the interpreter writes each signal's number; handlers do nothing else.

- Death is an EOF on a child's link or a SIGCHLD. It is followed by SIGKILL, which a dead process
  does not feel, and by waitpid: after that nothing of the child reads or writes any more.
- Life is progress, told by the loop that does the work. A child that is silent too long is
  killed. It is judged only after everything that lies in its link has been read, and time in
  which the supervisor itself stood still (SIGSTOP, a suspended machine) counts for nobody.
- The end comes in two strokes: all are told, all are waited for until the deadline, the rest is
  killed and named. A second signal is the deadline.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from framefan import clock, listen, logs, processes
from framefan.errors import (
    BY_EXIT_CODE,
    EXIT_FORCED,
    EXIT_OK,
    FramefanError,
    LinkClosed,
    LinkGarbled,
    RunError,
)
from framefan.messages import Children, Fatal, Progress, Stop, Table, ToSupervisor
from framefan.rundir import RunDir
from framefan.signals import Signals
from framefan.summary import Summary
from framefan.watch import Watch

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from framefan.processes import Child, Stage
    from framefan.records import StateRecord
    from framefan.settings import Settings

_TURN_S = 0.5
"""The loop looks around at least this often."""
_STOOD_STILL_S = 1.0
"""A turn that took this much longer than it asked for: we were stopped, not the children."""
_EXIT_S = 0.1
"""What a child that closed its link gets to finish exiting, so that its exit code is its own."""


class _Post:
    """One place in the process tree, and the child that fills it at the moment."""

    def __init__(self, stage: Stage, watch: Watch, inherited_fd: int = -1) -> None:
        self.stage = stage
        self.watch = watch
        self.inherited_fd = inherited_fd
        self.child: Child | None = None


class Supervisor:
    """`run` returns the exit code, or raises the error that ended the run."""

    def __init__(
        self,
        settings: Settings,
        web: socket.socket,
        pool: socket.socket,
        signals: Signals,
        on_ready: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._signals = signals
        self._on_ready = on_ready
        self._url = listen.url(settings.host, settings.port, bool(settings.tls_cert))
        self._posts = _posts(settings, web, pool)
        self._selector = selectors.DefaultSelector()
        self._selector.register(signals, selectors.EVENT_READ)
        self._code: int | None = None
        self._error: FramefanError | None = None
        self._untold = False
        self._ready = False
        self._state: StateRecord | None = None
        self._summary = Summary()

    def run(self) -> int:
        """Start everything and see it through to its end. Raises FramefanError."""
        try:
            return self._run()
        finally:
            for post in self._posts:
                if post.child:
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
            logs.info("stopping: asked to")
            self._code = EXIT_OK
            return
        for key, _ in events:
            if isinstance(key.data, _Post):
                self._read(key.data)
        self._reap()
        self._judge(now)
        self._start_due(now)
        self._tell_pool()
        if 0 < self._settings.duration_s <= now - self._began and self._code is None:
            logs.info(f"stopping: {self._settings.duration_s:g} s are over")
            self._code = EXIT_OK

    def _patience(self, now: float) -> float:
        events = [post.watch.next_event() for post in self._posts]
        if self._settings.duration_s:
            events.append(self._began + self._settings.duration_s)
        return max(0.0, min(_TURN_S, min(events) - now))

    def _forgive(self, seconds: float) -> None:
        logs.warning(f"stood still for {seconds:.1f} s; nobody is judged by it")
        for post in self._posts:
            post.watch.forgive(seconds)

    def _judge(self, now: float) -> None:
        for post in self._posts:
            if not post.watch.overdue(now):
                continue
            self._read(post)  # what it said may lie unread
            if post.child and post.watch.overdue(now):
                logs.error(f"{post.watch.title}: no progress for {post.watch.no_progress_s:g} s")
                self._lost(post)

    def _start_due(self, now: float) -> None:
        if self._code is not None:
            return
        for post in self._posts:
            if post.watch.due(now):
                self._start(post, now)

    def _start(self, post: _Post, now: float) -> None:
        try:
            child = processes.Child(
                post.stage, post.watch.role, self._settings, ToSupervisor, post.inherited_fd
            )
        except OSError as error:  # no memory, no processes, no descriptors left
            wait = post.watch.died(now)
            logs.error(f"{post.watch.title}: cannot start, {error}; again in {wait:.1f} s")
            return
        post.child = child
        post.watch.started(now, child.pid)
        self._selector.register(child.link, selectors.EVENT_READ, post)
        self._untold = True

    def _tell_pool(self) -> None:
        pool = next(post for post in self._posts if post.stage is processes.POOL)
        if not self._untold or not pool.child:
            return
        children = [post.watch.facts() for post in self._posts]
        with contextlib.suppress(LinkClosed):  # its death is read from the link
            told = pool.child.link.offer(Children(os.getpid(), self._url, children))
            self._untold = not told

    # ---- what children say -------------------------------------------------------------------

    def _read(self, post: _Post) -> None:
        """Everything that lies in the child's link; its death when that is its end."""
        if post.child is None:
            return
        try:
            while messages := post.child.link.receive():
                for message in messages:
                    self._heard(post, message)
        except LinkClosed:
            self._lost(post)
        except LinkGarbled as error:
            logs.error(f"{post.watch.title}: {error.what}", why=error.why)
            self._lost(post)

    def _heard(self, post: _Post, message: Any) -> None:
        now = clock.now()
        match message:
            case Progress():
                self._untold |= post.watch.progressed(now)
                self._look_ready()
            case Table(state, all_ended):
                self._state = state
                self._summary.add(state, now)
                self._look_ready()
                if all_ended and self._code is None:
                    logs.info("stopping: every source has ended")
                    self._code = EXIT_OK
            case Fatal():
                self._fatal(post, message)

    def _fatal(self, post: _Post, message: Fatal) -> None:
        """A child cannot go on. That ends a run that is starting, so that a person sees it.

        Once things have worked it is a death like others: no camera may end another's run.
        """
        if post.watch.restarts or self._been_live(post):
            logs.error(f"{post.watch.title}: {message.what}", why=message.why)
        elif self._error is None:
            error = BY_EXIT_CODE.get(message.exit_code, RunError)
            self._error = error(message.what, message.why, message.fix)
            self._code = message.exit_code

    def _been_live(self, post: _Post) -> bool:
        if post.stage is not processes.CAPTURE or self._state is None:
            return False
        camera = self._state.cameras.get(post.watch.role)
        return camera is not None and camera.been_live

    def _look_ready(self) -> None:
        """Once: the gateway and a worker are there, so whoever connects now gets results."""
        if self._ready or self._state is None:
            return
        gateway = any(
            post.stage is processes.GATEWAY and post.watch.state.value == "running"
            for post in self._posts
        )
        worker = any(worker.state in ("ready", "busy") for worker in self._state.workers)
        if gateway and worker:
            self._ready = True
            _announce(self._settings, self._url)
            self._on_ready(self._url)

    # ---- death -------------------------------------------------------------------------------

    def _reap(self) -> None:
        """Children that died while somebody else still holds their end of the link open."""
        for post in self._posts:
            if post.child and post.child.process.poll() is not None:
                self._read(post)
                if post.child:
                    self._lost(post)

    def _lost(self, post: _Post) -> None:
        ending = self._bury(post)
        if post.watch.alive and self._code is None:
            wait = post.watch.died(clock.now())
            logs.error(f"{post.watch.title} died: {ending}; starts again in {wait:.1f} s")
            self._untold = True

    def _bury(self, post: _Post) -> str:
        child, post.child = post.child, None
        assert child is not None
        with contextlib.suppress(KeyError):  # already deaf to it: the run is being stopped
            self._selector.unregister(child.link)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.process.wait(_EXIT_S)
        child.kill()
        return child.ending

    # ---- the end -----------------------------------------------------------------------------

    def _stop_all(self) -> None:
        for post in self._posts:
            post.watch.stop()
            if post.child:
                with contextlib.suppress(LinkClosed):
                    post.child.link.offer(Stop())
                post.child.terminate()
        deadline = clock.now() + self._settings.limits.grace_s
        while self._living() and (now := clock.now()) < deadline:
            events = self._selector.select(min(_TURN_S, deadline - now))
            if self._signals.stops(clock.now()):
                self._code, self._error = EXIT_FORCED, None
                break
            for key, _ in events:
                if isinstance(key.data, _Post):
                    self._read_last(key.data)
            self._reap()
        for post in self._living():
            logs.warning(f"{post.watch.title}: did not stop, killed")
            assert post.child is not None
            post.child.process.kill()
            self._bury(post)

    def _read_last(self, post: _Post) -> None:
        """In the end a closed link only says "nearly done": the exit itself comes as SIGCHLD."""
        if post.child is None:
            return
        try:
            while messages := post.child.link.receive():
                for message in messages:
                    self._heard(post, message)
        except (LinkClosed, LinkGarbled):
            self._selector.unregister(post.child.link)

    def _living(self) -> list[_Post]:
        return [post for post in self._posts if post.child]


def _posts(settings: Settings, web: socket.socket, pool: socket.socket) -> list[_Post]:
    """The process tree, in the order it is started."""
    limits = settings.limits
    captures = [
        _Post(
            processes.CAPTURE,
            Watch("capture", camera.name, camera.no_progress_s, limits),
        )
        for camera in settings.cameras
    ]
    return [
        _Post(processes.POOL, Watch("pool", "", limits.no_progress_s, limits), pool.fileno()),
        *captures,
        _Post(processes.GATEWAY, Watch("gateway", "1", limits.no_progress_s, limits), web.fileno()),
    ]


def _announce(settings: Settings, url: str) -> None:
    """Say to a person what to open; to a machine that reads the log, one line."""
    live = url.replace("http", "ws", 1) + "ws"
    if settings.log_level not in ("debug", "info"):
        return
    if settings.log_format == "json":
        logs.info("ready", url=url, websocket=live)
        return
    cameras = [f"{camera.name} ({camera.source})" for camera in settings.cameras]
    workers = "1 worker" if settings.workers == 1 else f"{settings.workers} workers"
    rows = [
        ("page", url),
        ("results", live),
        ("cameras" if len(cameras) > 1 else "camera", ", ".join(cameras)),
        ("predictor", f"{settings.predictor}, {workers}"),
        ("stop", "Ctrl-C"),
    ]
    text = "\n".join(f"  {name:<10}{value}" for name, value in rows)
    sys.stderr.write(f"\nframefan is ready\n{text}\n\n")
    sys.stderr.flush()


def supervise(settings: Settings, on_ready: Callable[[str], None] = lambda _: None) -> int:
    """Run framefan from start to stop; returns the exit code. Raises FramefanError.

    `settings.run_dir` and `settings.port` are filled in here: both are facts only once the lock
    is held and the port is bound. `on_ready` is called once with the page's address.
    """
    processes.name_this("supervisor")
    logs.configure(settings, "supervisor")
    with Signals() as signals, RunDir(settings.name) as place:
        web = listen.tcp(settings.host, settings.port)
        with contextlib.closing(web):
            settings = msgspec.structs.replace(
                settings, run_dir=str(place.path), port=web.getsockname()[1]
            )
            with contextlib.closing(listen.unix(settings.path("pool"))) as pool:
                return Supervisor(settings, web, pool, signals, on_ready).run()
