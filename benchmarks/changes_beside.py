"""Changes beside: what one predictor's deaths, swaps and rescales cost the cameras of another one.

Two predictors in one run, with two cameras each. The one under test reads the number of the frame
off the picture. For some seconds nothing happens. Then for as long, once a second, the only worker
of the other one is killed, or its predictor swapped, or its workers rescaled. Then for as long as
many processes that load what a worker loads are started outside of the run. This is repeated, so
that whatever else the machine does falls on all three. A process that starts takes a core for a
third of a second, which on two cores everybody feels: the third part shows how much that is.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from websockets.sync.client import connect

from benchmarks import predictors
from benchmarks.report import Row, percentile, spread
from benchmarks.run import Run, until
from framefan.base import clock
from framefan.ipc.messages import Scale, Swap
from framefan.supervisor import control

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS, ROUND_S, STEP_S = 6, 8.0, 1.0
FPS = 30
OURS, OTHERS = ("a", "b"), ("c", "d")
OTHER = "other"
SWAPS = tuple(predictors.reference(name) for name in ("numbered", "nothing"))
BAR, RATE_BAR = 1.2, 0.95
_LIMITS = (
    "[limits]\nrestarts = 1000\nrestart_cap_s = 0.5\ncircuit_deaths = 0\nstate_every_s = 0.2\n"
)
_PREDICTOR = f'[[predictor]]\nname = "{OTHER}"\npredictor = "{SWAPS[0]}"\n'
_CAMERA = '[[camera]]\nname = "{}"\nsource = "demo?size=320x240&fps={}"\nmode = "every"\n'


class Listener:
    """An `every` client of our cameras: the latency of each result, and what was wrong."""

    def __init__(self, url: str) -> None:
        self.times_ms: list[float] = []
        self.wrong: list[str] = []
        self._next: dict[str, int] = {}
        address = f"{url}?delivery=every&history=0&cameras={','.join(OURS)}"
        self._socket = connect(address, proxy=None)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        for text in self._socket:
            self._check(json.loads(text))

    def _check(self, message: dict[str, Any]) -> None:
        if message["type"] in ("error", "gap"):
            self.wrong.append(json.dumps(message))
        if message["type"] != "result":
            return
        camera, seq = message["camera"], message["seq"]
        if seq != self._next.get(camera, seq) or message["result"]["number"] != message["frame"]:
            self.wrong.append(json.dumps(message))
        self._next[camera] = seq + 1
        self.times_ms.append(message["latency_ms"]["total"])

    def close(self) -> None:
        self._socket.close()
        self._thread.join()


def _worker(run: Run) -> int:
    """The process of the other predictor's first worker that is ready."""

    def ready() -> int:
        workers = [each for each in run.status()["workers"] if each["predictor_name"] == OTHER]
        return next((each["pid"] for each in workers if each["state"] in ("ready", "busy")), 0)

    return int(until(ready, 20.0, "a worker of the other predictor"))


def _changes(run: Run) -> Iterator[None]:
    """One change after the other; three of four start a worker."""
    while True:
        for reference in SWAPS:
            with contextlib.suppress(ProcessLookupError):  # the table is a moment old
                os.kill(_worker(run), signal.SIGKILL)
            yield
            _worker(run)
            for request in (Swap(reference, OTHER), Scale(2, OTHER), Scale(1, OTHER)):
                control.ask(run.name, request, None)
                yield


def _starts() -> Iterator[None]:
    """As many processes that load as much, and have nothing to do with the run."""
    load = "import cv2, numpy, framefan_inference.worker.worker"
    while True:
        for _ in range(3):
            subprocess.run([sys.executable, "-c", load], check=True)
            yield
        yield


def _nothing() -> Iterator[None]:
    while True:
        yield


def _round(listener: Listener, steps: Iterator[None]) -> list[float]:
    """The latencies of one round with a step each STEP_S, in milliseconds."""
    first, began = len(listener.times_ms), clock.now()
    for number in range(1, int(ROUND_S / STEP_S) + 1):
        next(steps)
        threading.Event().wait(max(0.0, began + number * STEP_S - clock.now()))
    return listener.times_ms[first:]


def _p99_ratio(after: list[list[float]], before: list[list[float]]) -> list[float]:
    return [
        percentile(one, 99) / percentile(other, 99)
        for one, other in zip(after, before, strict=True)
    ]


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        config = Path(folder) / "framefan.toml"
        cameras = [_CAMERA.format(name, FPS) for name in OURS]
        cameras += [_CAMERA.format(name, FPS) + f'predictor = "{OTHER}"\n' for name in OTHERS]
        config.write_text(_LIMITS + _PREDICTOR + "".join(cameras))
        run = stack.enter_context(
            Run(predictor=SWAPS[0], workers=1, options=("--config", str(config)))
        ).wait_ready()
        _worker(run)
        listener = Listener(run.websocket)
        stack.callback(listener.close)
        kinds = _nothing(), _changes(run), _starts()
        _round(listener, kinds[0])
        began, first = clock.now(), len(listener.times_ms)
        rounds = [[_round(listener, steps) for steps in kinds] for _ in range(ROUNDS)]
        rate = (len(listener.times_ms) - first) / (clock.now() - began) / (len(OURS) * FPS)
        status = run.status()["cameras"]
    quiet, beside, outside = map(list, zip(*rounds, strict=True))
    dropped = sum(status[name]["lost"] + status[name]["superseded"] for name in OURS)
    of_all, of_starts = _p99_ratio(beside, quiet), _p99_ratio(beside, outside)
    changes = ROUNDS * int(ROUND_S / STEP_S)
    return [
        Row(
            f"beside {changes} kills, swaps and rescales of another predictor: p99 of the latency, "
            "over that of quiet seconds",
            f"<= {BAR:g}",
            f"{spread(of_all)}; {median(percentile(each, 99) for each in quiet):.1f} ms if quiet",
            median(of_all) <= BAR,
        ),
        Row(
            "the same, over that while as many processes start outside of the run",
            f"<= {BAR:g}",
            spread(of_starts),
            median(of_starts) <= BAR,
        ),
        Row(
            "the same: missing, twice, not of its frame, lost or superseded",
            "0",
            f"{len(listener.wrong)} of {len(listener.times_ms):,} messages, {dropped} frames",
            not listener.wrong and not dropped and bool(listener.times_ms),
        ),
        Row(
            "the same: results a second, over those of the cameras",
            f">= {RATE_BAR:g}",
            f"{rate:.3f}",
            rate >= RATE_BAR,
        ),
    ]
