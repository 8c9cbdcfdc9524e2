"""Tracks: vtest.avi with yolov3-tiny, as a client gets them, at each speed and number of workers.

1. The messages of all runs are the same, byte for byte: frame, ids, boxes, labels, confidences.
2. The ids are judged by sight, as in tracker_scores.py, beside ByteTrack on the same detections.
3. Ten seconds were counted by hand (vtest_people.txt): how many tracks a person has.
"""

from __future__ import annotations

import json
import warnings
from collections import defaultdict
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from benchmarks.real import other_models, page, places
from benchmarks.real.places import say
from benchmarks.report import Row, as_markdown
from benchmarks.run import Run
from benchmarks.tracker_films import Film, Result
from benchmarks.tracker_rivals import MISSING, rivals
from benchmarks.tracker_scores import Score, judge
from framefan.base import clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

MODEL = places.MODELS / "yolov3-tiny-darknet.onnx"
FRAMES, RATE = 795, 10.0
SIZE = 768, 576
RUNS = tuple(product(("--fast", "1x"), (1, 4)))
COUNTED = Path(__file__).parent / "vtest_people.txt"
MOST_SWITCHES = {1: 0, 3: 2}
"""By how many frames lie between two results: 10/s and 3.3/s."""
MOST_TRACKS = 1.5
"""Tracks a person."""
Message = dict[str, Any]


def reference(more: str = "") -> str:
    if not MODEL.exists():
        MODEL.parent.mkdir(parents=True, exist_ok=True)
        other_models.yolov3_tiny(MODEL)
    return f"onnx:{MODEL}?classes=person{more}"


def prove(_: list[str]) -> bool:
    began = clock.now()
    played = {}
    for speed, workers in RUNS:
        say(f"vtest.avi at {speed} with {workers} workers")
        played[speed, workers] = results(speed, workers)
    first = played[RUNS[0]]
    (places.FOLDER / "tracks.json").write_text(json.dumps(first))
    rows = [*_same(played), *_by_sight(first), *_by_hand(first)]
    for row in rows:
        say("  ".join(row.cells))
    page.write("tracks", as_markdown(rows), clock.now() - began)
    return all(row.passed is not False for row in rows)


def results(speed: str, workers: int) -> list[Message]:
    """All results of a run, as a client of the WebSocket gets them."""
    options = ("--track", "--mode", "every") + (("--fast",) if speed == "--fast" else ())
    found: list[Message] = []
    film = str(places.film())
    with Run(film, predictor=reference(), workers=workers, options=options) as run:
        run.wait_address()
        with connect(f"{run.websocket}?delivery=every&history=1000", proxy=None) as client:
            while not found or found[-1]["frame"] < FRAMES - 1:
                try:
                    message = json.loads(client.recv(timeout=60))
                except (TimeoutError, ConnectionClosed):
                    break
                if message["type"] in ("result", "error"):
                    found.append(message)
    return found


def told(messages: list[Message]) -> bytes:
    """What must not depend on speed: all but times and numbers of workers."""
    rows = [[each["frame"], each.get("detections", each.get("error"))] for each in messages]
    return "\n".join(json.dumps(row, sort_keys=True) for row in rows).encode()


def _same(played: dict[tuple[str, int], list[Message]]) -> list[Row]:
    wanted = told(played[RUNS[0]])
    rows = []
    for (speed, workers), messages in played.items():
        text = told(messages)
        digest = sha256(text).hexdigest()[:12]
        name = f"{speed}, {workers} worker{'s' if workers > 1 else ''}: ids and boxes by frame"
        measured = f"{len(messages)} frames, {len(text):,} bytes, SHA-256 {digest}"
        good = text == wanted and len(messages) == FRAMES
        rows.append(Row(name, "the same bytes, 795 frames", measured, good))
    return rows


# ---- by sight ------------------------------------------------------------------------------------


def film(messages: list[Message], step: int) -> tuple[Film, list[list[int | None]]]:
    """The detections as those trackers take that are measured beside, and the client's ids."""
    some = messages[::step]
    parts = tuple(
        Result(
            each["frame"] / RATE,
            np.array([one["box"] for one in each["detections"]], float).reshape(-1, 4),
            np.array([one["confidence"] for one in each["detections"]], float),
        )
        for each in some
    )
    ids = [[one.get("track_id") for one in each["detections"]] for each in some]
    return Film("vtest.avi", SIZE, RATE / step, 0.9, parts), ids


def _by_sight(messages: list[Message]) -> list[Row]:
    there, missing = rivals()
    for name in missing:
        say(MISSING[name])
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other libraries' own
        for step, most in MOST_SWITCHES.items():
            made, ids = film(messages, step)
            scores = {name: _score(make, made) for name, make in there.items()}
            # At each frame the ids are those that the client got.
            ours = judge(made, ids) if step == 1 else scores["framefan"]
            byte = next((score for name, score in scores.items() if "ByteTrack" in name), None)
            rows += _rows_of(made.rate, ours, byte, most, scores)
    return rows


def _rows_of(
    rate: float, ours: Score, byte: Score | None, most: int, scores: dict[str, Score]
) -> list[Row]:
    name = f"{rate:.1f} results a second"
    rows = [Row(f"{name}: framefan, switches", f"<= {most}", str(ours), ours.switches <= most)]
    if byte is not None:
        count, few = ours.fragments, ours.fragments <= byte.fragments
        bar = f"<= ByteTrack's {byte.fragments}"
        rows.append(Row(f"{name}: framefan, fragments", bar, str(count), few))
    others = (each for each in scores if each != "framefan")
    return rows + [Row(f"{name}: {each}", "", str(scores[each])) for each in others]


def _score(make: Callable[[Film], Any], made: Film) -> Score:
    tracker = make(made)
    return judge(made, [tracker.update(result) for result in made.results])


# ---- by hand -------------------------------------------------------------------------------------


def counted() -> dict[str, dict[int, tuple[float, float]]]:
    """Where each person's middle is, by frame, from the text that was written by hand."""
    people: dict[str, dict[int, tuple[float, float]]] = defaultdict(dict)
    for line in COUNTED.read_text().splitlines():
        if line and not line.startswith("#"):
            frame, person, x, y = line.split()
            people[person][int(frame)] = float(x), float(y)
    return people


def _by_hand(messages: list[Message]) -> list[Row]:
    """framefan by the ids that the client got, the others on the same detections."""
    made, ids = film(messages, 1)
    counts = {"framefan": _count(made, ids)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other libraries' own
        for name, make in rivals()[0].items():
            if name != "framefan":
                tracker = make(made)
                counts[name] = _count(made, [tracker.update(result) for result in made.results])
    byte = min([each[0] for name, each in counts.items() if "ByteTrack" in name] or [MOST_TRACKS])
    bar, rows = min(byte, MOST_TRACKS), []
    for name, (per_person, shared, found) in counts.items():
        is_ours = name == "framefan"
        measured = f"{per_person:.2f}; {shared} ids that two people had; {found}"
        words = f"<= {MOST_TRACKS}, <= ByteTrack's {byte:.2f}" if is_ours else ""
        good = per_person <= bar if is_ours else None
        rows.append(Row(f"by eye: {name}, tracks a person", words, measured, good))
    return rows


def _count(made: Film, ids: list[list[int | None]]) -> tuple[float, int, str]:
    """Tracks a person, ids that two people had, and how many people and places were detected."""
    people = counted()
    tracks: dict[str, set[int]] = defaultdict(set)
    owners: dict[int, set[str]] = defaultdict(set)
    found = 0
    for frame in sorted({frame for where in people.values() for frame in where}):
        there = {name: where[frame] for name, where in people.items() if frame in where}
        for name, n in _matches(there, made.results[frame].boxes):
            found += 1
            number = ids[frame][n]
            if number is not None:
                tracks[name].add(number)
                owners[number].add(name)
    places_seen = sum(map(len, people.values()))
    told = f"{len(tracks)} of {len(people)} people detected, {found} of {places_seen} places"
    per_person = sum(map(len, tracks.values())) / max(1, len(tracks))
    return per_person, sum(len(names) > 1 for names in owners.values()), told


def _matches(
    there: dict[str, tuple[float, float]], boxes: NDArray[np.float64]
) -> list[tuple[str, int]]:
    """Each person with the box around their middle, the nearest pairs first."""
    pairs = []
    for name, (x, y) in there.items():
        for n, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
            if x1 <= x <= x2 and y1 <= y <= y2:
                apart = np.hypot((x1 + x2) / 2 - x, (y1 + y2) / 2 - y)
                pairs.append((float(apart), name, n))
    found: list[tuple[str, int]] = []
    for _, name, n in sorted(pairs):
        if all(name != other and n != m for other, m in found):
            found.append((name, n))
    return found
