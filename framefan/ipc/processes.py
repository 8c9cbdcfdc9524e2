"""The process tree as a table, and how one child of it is started, told and ended.

    supervisor -> capture (one per camera), pool, gateway
    pool       -> worker 1..N

Stages are strings here: the supervisor imports none of them. A child is started by exec, never by
fork alone, finds one end of a socket pair at descriptor CONTROL_FD's number in its environment and
reads its Start message from it. Neither argv nor the environment holds settings: they may hold
passwords.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from framefan.base import host, logs, output
from framefan.errors import LinkClosed
from framefan.ipc import links
from framefan.ipc.messages import Start
from framefan.settings.run import SOURCES_VARIABLE, TOKEN_VARIABLE, Keys
from framefan.settings.secret import Secret, SourceText

if TYPE_CHECKING:
    from framefan.settings.run import Settings

CONTROL_FD = "FRAMEFAN_CONTROL_FD"
PARENT_PID = "FRAMEFAN_PARENT_PID"
PYTHON = (sys.executable, "-P")
"""Python in which no file of the folder that a person is in takes the place of a module."""
CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE, signal.SIGBUS, signal.SIGILL}
"""Signals by which a process dies of a fault of its own in native code."""
KILL_S = 0.2
"""How long a process that was killed is waited for at once."""
DUMP_SIGNAL = signal.SIGUSR2
"""Sent to a child that hangs: every thread's stack goes to stderr, from C, so that it works even
where C code holds the interpreter's lock."""


class Stage(msgspec.Struct, frozen=True):
    """A row of the table: what runs, and what it is told."""

    name: str
    module: str
    sees_sources: bool = False
    """Only capture is handed the camera's address; the others get it masked."""
    sees_token: bool = False
    sees_keys: bool = False
    """Of what is published; only who binds it needs them."""
    runs_theirs: bool = False
    """Code of the user's or of a decoder runs in it, which may print without an end."""
    children: str = ""
    """What its own children are called: what they print comes apart from what it says itself."""
    flags: tuple[str, ...] = ()
    """Of the interpreter."""


_AT_ONCE = "-u"
"""What it prints comes at once, though it goes into a pipe."""
CAPTURE = Stage(
    "capture",
    "framefan_capture.main",
    sees_sources=True,
    runs_theirs=True,
    # A decoder that crashes leaves at least the line that called it.
    flags=(_AT_ONCE, "-X", "faulthandler"),
)
POOL = Stage("pool", "framefan_inference.main", sees_keys=True, children="workers")
WORKER = Stage("worker", "framefan_inference.worker.worker", runs_theirs=True, flags=(_AT_ONCE,))
GATEWAY = Stage("gateway", "framefan_gateway.main", sees_token=True)
STAGES = (CAPTURE, POOL, WORKER, GATEWAY)


def settings_for(stage: Stage, role: str, settings: Settings) -> Settings:
    """What this child may know: a capture its own camera only, the others no address; the token
    and the keys only who asks for them.
    """
    cameras = settings.cameras
    if stage.sees_sources:
        cameras = tuple(camera for camera in cameras if camera.name == role)
    else:
        cameras = tuple(
            msgspec.structs.replace(camera, source=SourceText(str(camera.source)))
            for camera in cameras
        )
    token = settings.token if stage.sees_token else Secret("")
    keys = settings.publish_keys if stage.sees_keys else Keys()
    return msgspec.structs.replace(settings, cameras=cameras, token=token, publish_keys=keys)


def secrets_of(stage: Stage, role: str, settings: Settings) -> list[Secret]:
    """What this child may know and nobody is to read."""
    known = settings_for(stage, role, settings)
    return [known.token, known.publish_keys.secret, *(each.source for each in known.cameras)]


def environment() -> dict[str, str]:
    """Ours, less what is no child's business: code of the user's runs in some of them."""
    private = (TOKEN_VARIABLE, SOURCES_VARIABLE)
    quiet = {"OPENCV_LOG_LEVEL": "OFF", "OPENCV_FFMPEG_LOGLEVEL": "-8"}  # they print URLs whole
    return {key: text for key, text in os.environ.items() if key not in private} | quiet


class Child:
    """A started child: its process, and our end of its control link."""

    def __init__(
        self,
        stage: Stage,
        role: str,
        settings: Settings,
        receives: Any,
        inherited_fd: int = -1,
        output: int = output.STDERR,
        results_fd: int = -1,
        counts_fd: int = -1,
        prints_fd: int = -1,
        after_crash: bool = False,
    ) -> None:
        """Start it. Call from the main thread: the kernel ties its life to the calling thread.

        `output`: a descriptor for all it prints; `prints_fd`: for all that its children print;
        `after_crash`: the child before it `has_crashed`.
        """
        ours, theirs = links.pair()
        handed = (inherited_fd, results_fd, counts_fd, prints_fd)
        keep = [theirs.fileno(), *(fd for fd in handed if fd >= 0)]
        self.stage = stage
        self.role = role
        # A child is born with these held back, until it has its handlers set; SIGHUP stays so:
        # when a terminal closes, the supervisor alone hears it and stops all in order.
        held = signal.pthread_sigmask(
            signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, DUMP_SIGNAL}
        )
        try:
            self.process = subprocess.Popen(
                [*PYTHON, *stage.flags, "-m", stage.module],
                stdin=subprocess.DEVNULL,
                stdout=output,  # what a predictor prints must not mix with our output
                stderr=output,
                pass_fds=keep,
                env=environment()
                | {CONTROL_FD: str(theirs.fileno()), PARENT_PID: str(os.getpid())},
            )
        except OSError:
            ours.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
            theirs.close()
        self.pid = self.process.pid
        self.link: links.Link[Any] = links.Link(ours, receives)
        own = settings_for(stage, role, settings)
        with contextlib.suppress(LinkClosed):  # it died at once: reading the link says so too
            self.link.send(Start(own, role, *handed, after_crash))

    def kill(self, patience_s: float = KILL_S) -> bool:
        """SIGKILL, wait, close. True: nothing of it reads or writes any more.

        False: the kernel has not let go of it within `patience_s`, since it has much memory or a
        disk does not answer. Nothing helps but to ask again later.
        """
        if self.process.poll() is None:
            self.process.kill()
        try:
            self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            return False
        self.link.close()
        return True

    def terminate(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()

    @property
    def has_crashed(self) -> bool:
        """Whether it died of a fault of its own in native code: nobody stops a process so."""
        return -(self.process.returncode or 0) in CRASHES

    @property
    def ending(self) -> str:
        """How it ended, in words: `exit code 1` or `killed by SIGABRT`."""
        return describe_exit(self.process.returncode)


def describe_exit(code: int | None) -> str:
    if code is None:
        return "still running"
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def name_this(title: str) -> None:
    """Show this process as `framefan TITLE`; an argv with a password in it is gone thereby."""
    import setproctitle

    setproctitle.setproctitle(f"framefan {title}")


def settle() -> None:
    """What lives now lives to the end: the collector need not walk through it again and again.

    Call it when a process is set up. Without it every full collection of a process that has loaded
    OpenCV or websockets takes milliseconds, in the middle of some frame.
    """
    gc.collect()
    gc.freeze()


class Parent:
    """The other side: what a child's main() begins with.

    `stop_asked` turns true on SIGTERM; loops look at it beside the Stop message, which means the
    same. SIGINT reaches every process of a terminal at once and is left to the supervisor.
    """

    def __init__(self, stage: str, receives: Any) -> None:
        """Tie our life to the parent's, then read Start. Ends the process when there is none."""
        host.die_with_parent(int(os.environ.pop(PARENT_PID)))
        self.stop_asked = False
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._on_sigterm)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
        sock = socket.socket(fileno=int(os.environ.pop(CONTROL_FD)))
        sock.set_inheritable(False)
        self.link: links.Link[Any] = links.Link(sock, receives)
        messages: list[Any] = []
        while not messages:
            try:
                messages = self.link.receive(block=True)
            except LinkClosed:
                raise SystemExit(0) from None
        start, *self.early = messages
        assert isinstance(start, Start), start
        self.settings: Settings = start.settings
        self.role = start.role
        self.inherited_fd = start.inherited_fd
        self.results_fd = start.results_fd
        self.counts_fd = start.counts_fd
        self.after_crash = start.after_crash
        self.prints_fd = start.prints_fd if start.prints_fd >= 0 else output.STDERR
        title = f"{stage} {start.role}".strip()
        name_this(title)
        logs.never_wait()
        logs.configure(self.settings, title)

    @staticmethod
    def write_stacks_when_asked() -> None:
        """From here on DUMP_SIGNAL, also one that came before, has us write our stacks."""
        faulthandler.register(DUMP_SIGNAL, all_threads=True, chain=False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {DUMP_SIGNAL})

    def _on_sigterm(self, *_: object) -> None:
        self.stop_asked = True
