"""Real runs for tests: `framefan run` as a person starts it, watched from outside.

A Run is a context: it starts framefan with a name, port and RUN_DIR of its own, and at the end
stops it by SIGTERM and asserts that nothing is left: no process, no file, no listening port.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import psutil
import zmq
from waiting import wait_until

from framefan.base import clock
from framefan.ipc import bus
from framefan.ipc.records import CameraFacts, OutcomeRecord, StateRecord
from framefan.settings.run import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

START_S = 30.0
STOP_S = 20.0


class Run:
    """One run of framefan; `state()` is its newest table, `url` where it serves."""

    def __init__(
        self,
        *arguments: str,
        env: dict[str, str] | None = None,
        stop: bool = True,
        after: Run | None = None,
        longest_s: float = 600.0,
        prints_to: int | None = None,
        program: list[str] | None = None,
    ) -> None:
        """`after`: an earlier run, whose name and folders this one takes over. After `longest_s`
        it ends by itself, for the case that its test was killed. `prints_to`: a descriptor for
        what it prints, instead of a file; -1: none at all. `program`: how it is started.
        """
        self.name = after.name if after else f"test-{secrets.token_hex(4)}"
        self.runtime = after.runtime if after else Path(tempfile.mkdtemp(prefix="ff-"))
        self._after = after  # its folders go when nobody refers to it any more
        if after is None:
            weakref.finalize(self, shutil.rmtree, self.runtime, ignore_errors=True)
        self.dir = self.runtime / "framefan" / self.name
        self._arguments = arguments
        self._env = os.environ | {"XDG_RUNTIME_DIR": str(self.runtime)} | (env or {})
        self._stop_at_exit = stop
        self._state: StateRecord | None = None
        self._longest = f"{longest_s:g}"
        self._prints_to = prints_to
        self._program = program or [sys.executable, "-m", "framefan"]
        self._seen: set[psutil.Process] = set()  # not pids, which other processes get again
        self.log_path = self.runtime / "log"

    # ---- life -------------------------------------------------------------------------------

    def start(self) -> Run:
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [*self._program, "run"]
                + [
                    "--name",
                    self.name,
                    "--port",
                    "0",
                    "--duration",
                    self._longest,
                    *self._arguments,
                ],
                env=self._env,
                stdout=log if self._prints_to in (None, -1) else self._prints_to,
                stderr=log if self._prints_to in (None, -1) else self._prints_to,
                preexec_fn=_close_streams if self._prints_to == -1 else None,  # noqa: PLW1509
                start_new_session=True,  # a group of its own, as in a terminal
            )
        self._sub = bus.subscriber(Limits(), bus.STATE)
        self._sub.connect(f"ipc://{self.dir}/results")
        return self

    def __enter__(self) -> Run:
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.kill_everything()
            raise
        return self

    @contextlib.contextmanager
    def taking_over(self) -> Iterator[Run]:
        """Like `with run`, for one that was started by `start` and need not be ready yet."""
        try:
            yield self
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        self.__exit__(None, None, None)

    @contextlib.contextmanager
    def killed_at_exit(self) -> Iterator[Run]:
        """For a run whose supervisor the test kills: whatever is left of it is killed."""
        try:
            yield self
        except BaseException:
            sys.stderr.write(f"--- log of {self.name} ---\n{self.log()}\n")
            raise
        finally:
            self._sub.close(linger=0)
            self.kill_everything()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._sub.close(linger=0)
        if error is not None:
            sys.stderr.write(f"--- log of {self.name} ---\n{self.log()}\n")
            self.kill_everything()
            return
        if self._stop_at_exit:
            assert self.stop() == 0, self.log()
        self.assert_clean()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal it, wait for its end; answers the exit code."""
        self.descendants()
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(STOP_S)

    def kill_everything(self) -> None:
        self.descendants()
        self.process.kill()
        for process in self._seen:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()

    # ---- what it shows ----------------------------------------------------------------------

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def state(self) -> StateRecord | None:
        """The newest table, if one has come yet."""
        while True:
            try:
                _, body = self._sub.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return self._state
            self._state = msgspec.msgpack.decode(body, type=StateRecord)
            self.descendants()

    def fresh_state(self) -> StateRecord:
        """A table published after this call.

        The next one to arrive may be older: on a busy machine it was on its way already, and holds
        the pids of processes that are gone.
        """
        asked_at = clock.wall()

        def fresh() -> StateRecord | None:
            state = self.state()
            return state if state and state.ts >= asked_at else None

        return wait_until(fresh, 10, "a fresh table")

    def camera(self, name: str) -> CameraFacts:
        return self.fresh_state().cameras[name]

    def wait_ready(self) -> None:
        """A worker is ready, the gateway serves, every camera is live, ended or says why not."""

        def ready() -> bool:
            assert self.process.poll() is None, f"it ended:\n{self.log()}"
            state = self.state()
            return bool(
                state
                and state.url
                and any(w.state in ("ready", "busy") for w in state.workers)
                and all(c.been_live or c.reason for c in state.cameras.values())
                and self.get("/readyz")[0] == 200
            )

        wait_until(ready, START_S, "readiness")

    @property
    def url(self) -> str:
        state = self.state()
        assert state is not None
        assert state.url
        return state.url.rstrip("/")

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """Status and decoded body of a GET."""
        request = urllib.request.Request(self.url + path, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=5) as reply:
                status, body = reply.status, reply.read()
        except urllib.error.HTTPError as error:
            status, body = error.code, error.read()
        except OSError:
            return 0, None
        try:
            return status, json.loads(body)
        except ValueError:
            return status, body

    def results(self, *cameras: str) -> Outcomes:
        """A subscriber of its own to outcomes, straight on the bus."""
        return Outcomes(f"ipc://{self.dir}/results", *cameras)

    # ---- its processes ----------------------------------------------------------------------

    def descendants(self) -> list[psutil.Process]:
        try:
            found = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            found = []
        self._seen.update(found)
        return found

    def pid_of(self, stage: str, number: int = 1) -> int:
        """The pid of `pool`, `gateway` or `worker` (by number) or `capture` from the table."""
        state = self.fresh_state()
        if stage == "pool":
            return state.pool.pid
        if stage == "gateway":
            return state.gateways[number - 1].pid
        if stage == "worker":
            return state.workers[number - 1].pid
        return next(iter(state.cameras.values())).pid

    # ---- promises ---------------------------------------------------------------------------

    def assert_clean(self) -> None:
        """No process, no file but reusable ones, the port free again."""
        wait_until(lambda: not any(map(_runs, self._seen)), 5, "the end of all processes")
        left = [path.name for path in self.dir.rglob("*")] if self.dir.exists() else []
        assert left in ([], ["lock"]), left
        if self._state and self._state.url:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", int(self._state.url.rstrip("/").rsplit(":", 1)[1])))


class Outcomes:
    """What the bus says, read on demand."""

    def __init__(self, endpoint: str, *cameras: str) -> None:
        limits = msgspec.structs.replace(Limits(), bus_hwm=100_000)
        topics = [f"{bus.RESULT}{camera}/" for camera in cameras] or [bus.RESULT]
        self._sub = bus.subscriber(limits, *topics)
        self._sub.connect(endpoint)
        self.all: list[OutcomeRecord] = []

    def read(self) -> list[OutcomeRecord]:
        """Everything since the start, the new ones included."""
        while True:
            try:
                _, body = self._sub.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return self.all
            self.all.append(msgspec.msgpack.decode(body, type=OutcomeRecord))

    def close(self) -> None:
        self._sub.close(linger=0)


def assert_balanced(state: StateRecord) -> None:
    """The ledger's equations, for every camera of one table."""
    for name, facts in state.cameras.items():
        ways = facts.leased + facts.superseded + facts.bad + facts.waiting
        assert facts.captured == ways, (name, facts)
        ends = facts.results + facts.errors + facts.lost + facts.running
        assert facts.leased == ends, (name, facts)
        assert facts.superseded == sum(facts.superseded_by.values()), (name, facts)
        assert facts.lost == sum(facts.lost_by.values()), (name, facts)
        assert facts.slots_out <= facts.slots, (name, facts)


def assert_exactly_once(outcomes: list[OutcomeRecord]) -> None:
    """Every seq of every camera and epoch once, in order, without a gap."""
    last: dict[tuple[str, str], int] = {}
    for each in outcomes:
        key = (each.camera, each.epoch)
        if key in last:
            assert each.seq == last[key] + 1, (each.camera, last[key], each.seq)
        last[key] = each.seq


def _close_streams() -> None:
    for fd in range(3):
        os.close(fd)


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def framefan(*arguments: str, env: dict[str, str] | None = None, seconds: float = 30) -> Any:
    """Run a framefan command to its end; answers the finished process with its text output."""
    return subprocess.run(
        [sys.executable, "-m", "framefan", *arguments],
        env=os.environ | (env or {}),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
