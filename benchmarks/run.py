"""A real `framefan run`: start it, wait for it, ask it, stop it."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from framefan.base import clock

if TYPE_CHECKING:
    from collections.abc import Callable

START_S = 60.0
_numbers = itertools.count(1)


def until(true: Callable[[], Any], seconds: float, what: str) -> Any:
    """The first true answer; SystemExit naming `what` when there is none in time."""
    deadline = clock.now() + seconds
    while not (answer := true()):
        if clock.now() > deadline:
            raise SystemExit(f"waited {seconds:g} s in vain: {what}")
        time.sleep(0.01)
    return answer


class Run:
    """`framefan run SOURCE ... --port 0`, from its start to its clean end."""

    def __init__(
        self,
        *sources: str,
        predictor: str = "motion",
        workers: int = 2,
        port: int = 0,
        options: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
    ) -> None:
        self.name = f"bench-{os.getpid()}-{next(_numbers)}"
        self._command = [
            str(Path(sys.executable).with_name("framefan")),
            *("run", *sources, "--predictor", predictor, "--workers", str(workers)),
            *("--port", str(port), "--name", self.name, "--log-format", "json", *options),
        ]
        self._environment = os.environ | (environment or {})
        self.url = f"http://127.0.0.1:{port}/" if port else ""
        self.log: list[str] = []

    def __enter__(self) -> Self:
        self.started_at = clock.now()
        self.process = subprocess.Popen(
            self._command, env=self._environment, stderr=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        return self

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            if not self.url and '"url"' in line:
                with contextlib.suppress(ValueError, KeyError):
                    self.url = json.loads(line)["url"]

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise SystemExit(f"did not stop: {self._told()}") from None
        self._reader.join(5)
        if code:
            raise SystemExit(f"ended with exit code {code}: {self._told()}")

    def _told(self) -> str:
        return " ".join(self._command) + "\n" + "".join(self.log[-20:])

    def wait_address(self) -> Self:
        """Until clients may connect; no worker need be ready."""
        until(lambda: self._alive() and self.url, START_S, "the address of the run")
        return self

    def wait_ready(self) -> Self:
        """Until /readyz says 200."""
        self.wait_address()
        until(lambda: self._alive() and self.http("readyz")[0] == 200, START_S, "/readyz")
        return self

    def _alive(self) -> bool:
        if self.process.poll() is not None:
            raise SystemExit(f"ended while it was to start: {self._told()}")
        return True

    @property
    def websocket(self) -> str:
        return self.url.replace("http", "ws", 1) + "ws"

    def http(self, path: str) -> tuple[int, bytes]:
        """Status and body; status 0 when nobody answers."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            return 0, b""

    def status(self) -> dict[str, Any]:
        code, body = self.http("api/status")
        if code != 200:
            raise SystemExit(f"/api/status answered {code}: {body!r}")
        state: dict[str, Any] = json.loads(body)
        return state

    def processes(self) -> dict[str, list[int]]:
        """The pids of the run, by kind."""
        state = self.status()
        return {
            "capture": [camera["pid"] for camera in state["cameras"].values()],
            "pool": [state["pool"]["pid"]],
            "worker": [worker["pid"] for worker in state["workers"]],
            "gateway": [gateway["pid"] for gateway in state["gateways"]],
            "supervisor": [self.process.pid],
        }


def cpu_seconds(pids: dict[str, list[int]]) -> dict[str, float]:
    """User and system time so far, all threads together, by kind of process.

    From each process's CPU clock, as clock_getcpuclockid(3) names it: exact to the nanosecond,
    where /proc counts in hundredths of a second.
    """
    return {
        kind: sum(time.clock_gettime((~pid << 3) | 2) for pid in some)
        for kind, some in pids.items()
    }
