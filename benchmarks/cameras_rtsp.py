"""A real H.264 camera over RTSP and TCP: how fresh its pictures are, and how it comes back.

The camera shows the demo scene, so the number of a picture can be read in it, and says when it sent
which. Both ends read one clock: what a result's `captured_at` is behind that moment is the delay of
camera, network and decoder. It grows where a reader falls behind.
"""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Self

import msgspec

from benchmarks import predictors
from benchmarks.listener import Listener
from benchmarks.report import Row, percentile, spread
from benchmarks.run import Run, until
from framefan.base import clock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from framefan.ipc.records import OutcomeRecord, StatusRecord

FPS = 25
SIZE = (1280, 720)
PICTURES = 250
INTERVAL_MS = 1000 / FPS
CAMERA = "cam1"
_SCRIPT = Path(__file__).with_name("h264_camera.py")
_SETTLE_S = 3.0
_PATIENCE_S = 30.0
_GAP_S = 5 / FPS
"""Results further apart than this have a gap between them."""


class H264Camera:
    """The camera's process; it keeps its port from one start to the next."""

    def __init__(self, folder: str) -> None:
        sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
        import cv2
        from fakes_sources import SYSTEM_PYTHON, pictures

        from framefan_capture.sources.scene import Scene

        self._file = f"{folder}/units"
        self._command = [SYSTEM_PYTHON, str(_SCRIPT)]
        self._port = "0"
        numbers = [str(number) for number in (*SIZE, FPS, PICTURES)]
        command = [*self._command, "encode", self._file, *numbers]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as encoder:
            assert encoder.stdin is not None
            for image in pictures(Scene(*SIZE, seed=1), PICTURES):
                encoder.stdin.write(
                    memoryview(cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)).cast("B")
                )
        if encoder.returncode:
            raise SystemExit("GStreamer could not encode the pictures")

    def start(self) -> Self:
        """Returns when it listens."""
        self.started: list[float] = []
        self.ready_at = 0.0
        self._process = subprocess.Popen(
            [*self._command, "serve", self._file, str(FPS), self._port],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        until(lambda: self.ready_at, _PATIENCE_S, "the RTSP server")
        return self

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            word, _, number = line.partition(" ")
            if word == "ready":
                self._port = number.strip()
                self.ready_at = clock.wall()
            else:
                self.started.append(float(number))

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._reader.join(5)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self._port}/cam"

    def sent_at(self, number: int, by: float) -> float:
        """When the picture that shows `number` was sent the last time before `by`."""
        start = self.started[-1]
        turns = int(((by - start) * FPS - number) / PICTURES)
        return start + (number + turns * PICTURES) / FPS


# ---- every frame, and no backlog ---------------------------------------------------------------


def steady(folder: str, seconds: float) -> list[Row]:
    reference = predictors.reference("numbered")
    with (
        H264Camera(folder) as camera,
        Run(f"{CAMERA}={camera.url}", predictor=reference) as run,
    ):
        run.wait_ready()
        with Listener(run) as listener:
            pause(_SETTLE_S)
            before, began = _facts(run), clock.now()
            pause(seconds)
            after, ended = _facts(run), clock.now()
            results = listener.drain().results
        counted = [each for each in results if began <= each.captured_at < ended]
        ages = [1000 * (each.captured_at - sent(camera, each)) for each in counted]
    return [*_loss_rows(counted, before, after, seconds), *_age_rows(ages)]


def _loss_rows(
    results: list[OutcomeRecord], before: dict[str, Any], after: dict[str, Any], seconds: float
) -> list[Row]:
    holes = sum((shown(b) - shown(a) - 1) % PICTURES for a, b in pairwise(results))
    seqs = sum(b.seq - a.seq - 1 for a, b in pairwise(results))
    lost = {key: after[key] - before[key] for key in ("superseded", "bad", "lost", "errors")}
    expected = seconds * FPS
    fine = holes == seqs == sum(lost.values()) == 0 and abs(len(results) - expected) <= 3
    told = ", ".join(f"{count} {key}" for key, count in lost.items())
    return [
        Row(
            f"H.264 720p{FPS} over RTSP, {seconds:.0f} s: frames lost",
            "0",
            f"{holes} holes in the pictures' own numbers, {seqs} in seq, {told}; "
            f"{len(results)} results",
            fine,
        )
    ]


def _age_rows(ages: Sequence[float]) -> list[Row]:
    some = len(ages) // 6
    first, last = median(ages[:some]), median(ages[-some:])
    told = f"p50 {median(ages):.1f} ms, p99 {percentile(ages, 99):.1f} ms"
    return [
        Row(
            "the same: age at grab by the camera's own clock",
            f"p50 <= {1.5 * INTERVAL_MS:.0f} ms",
            told,
            median(ages) <= 1.5 * INTERVAL_MS,  # a backlog is there all the time
        ),
        Row(
            "the same: how much older in the last sixth than in the first",
            f"<= {INTERVAL_MS / 2:.0f} ms",
            f"{last - first:+.1f} ms ({first:.1f} ms, then {last:.1f} ms)",
            last - first <= INTERVAL_MS / 2,
        ),
    ]


def _facts(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = run.status()["cameras"][CAMERA]
    return found


def shown(record: OutcomeRecord) -> int:
    """The number in the picture; one that could not be read would pass for no other."""
    number = msgspec.msgpack.decode(record.payload)["number"]
    if number is None or number >= PICTURES:
        raise SystemExit(f"no number of the scene in frame {record.frame}: {number}")
    return int(number)


def sent(camera: H264Camera, record: OutcomeRecord) -> float:
    return camera.sent_at(shown(record), record.captured_at)


def pause(seconds: float) -> None:
    threading.Event().wait(seconds)


# ---- as fresh before a slow predictor ----------------------------------------------------------


def fresh(folder: str, seconds: float) -> list[Row]:
    table = []
    with H264Camera(folder) as camera:
        for ms in (20, 100, 500):
            reference = predictors.reference(f"numbered_{ms}_ms")
            with Run(f"{CAMERA}={camera.url}", predictor=reference) as run:
                run.wait_ready()
                with Listener(run) as listener:
                    pause(_SETTLE_S + seconds)
                    results = listener.drain().results
                late = [each for each in results if each.kind == "value"]
                begin = late[0].captured_at + _SETTLE_S
                counted = [each for each in late if each.captured_at >= begin]
                ages = [1000 * (each.started_at - sent(camera, each)) for each in counted]
            table.append(_fresh_row(ms, counted, ages))
    return table


def _fresh_row(ms: int, results: list[OutcomeRecord], ages: list[float]) -> Row:
    waits = [1000 * (each.started_at - each.captured_at) for each in results]
    bar = 1.5 * INTERVAL_MS
    p99 = percentile(waits, 99)
    return Row(
        f"predict sleeps {ms} ms at {FPS} fps: age of the frame when it starts, p99",
        f"<= {bar:.0f} ms",
        f"{p99:.1f} ms, p50 {median(waits):.1f} ms; by the camera's clock "
        f"p99 {percentile(ages, 99):.1f} ms; {len(results)} results",
        p99 <= bar,
    )


# ---- killed and started again ------------------------------------------------------------------


def restarts(folder: str, times: int) -> list[Row]:
    config = Path(folder, "framefan.toml")
    rng = random.Random(4)
    with H264Camera(folder) as camera:
        config.write_text(
            f'[[camera]]\nname = "{CAMERA}"\nsource = "{camera.url}"\nbackoff_cap_s = 1.0\n'
        )
        options = ("--config", str(config))
        reference = predictors.reference("numbered")
        with Run(predictor=reference, options=options) as run:
            run.wait_ready()
            with Listener(run) as listener:
                pause(_SETTLE_S)
                back = [_restart(camera, listener, rng.uniform(0.3, 3.0)) for _ in range(times)]
                pause(1.0)
                listener.drain()
    return _restart_rows(back, listener)


def _restart(camera: H264Camera, listener: Listener, away_s: float) -> float:
    """Kill the camera, start it after a while; when it listened again, on the wall clock."""
    camera.kill()
    pause(away_s)
    ready_at = camera.start().ready_at
    until(
        lambda: any(
            each.state == "live" and each.ts > ready_at for each in listener.drain().statuses
        ),
        _PATIENCE_S,
        "a camera that is live again",
    )
    pause(1.0)
    return ready_at


def _restart_rows(back: list[float], listener: Listener) -> list[Row]:
    statuses = listener.states(CAMERA)
    waits = [_after_announced(statuses, ready_at) for ready_at in back]
    opened = [
        live.ts - connecting.ts
        for connecting, live in pairwise(statuses)
        if connecting.state == "connecting" and live.state == "live"
    ]
    gaps = [
        (a.ts, b.ts)
        for a, b in pairwise(listener.results)
        if b.captured_at - a.captured_at > _GAP_S
    ]
    told = sum(
        any(a <= each.ts <= b and each.state in ("backoff", "stalled") for each in statuses)
        for a, b in gaps
    )
    reasons = sorted({each.reason for each in statuses if each.state == "backoff"})
    return [
        Row(
            f"killed and started {len(back)} times: live after the next announced try",
            "<= 2 s",
            spread(waits, unit=" s"),
            max(waits) <= 2.0,
        ),
        Row(
            "the same: first frame after the open (connecting to live)",
            "<= 0.6 s",
            f"{spread(opened, 3, ' s')}, {len(opened)} opens",
            len(opened) >= len(back) and max(opened) <= 0.6,
        ),
        Row(
            "the same: gaps between results that a status tells",
            "every one",
            f"{told} of {len(gaps)}; reasons: {', '.join(reasons)}",
            told == len(gaps) >= len(back),
        ),
    ]


def _after_announced(statuses: list[StatusRecord], ready_at: float) -> float:
    """Seconds from a try that was announced to `live`.

    Of the first try that was announced for a time at which the camera listened again; of the one
    before, where that took so long that it met a camera which was there.
    """
    live_at = min(each.ts for each in statuses if each.state == "live" and each.ts > ready_at)
    tries = [
        each.ts + each.next_try_s
        for each in statuses
        if each.state == "backoff" and each.next_try_s is not None and each.ts < live_at
    ]
    return live_at - min((at for at in tries if at >= ready_at), default=tries[-1])
