"""The stages of the process tree, and how a child process is started, configured and ended.

    supervisor -> capture (one per camera), pool, gateway
    pool       -> worker 1..N

A stage is named by a string here, so that the supervisor imports no stage. A child is started by
exec, never by fork alone. It inherits one end of a socket pair, finds the descriptor's number in
the environment variable CONTROL_FD, and reads its Start message from that socket. Settings never
travel in argv or the environment, because settings may contain passwords.
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
"""With -P, a file in the current directory cannot shadow a module."""
CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE, signal.SIGBUS, signal.SIGILL}
"""Signals that end a process after a fault in native code."""
KILL_S = 0.2
"""How long `Child.kill` waits by default for the killed process to exit."""
DUMP_SIGNAL = signal.SIGUSR2
"""Makes a hung child write the stack of every thread to stderr. The handler is C code, so it works
even while other C code holds the GIL."""


class Stage(msgspec.Struct, frozen=True):
    """One kind of process: the module it runs and the secrets it receives."""

    name: str
    module: str
    sees_sources: bool = False
    """Only capture receives the camera's address; other stages receive it masked."""
    sees_token: bool = False
    sees_keys: bool = False
    """Whether it receives the publish keys, which only the binding process needs."""
    runs_theirs: bool = False
    """Whether it runs user code or a decoder, whose output may be unlimited."""
    children: str = ""
    """Name of its own children, whose output is read separately from its own; empty for none."""
    flags: tuple[str, ...] = ()
    """Flags for the Python interpreter."""


_AT_ONCE = "-u"
"""Unbuffered output, although stdout is a pipe."""
CAPTURE = Stage(
    "capture",
    "framefan_capture.main",
    sees_sources=True,
    runs_theirs=True,
    # When a decoder crashes, faulthandler at least names the line that called it.
    flags=(_AT_ONCE, "-X", "faulthandler"),
)
POOL = Stage("pool", "framefan_inference.main", sees_keys=True, children="workers")
WORKER = Stage("worker", "framefan_inference.worker.worker", runs_theirs=True, flags=(_AT_ONCE,))
GATEWAY = Stage("gateway", "framefan_gateway.main", sees_token=True)
STAGES = (CAPTURE, POOL, WORKER, GATEWAY)


def settings_for(stage: Stage, role: str, settings: Settings) -> Settings:
    """The settings that this child may see.

    A capture sees its own camera only; other stages see masked addresses. Only stages with
    `sees_token` or `sees_keys` see the token or the publish keys.
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
    """The secrets that this child knows, which must not appear in its output."""
    known = settings_for(stage, role, settings)
    return [known.token, known.publish_keys.secret, *(each.source for each in known.cameras)]


def environment() -> dict[str, str]:
    """Our environment without the variables for secrets: some children run user code."""
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
        """Start the child. Call from the main thread: the child dies when the calling thread ends.

        `output` is the descriptor for the child's output, `prints_fd` the one for the output of
        the child's own children. `after_crash` says that the previous child `has_crashed`.
        """
        ours, theirs = links.pair()
        handed = (inherited_fd, results_fd, counts_fd, prints_fd)
        keep = [theirs.fileno(), *(fd for fd in handed if fd >= 0)]
        self.stage = stage
        self.role = role
        # The child starts with these signals blocked and unblocks them once its handlers are set.
        # SIGHUP stays blocked: when a terminal closes, only the supervisor receives it, and it
        # stops all children in order.
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
                # What user code forks is of its group, and ends with it: see `kill`.
                process_group=0 if stage.runs_theirs else None,
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
        with contextlib.suppress(LinkClosed):  # died already: the next read of the link reports it
            self.link.send(Start(own, role, *handed, after_crash))

    def kill(self, patience_s: float = KILL_S) -> bool:
        """Send SIGKILL, wait, close the link. True once the process is gone and reads or writes no
        more. Processes that user code forked are killed with it, or after it.

        False when the process has not exited within `patience_s`, because it has much memory to
        free or waits for a disk. The caller must try again later.
        """
        if self.process.poll() is None:
            self.process.kill()
        if self.stage.runs_theirs:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
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
        """Whether a signal of CRASHES ended it: a fault in native code, never a requested stop."""
        return -(self.process.returncode or 0) in CRASHES

    @property
    def ending(self) -> str:
        """How it ended, as text: `exit code 1` or `killed by SIGABRT`."""
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
    """Show this process as `framefan TITLE`. This also hides an argv that contains a password."""
    import setproctitle

    setproctitle.setproctitle(f"framefan {title}")


def settle() -> None:
    """Exclude all objects that exist now from garbage collection; they live until the process ends.

    Call it once a process is set up. Otherwise every full collection in a process that has loaded
    OpenCV or websockets takes milliseconds and delays a frame.
    """
    gc.collect()
    gc.freeze()


class Parent:
    """The child's end of the control link; a child's main() creates it first.

    SIGTERM sets `stop_asked`. Loops check it as well as the Stop message, which means the same. A
    terminal sends SIGINT to all of its processes; a child ignores it, the supervisor handles it.
    """

    def __init__(self, stage: str, receives: Any) -> None:
        """Arrange to die with the parent, then read Start. Exits when the link closes before it."""
        host.die_with_parent(int(os.environ.pop(PARENT_PID)))
        self.stop_asked = False
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._on_sigterm)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
        sock = socket.socket(fileno=int(os.environ.pop(CONTROL_FD)))
        sock.set_inheritable(False)
        self.link: links.Link[Any] = links.Link(sock, receives)
        os.register_at_fork(after_in_child=self._release_fork)
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
        """From now on DUMP_SIGNAL writes our stacks, also for a signal that is already pending."""
        faulthandler.register(DUMP_SIGNAL, all_threads=True, chain=False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {DUMP_SIGNAL})

    def _release_fork(self) -> None:
        """Runs in a process that the user's code forked, which is not part of the run: the link
        must end with this process, and the fork must end by the usual signals.
        """
        self.link.close()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _on_sigterm(self, *_: object) -> None:
        self.stop_asked = True
