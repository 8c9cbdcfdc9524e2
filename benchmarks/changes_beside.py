"""Changes beside: what one predictor's deaths, swaps and rescales cost the cameras of another one.

Two predictors in one run, with two cameras each. The one under test reads the number of the frame
off the picture. For some seconds nothing happens; then for as long the only worker of the other one
is killed, its predictor swapped, its workers rescaled, one right after the other. In turn, so that
whatever else the machine does falls on both.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
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

ROUNDS, ROUND_S = 6, 10.0
FPS = 30
OURS, OTHERS = ("a", "b"), ("c", "d")
OTHER = "other"
SWAPS = tuple(predictors.reference(name) for name in ("numbered", "nothing"))
LATENCY_BAR, RATE_BAR = 1.2, 0.95
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


def _disturbances(run: Run) -> Iterator[None]:
    while True:
        for reference in SWAPS:
            with contextlib.suppress(ProcessLookupError):  # the table is a moment old
                os.kill(_worker(run), signal.SIGKILL)
            yield
            _worker(run)
            for request in (Swap(reference, OTHER), Scale(2, OTHER), Scale(1, OTHER)):
                control.ask(run.name, request, None)
                yield


def _round(listener: Listener, seconds: float, disturb: Iterator[None] | None) -> list[float]:
    """The latencies of one round, in milliseconds."""
    began, first = clock.now(), len(listener.times_ms)
    while (left := began + seconds - clock.now()) > 0:
        if disturb:
            next(disturb)
        else:
            threading.Event().wait(left)
    return listener.times_ms[first:]


def measure() -> list[Row]:
    quiet: list[list[float]] = []
    loud: list[list[float]] = []
    changes = 0

    def counted(run: Run) -> Iterator[None]:
        nonlocal changes
        for _ in _disturbances(run):
            changes += 1
            yield

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
        _round(listener, 3.0, None)
        disturb = counted(run)
        loud_s = 0.0
        for _ in range(ROUNDS):
            quiet.append(_round(listener, ROUND_S, None))
            began = clock.now()
            loud.append(_round(listener, ROUND_S, disturb))
            loud_s += clock.now() - began
        status = run.status()["cameras"]
    dropped = sum(status[name]["lost"] + status[name]["superseded"] for name in OURS)
    ratios = [
        percentile(after, 99) / percentile(before, 99)
        for before, after in zip(quiet, loud, strict=True)
    ]
    rate = sum(map(len, loud)) / (len(OURS) * FPS * loud_s)
    return [
        Row(
            f"beside {changes} kills, swaps and rescales of another predictor: p99 of the latency, "
            "over that without",
            f"<= {LATENCY_BAR:g}",
            f"{spread(ratios)}; {median(percentile(each, 99) for each in quiet):.1f} ms without",
            median(ratios) <= LATENCY_BAR,
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
