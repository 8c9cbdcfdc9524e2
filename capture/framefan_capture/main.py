"""The capture process: one loop over its camera, the pool's link and the supervisor's link.

    until stopped: report progress to the supervisor and counters to the pool (once a second)
                   wait for news on a link until the camera is due
                   handle the news
                   if the camera is due: one step of it

Three things stop it: SIGTERM, the message Stop, and the end of the supervisor's link. Ctrl-C in a
terminal reaches the whole process group, but only the supervisor acts on it.

A network camera may block the loop inside OpenCV for seconds, and a user's function without limit.
So a thread watches for a stop as well. If the loop does not handle it within a second, the thread
ends the process. Nothing is lost: the kernel releases all that capture owns with its descriptors.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
from typing import TYPE_CHECKING

from framefan.base import clock, logs, output
from framefan.errors import (
    EXIT_OK,
    OPENCV_FIX,
    FramefanError,
    LinkClosed,
    LinkError,
    StartError,
)
from framefan.ipc.messages import Fatal, FromSupervisor, Progress, Stop
from framefan.ipc.processes import CAPTURE, Parent
from framefan_capture.pool_link import PoolLink

if TYPE_CHECKING:
    from framefan_capture.camera import Camera

PULSE_S = 1.0
SOON_S = 0.05
LOOK_S = 0.002
"""While there is work, links are read at most this often: it costs a tenth of a small frame."""
STOP_S = 1.0
"""How long the loop may take to handle a stop before the process is ended."""


class Capture:
    def __init__(self, parent: Parent) -> None:
        self._parent = parent
        self._control = parent.link
        self._feed = PoolLink(parent.settings.path("pool"), parent.role)
        self._camera: Camera | None = None
        self._turns = 0
        self._pulse_at = 0.0
        self._look_at = 0.0
        self._stop_heard = any(isinstance(message, Stop) for message in parent.early)
        self._signals, self._waker = os.pipe()
        """Python's wakeup pipe: each signal with a handler, also the user's, writes a byte."""
        os.set_blocking(self._waker, False)
        self._told_to_stop, self._tell_to_stop = os.pipe()
        """Readable once SIGTERM has come."""
        self._done = threading.Event()

    def run(self) -> int:
        """Run until stopped; return the exit code."""
        self._watch_for_stop()
        try:
            self._feed.connect(clock.now())
            self._pulse()
            self._open_camera()
            while not self._stopping:
                self._turn()
        except FramefanError as error:
            self._tell_fatal(error)
            return error.exit_code
        finally:
            if self._camera is not None:
                self._camera.close()
            self._feed.close()
            self._done.set()
        return EXIT_OK

    def _open_camera(self) -> None:
        try:
            from framefan_capture.camera import Camera  # loads OpenCV, so after the first progress
        except ImportError as error:  # a system library is missing, or the shell's limits are low
            raise StartError("OpenCV does not import", str(error), OPENCV_FIX) from error

        settings = self._parent.settings.camera(self._parent.role)
        self._camera = Camera(settings, self._feed, self._parent.after_crash)
        self._pulse_at = 0.0  # report at once that everything is loaded

    # ---- one iteration -------------------------------------------------------------------------

    def _turn(self) -> None:
        assert self._camera is not None
        self._turns += 1
        now = clock.now()
        if now >= self._pulse_at:
            self._pulse()
            self._camera.report()
        self._feed.connect(now)
        self._wait(now)
        if not self._stopping and self._camera.due <= clock.now():
            self._camera.step()

    def _wait(self, now: float) -> None:
        """Wait until the camera or the pulse is due or a link has news; then handle the news.

        With free slots and the next frame due soon, the pool's link is not watched: each returned
        slot would cost an iteration of its own. While the motion gate is closed, no slots return,
        and the pool may ask for a frame.
        """
        assert self._camera is not None
        until = min(self._camera.due, self._pulse_at)
        if until <= now < self._look_at and not self._feed.is_low:
            return
        self._look_at = now + LOOK_S
        watched = [self._control.fileno(), self._told_to_stop]
        link = self._feed.link
        is_idle = until - now > SOON_S or not self._feed.has_room or self._camera.is_still
        listens = link is not None and is_idle
        if link is None:
            until = min(until, self._feed.retry_at)
        elif listens:
            watched.append(link.fileno())
        news = select.select(watched, [], [], max(0.0, until - now))[0]
        if self._control.fileno() in news:
            self._hear_supervisor()
        if (listens or self._feed.is_low) and self._feed.receive():
            self._camera.welcomed()

    def _hear_supervisor(self) -> None:
        try:
            messages = self._control.receive()
        except LinkError:
            self._stop_heard = True
            return
        if any(isinstance(message, Stop) for message in messages):
            self._stop_heard = True

    def _pulse(self) -> None:
        self._pulse_at = clock.now() + PULSE_S
        try:
            self._control.offer(Progress(self._turns))
        except LinkClosed:
            self._stop_heard = True

    def _tell_fatal(self, error: FramefanError) -> None:
        logs.debug(error.what, why=error.why)  # the supervisor reports it to users
        with contextlib.suppress(LinkClosed):
            self._control.send(Fatal(error.exit_code, error.what, error.why, error.fix))

    # ---- stopping ------------------------------------------------------------------------------

    @property
    def _stopping(self) -> bool:
        return self._stop_heard or self._parent.stop_asked

    def _watch_for_stop(self) -> None:
        # The C-level signal handler writes to the pipe, even while Python is blocked in OpenCV.
        signal.set_wakeup_fd(self._waker)
        threading.Thread(target=self._guard, daemon=True).start()

    def _guard(self) -> None:
        """End the process if the loop does not handle a stop in time.

        A signal that the user's own code handles is not a stop.
        """
        control = self._control.fileno()
        turns, asked = -1, False
        while not self._done.is_set():
            ready = select.select([control, self._signals], [], [], 0 if asked else None)[0]
            if self._signals in ready and signal.SIGTERM in os.read(self._signals, 4096):
                asked = True
                os.write(self._tell_to_stop, b"!")
            news = asked or control in ready
            if news and turns == self._turns:
                os._exit(EXIT_OK)
            turns = self._turns if news else -1
            if news:
                self._done.wait(STOP_S)


def main() -> int:
    """Exit in order only where the user's code runs: it may have registered an atexit handler.

    Even then do not wait for its threads: a camera SDK's thread may never end.
    """
    parent = Parent(CAPTURE.name, FromSupervisor)
    code = Capture(parent).run()
    is_ours = parent.settings.camera(parent.role).source.spec.kind != "callable"
    others = (thread for thread in threading.enumerate() if thread is not threading.main_thread())
    if is_ours or any(not thread.daemon for thread in others):
        output.end_at_once(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
