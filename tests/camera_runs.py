"""Runs in which cameras go wrong beside one that does not, and what each of them tells."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec
import psutil
import zmq
from runs import Run, assert_balanced, assert_exactly_once
from waiting import slack, wait_until

from framefan.base.clock import now
from framefan.ipc import bus
from framefan.ipc.records import OutcomeRecord, StatusRecord
from framefan.settings.run import Limits

if TYPE_CHECKING:
    from pathlib import Path

    from framefan.ipc.records import CameraFacts

GOOD = "good"
GOOD_FPS = 20
SOON = {
    "open_timeout_s": 1,
    "read_timeout_s": 1,
    "backoff_first_s": 0.1,
    "backoff_cap_s": 0.5,
    "stalled_s": 0.5,
}
"""Settings under which a fault is over in a second or two."""


def write_config(folder: Path, cameras: dict[str, dict[str, Any]]) -> Path:
    """Cameras by name, each with its keys; texts and numbers of JSON are TOML, too."""
    lines = []
    for name, keys in cameras.items():
        lines += ["[[camera]]", f'name = "{name}"']
        lines += [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    path = folder / "cameras.toml"
    path.write_text("\n".join([*lines, ""]))
    return path


class CameraRun(Run):
    """Those cameras and the good one, with all that the bus says of them from the start."""

    def __init__(
        self,
        folder: Path,
        cameras: dict[str, dict[str, Any]],
        *arguments: str,
        env: dict[str, str] | None = None,
    ) -> None:
        good = {"source": f"demo?size=160x120&fps={GOOD_FPS}"}
        self.config = write_config(folder, {GOOD: good} | cameras)
        super().__init__("--config", str(self.config), *arguments, env=env)
        self._bus = bus.subscriber(
            msgspec.structs.replace(Limits(), bus_hwm=100_000), bus.RESULT, bus.STATUS
        )
        self._bus.connect(f"ipc://{self.dir}/results")
        self._outcomes: list[OutcomeRecord] = []
        self._statuses: list[StatusRecord] = []

    def wait_ready(self) -> None:
        super().wait_ready()
        self._first = self.fresh_state()

    def __exit__(self, *how: Any) -> None:
        self._bus.close(linger=0)
        super().__exit__(*how)

    def _hear(self) -> None:
        while True:
            try:
                topic, body = self._bus.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            if topic.startswith(bus.RESULT.encode()):
                self._outcomes.append(msgspec.msgpack.decode(body, type=OutcomeRecord))
            else:
                self._statuses.append(msgspec.msgpack.decode(body, type=StatusRecord))

    def outcomes(self, camera: str) -> list[OutcomeRecord]:
        """All since the start."""
        self._hear()
        return [each for each in self._outcomes if each.camera == camera]

    def statuses(self, camera: str, state: str = "", reason: str = "") -> list[StatusRecord]:
        """All since the start; of that state and reason, where they are given."""
        self._hear()
        return [
            each
            for each in self._statuses
            if each.camera == camera
            and state in ("", each.state)
            and (not reason or reason == each.reason)
        ]

    def story(self, camera: str) -> list[tuple[str, str]]:
        """States and reasons in their order."""
        return [(each.state, each.reason) for each in self.statuses(camera)]

    def wait_for(
        self, camera: str, state: str, reason: str = "", seconds: float = 15.0
    ) -> CameraFacts:
        """Until the camera is in this state for this reason."""

        def there() -> CameraFacts | None:
            facts = self.fresh_state().cameras[camera]
            return facts if (facts.state, facts.reason) == (state, reason) else None

        facts = wait_until(there, seconds, f"{camera}: {state} ({reason}) in {self.story(camera)}")
        assert facts is not None
        return facts

    def wait_for_results(self, camera: str, more: int = 5, seconds: float = 15.0) -> None:
        count = len(self.outcomes(camera)) + more
        wait_until(lambda: len(self.outcomes(camera)) >= count, seconds, f"results of {camera}")

    def assert_good_is_unharmed(self) -> None:
        """Since the start: its states, its seqs, its rate; and all counters add up."""
        assert {each.state for each in self.statuses(GOOD)} <= {"connecting", "live"}
        self._hear()
        assert_exactly_once(self._outcomes)
        state = self.fresh_state()
        seconds = state.ts - self._first.ts
        results = state.cameras[GOOD].results - self._first.cameras[GOOD].results
        assert results * slack() >= 0.8 * GOOD_FPS * seconds, (results, seconds)
        assert state.cameras[GOOD].restarts == 0
        assert_balanced(state)

    def shares(self, cameras: list[str], seconds: float) -> dict[str, float]:
        """Of one core, what each of their processes takes in so many seconds."""
        state = self.fresh_state()
        processes = {name: psutil.Process(state.cameras[name].pid) for name in cameras}
        began, before = now(), {name: _cpu_s(process) for name, process in processes.items()}
        wait_until(lambda: now() - began > seconds, seconds + 5)
        took = now() - began
        return {name: (_cpu_s(processes[name]) - before[name]) / took for name in cameras}


def frames_rise(outcomes: list[OutcomeRecord]) -> bool:
    return all(one.frame < other.frame for one, other in pairwise(outcomes))


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
