"""Capture: what it costs to have a file's pictures in shared memory, beside the usual ways.

The real capture process, with this one in its pool's and its supervisor's place, which gives every
slot back at once; beside it the loops of capture_loops.py, each in a process of its own. All play
the same file as fast as it goes, from its start to its end, in turns, round after round; a ratio is
of two that ran in the same round. The one that is measured has a core for itself, and what plays
the pool stands on the other.

`python -m benchmarks.capture [quick]` writes nothing; with `spread` nothing is pinned to a core.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Self

from benchmarks import report
from benchmarks.capture_loops import SLOTS, WAYS, Stopwatch
from benchmarks.report import Row, spread
from benchmarks.run import cpu_seconds
from framefan.ipc import links, processes
from framefan.ipc.messages import (
    Free,
    HelloCapture,
    Ready,
    RingMade,
    SourceStatus,
    ToPool,
    ToSupervisor,
    Welcome,
)
from framefan.settings.run import CameraSettings, Settings
from framefan.settings.secret import SourceText
from framefan.supervisor import listen_sockets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROUNDS = 7
FILES = (
    ("1080p", (1920, 1080), "mp4v", 300, 1.05),
    ("640x360", (640, 360), "mp4v", 2000, 1.15),
    ("1080p", (1920, 1080), "MJPG", 150, 1.05),
    ("640x360", (640, 360), "MJPG", 1000, 1.15),
)
"""Name, size, codec, frames, and the bar over the bare loop."""
REAL = "capture"
TOLD = {
    "bare": "bare loop of VideoCapture.read()",
    "copy": "read() and a copy into the slot",
    "slot": "decoded into the slot, source alone",
    REAL: "framefan's capture process",
}
_PATIENCE_S = 120.0

Cost = dict[str, float]
Found = dict[str, list[Cost]]


class Pool:
    """What the capture process needs around it; a slot is free again as soon as it is announced."""

    def __init__(self, folder: str, path: str) -> None:
        camera = CameraSettings(name="cam1", source=SourceText(path), fast=True)
        self.settings = Settings(run_dir=folder, cameras=(camera,), log_level="warning")

    def __enter__(self) -> Self:
        self._listener = listen_sockets.unix(self.settings.path("pool"))
        self._listener.settimeout(_PATIENCE_S)
        self._child = processes.Child(processes.CAPTURE, "cam1", self.settings, ToSupervisor)
        self._link: links.Link[Any] = links.Link(self._listener.accept()[0], ToPool)
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()
        self._link.close()
        self._listener.close()
        Path(self.settings.path("pool")).unlink()

    def play(self, frames: int) -> Cost:
        """What a frame costs the capture process, over the whole file."""
        pids = {REAL: [self._child.pid]}
        watch = Stopwatch(frames, lambda: cpu_seconds(pids)[REAL])
        ended = False
        while not ended:
            for message in self._link.receive(block=True):
                match message:
                    case Ready():
                        self._link.send(Free(message.ring, [message.slot]))
                        watch.frame()
                    case HelloCapture():
                        self._link.send(Welcome("bench", message.frame, SLOTS))
                    case RingMade():
                        os.close(self._link.take_fd())
                    case SourceStatus():
                        ended = message.state == "ended"
        return watch.cost()


@contextlib.contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """What is started in here stays on that core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, before if core is None else {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def play(way: str, path: str, frames: int, core: int | None) -> Cost:
    if way == REAL:
        with (
            tempfile.TemporaryDirectory(prefix="framefan-bench-") as folder,
            contextlib.ExitStack() as stack,
        ):
            with on_core(core):
                pool = stack.enter_context(Pool(folder, path))
            return pool.play(frames)
    command = [sys.executable, "-m", "benchmarks.capture_loops", way, path, str(frames)]
    quiet = os.environ | {"OPENCV_LOG_LEVEL": "OFF", "OPENCV_FFMPEG_LOGLEVEL": "-8"}
    with on_core(core):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=quiet)
    answer, _ = process.communicate(timeout=_PATIENCE_S)
    cost: Cost = json.loads(answer)
    return cost


def compare(path: str, frames: int, rounds: int, core: int | None) -> Found:
    found: Found = {way: [] for way in (*WAYS, REAL)}
    for _ in range(rounds):
        for way, costs in found.items():
            costs.append(play(way, path, frames, core))
    return found


def measure(rounds: int = ROUNDS, pinned: bool = True) -> list[Row]:
    cores = sorted(os.sched_getaffinity(0))
    table: list[Row] = []
    with (
        tempfile.TemporaryDirectory(prefix="framefan-bench-") as folder,
        on_core(cores[-1] if pinned else None),
    ):
        for name, size, codec, frames, bar in FILES:
            path = movie(Path(folder, f"{name}-{codec}.avi"), size, codec, frames)
            found = compare(path, frames, rounds, cores[0] if pinned else None)
            table += rows(f"{name}, {codec}", found, bar)
    return table


def movie(path: Path, size: tuple[int, int], codec: str, frames: int) -> str:
    """The demo scene as a file."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from fakes_sources import make_video

    from framefan_capture.sources.scene import Scene

    return str(make_video(path, Scene(*size, seed=1), frames, 30.0, codec))


def rows(name: str, found: Found, bar: float) -> list[Row]:
    table = [Row(f"{name}: {TOLD[way]}", "", _cost(costs)) for way, costs in found.items()]
    for way, limit in (("copy", 0.0), ("slot", bar), (REAL, bar)):
        for kind, told in (("cpu_ms", "CPU"), ("wall_ms", "time")):
            ratios = [
                one[kind] / other[kind]
                for one, other in zip(found[way], found["bare"], strict=True)
            ]
            table.append(_ratio(f"{name}: {TOLD[way]} over the bare loop, {told}", ratios, limit))
    return table


def _cost(costs: Sequence[Cost]) -> str:
    cpu, wall = ([cost[kind] for cost in costs] for kind in ("cpu_ms", "wall_ms"))
    rates = [1000 / ms for ms in wall]
    return f"{spread(cpu, 3, ' ms')} CPU a frame, {spread(rates, 0)} frames a second"


def _ratio(name: str, ratios: list[float], bar: float) -> Row:
    if not bar:
        return Row(name, "", spread(ratios))
    return Row(name, f"<= {bar}", spread(ratios), median(ratios) <= bar)


if __name__ == "__main__":
    wanted = sys.argv[1:]
    print(report.as_text(measure(3 if "quick" in wanted else ROUNDS, "spread" not in wanted)))
