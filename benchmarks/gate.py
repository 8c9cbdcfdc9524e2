"""The motion gate: what a quiet camera costs, and which people it misses.

- A quiet camera of 1280x720 at 12.5 frames a second: a recorded room with noise, whose light
  changes slowly, and a predictor of 58 ms of CPU a frame, about what YOLOv8n takes for 640x640
  with onnxruntime. CPU of all processes of the run for each captured frame, with the gate over
  without it, in mode `every`, so that without it each frame is predicted on a busy machine, too.
  Then the same for a predictor that costs next to nothing, which shows what capture and the gate
  cost.
- vtest.avi of OpenCV, 79 s of a street, and what yolov3-tiny saw in it (vtest_people.npz). A person
  moves in a picture if a box there has gone on by a fifth of its height half a second later. The
  whole picture is never empty, so it is also cut into twelve: in each of these films the rest of
  the picture stands still. Frames in which a person moves and that do not pass are missed.

The film is in Debian's package opencv-doc; BENCHMARK_VTEST names it elsewhere. BENCHMARK_GATE_MODEL
names an ONNX detector that is measured, too.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import cv2
import numpy as np

from benchmarks import predictors
from benchmarks.report import Row, spread
from benchmarks.run import Run, cpu_seconds, until
from benchmarks.tracker_films import people
from framefan.base import clock
from framefan_capture.motion_gate import HOLD_S, MotionGate, reduced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from benchmarks.tracker_films import Result

    Box = tuple[float, float, float, float]

SECONDS = 12.0
ROUNDS = 2
RATE = 12.5
MOST_SHARE = 0.10
MOST_MISSED = 0.05
VTEST = os.environ.get("BENCHMARK_VTEST", "/usr/share/doc/opencv-doc/examples/data/vtest.avi")
MODEL = os.environ.get("BENCHMARK_GATE_MODEL", "")
_SIZE = (1280, 720)
_NEVER_S = 1e9
_COLUMNS, _ROWS = 4, 3
_LATER = 5
"""Pictures in half a second."""
_GONE_ON = 0.2
_SURE = 0.3


def measure() -> list[Row]:
    return [*_cost(), *_misses()]


# ---- a quiet camera ------------------------------------------------------------------------------


def _cost() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        film = str(Path(folder) / "room.mp4")
        _record(film)
        for told, predictor, bar in _predictors():
            pairs = [
                (_cpu_ms(film, predictor, True), _cpu_ms(film, predictor, False))
                for _ in range(ROUNDS)
            ]
            shares = [gated / ungated for gated, ungated in pairs]
            gated, ungated = (median(each) for each in zip(*pairs, strict=True))
            yield Row(
                f"quiet 720p, {told}: CPU with the gate over CPU without it",
                f"<= {bar:.0%}" if bar else "",
                f"{spread([100 * each for each in shares], 1)} %: {gated:.1f} and {ungated:.1f} ms "
                "for each captured frame",
                median(shares) <= bar if bar else None,
            )
    picture = np.random.default_rng(1).integers(0, 256, (1080, 1920, 3), np.uint8)
    yield Row("the gate itself, a picture of 1920x1080: CPU", "", f"{_gate_ms(picture):.2f} ms")


def _predictors() -> Iterator[tuple[str, str, float | None]]:
    """In words, by its reference, and the most that the gate may leave of its cost."""
    yield "58 ms of CPU a predict", predictors.reference("compute_58_ms"), MOST_SHARE
    if MODEL:
        yield f"the model {Path(MODEL).stem}", f"onnx:{MODEL}", MOST_SHARE
    yield "a predict that costs 0", predictors.reference("nothing"), None


def _record(path: str) -> None:
    """A room with noise and a slow light, 40 s; nothing moves."""
    film = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"mp4v"), RATE, _SIZE)
    chance = np.random.default_rng(1)
    room = np.full((_SIZE[1], _SIZE[0], 3), 90, np.float32)
    for _ in range(40):
        x, y, w, h = chance.integers((0, 0, 20, 20), (1200, 650, 400, 300))
        room[y : y + h, x : x + w] = chance.uniform(20, 220, 3)
    noises = [chance.normal(0, 3, room.shape).astype(np.float32) for _ in range(16)]
    for n in range(round(40 * RATE)):
        light = 1 + 0.2 * np.sin(2 * np.pi * n / (40 * RATE))
        film.write(np.clip(room * light + noises[n % 16], 0, 255).astype(np.uint8))
    film.release()


def _cpu_ms(film: str, predictor: str, is_gated: bool) -> float:
    """CPU of all processes for each captured frame, from when the gate has closed, in ms."""
    options = ("--loop", "--mode", "every", *(("--gate", "motion") if is_gated else ()))
    with Run(f"room={film}", predictor=predictor, options=options) as run:
        run.wait_ready()
        if is_gated:
            until(lambda: run.status()["cameras"]["room"]["reason"] == "still", 30, "a closed gate")
        else:
            time.sleep(3)
        pids = run.processes()
        before, captured = cpu_seconds(pids), run.status()["cameras"]["room"]["captured"]
        began = clock.now()
        until(lambda: clock.now() - began >= SECONDS, SECONDS + 5, "the end of the measuring")
        after, now = cpu_seconds(pids), run.status()["cameras"]["room"]["captured"]
    return 1000 * sum(after[kind] - before[kind] for kind in pids) / (now - captured)


def _gate_ms(picture: NDArray[np.uint8]) -> float:
    gate, took = MotionGate(_NEVER_S), []
    for n in range(100):
        began = time.process_time()
        gate.passes(reduced(picture), n / RATE)
        took.append(1000 * (time.process_time() - began))
    return median(took)


# ---- people in a street --------------------------------------------------------------------------


def _misses() -> Iterator[Row]:
    greys = _film()
    if greys is None:
        yield Row("people in a street", "", f"not measured: there is no {VTEST}")
        return
    seen = people().results
    moving = [_moving(seen, n) for n in range(len(seen))]
    whole = _score(greys, [bool(each) for each in moving], [bool(each.boxes.size) for each in seen])
    yield Row(
        "a street, the whole picture: frames with moving people that are missed",
        "0 %",
        f"{whole[0]} of {whole[1]}",
        whole[0] == 0,
    )
    total = np.sum([_tile_score(greys, seen, moving, tile) for tile in _tiles()], axis=0)
    missed, frames, left_out, empty = total.tolist()
    yield Row(
        "a street cut into twelve: frames with moving people that are missed",
        f"<= {MOST_MISSED:.0%}",
        f"{missed / frames:.1%}: {missed} of {frames:,}",
        missed / frames <= MOST_MISSED,
    )
    yield Row(
        "the same: frames without anybody, and nobody 2 s before, that are left out",
        "",
        f"{left_out / empty:.0%} of {empty:,}",
    )


def _film() -> list[NDArray[np.uint8]] | None:
    """The pictures as the gate sees them."""
    film = cv2.VideoCapture(VTEST)
    greys = []
    while True:
        is_there, picture = film.read()
        if not is_there:
            return greys or None
        greys.append(reduced(np.asarray(picture, np.uint8)))


def _tiles() -> list[Box]:
    """Parts of the film of 768x576."""
    width, height = 768 / _COLUMNS, 576 / _ROWS
    return [
        (x * width, y * height, (x + 1) * width, (y + 1) * height)
        for y in range(_ROWS)
        for x in range(_COLUMNS)
    ]


def _moving(seen: tuple[Result, ...], n: int) -> list[Box]:
    """The people in a picture who have gone on half a second later."""
    if n + _LATER >= len(seen):
        return []
    now, later = seen[n], seen[n + _LATER].boxes
    found = []
    for box, sure in zip(now.boxes, now.confidences, strict=True):
        if sure < _SURE or not len(later):
            continue
        height = box[3] - box[1]
        gone = np.hypot(*((later[:, :2] + later[:, 2:]) / 2 - (box[:2] + box[2:]) / 2).T).min()
        if _GONE_ON * height <= gone <= height:
            found.append(tuple(box.tolist()))
    return found


def _tile_score(
    greys: list[NDArray[np.uint8]], seen: tuple[Result, ...], moving: list[list[Box]], tile: Box
) -> tuple[int, int, int, int]:
    scale = greys[0].shape[1] / 768
    x1, y1, x2, y2 = (round(each * scale) for each in tile)
    films = []
    for grey in greys:
        picture = greys[0].copy()
        picture[y1:y2, x1:x2] = grey[y1:y2, x1:x2]
        films.append(picture)
    moves = [any(_inside(box, tile) > 0.5 for box in each) for each in moving]
    are_there = [any(_inside(tuple(box.tolist()), tile) > 0 for box in each.boxes) for each in seen]
    return _score(films, moves, are_there)


def _inside(box: Box, tile: Box) -> float:
    """The share of the box that lies in the tile."""
    width = min(box[2], tile[2]) - max(box[0], tile[0])
    height = min(box[3], tile[3]) - max(box[1], tile[1])
    area = (box[2] - box[0]) * (box[3] - box[1])
    return max(width, 0) * max(height, 0) / area if area > 0 else 0.0


def _score(
    greys: list[NDArray[np.uint8]], moves: list[bool], are_there: list[bool]
) -> tuple[int, int, int, int]:
    """Frames with movement that were missed, and all such; frames without anybody for a while that
    were left out, and all such. The first two seconds pass in any case, and do not count.
    """
    gate, rate = MotionGate(_NEVER_S), 10.0
    passed = [gate.passes(grey, n / rate) for n, grey in enumerate(greys)]
    first = back = round(2 * HOLD_S * rate)
    counted = range(first, len(moves))
    moved = [n for n in counted if moves[n]]
    empty = [n for n in counted if not any(are_there[n - back : n + 1])]
    return (
        sum(not passed[n] for n in moved),
        len(moved),
        sum(not passed[n] for n in empty),
        len(empty),
    )
