"""Changes: a hundred swaps and rescales under load, with clients that may lose nothing.

Four cameras, two of them `live` and two `every`, and predictors that read the number of the frame
off the picture: at once, in 20 ms, or in 100 ms. Another number of workers (1 to 8) or another
predictor, in random order and one right after the other, while three `every` clients check each
message: every seq once and in order, and the number that was read is that of its frame.

Memory is looked at three times, each time after the same change: at a third, two thirds, the end.
The gateway keeps the results of a few seconds only, so that what it keeps is full by then.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from websockets.sync.client import connect

from benchmarks import changes_beside, predictors
from benchmarks.report import Row, percentile
from benchmarks.run import Run
from framefan.base import clock
from framefan.ipc.messages import Scale, Swap
from framefan.supervisor import control

if TYPE_CHECKING:
    from collections.abc import Sequence

CHANGES = 100
CLIENTS = 3
MOST_WORKERS = 8
REFERENCES = tuple(
    predictors.reference(name) for name in ("numbered", "numbered_20_ms", "numbered_100_ms")
)
GROWTH_MIB = 2.0
"""What issue and house call no growth: a process may take so much between the two looks."""
_PAGE = os.sysconf("SC_PAGE_SIZE")
_SETTLE_S = 5.0
_CAMERA = '[[camera]]\nname = "{name}"\nsource = "demo?size=320x240&fps={fps}"\nmode = "{mode}"\n'
_CAMERAS = (("a", 30, "live"), ("b", 15, "live"), ("c", 30, "every"), ("d", 15, "every"))


class Checker:
    """An `every` client that keeps nothing but what was wrong, and how much was right."""

    def __init__(self, url: str) -> None:
        self.results: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._next: dict[str, int] = {}
        self._stopping = False
        self._socket = connect(f"{url}?delivery=every&history=0", proxy=None)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            for text in self._socket:
                self._check(json.loads(text))
        finally:
            if not self._stopping:
                self.wrong.append("the connection ended")

    def _check(self, message: dict[str, Any]) -> None:
        kind, camera = message["type"], message.get("camera", "")
        if kind in ("error", "gap"):
            self.wrong.append(json.dumps(message))
        if kind != "result":
            return
        seq = message["seq"]
        if seq != self._next.get(camera, seq):
            self.wrong.append(f"{camera}: seq {seq} where {self._next[camera]} was due")
        if message["result"]["number"] != message["frame"]:
            self.wrong.append(f"{camera}: not of its frame: {json.dumps(message)}")
        self._next[camera] = seq + 1
        self.results[camera] += 1

    def close(self) -> None:
        self._stopping = True
        self._socket.close()
        self._thread.join()


def plan(seed: int, count: int) -> list[Scale | Swap]:
    """Changes in random order; each is one: no scale to what there is."""
    dice = random.Random(seed)
    workers, reference = 2, REFERENCES[1]
    changes: list[Scale | Swap] = []
    for _ in range(count):
        if dice.random() < 0.5:
            workers = dice.choice([n for n in range(1, MOST_WORKERS + 1) if n != workers])
            changes.append(Scale(workers))
        else:
            reference = dice.choice([each for each in REFERENCES if each != reference])
            changes.append(Swap(reference))
    return changes


class Look(NamedTuple):
    """By kind of process, the workers left out: those are new ones each time."""

    memory: dict[str, int]
    """Bytes of RSS; the largest, where there are several."""
    descriptors: dict[str, int]


def look(pids: dict[str, list[int]]) -> Look:
    found = Look({}, {})
    for kind, some in pids.items():
        pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in some]
        found.memory[kind] = max(pages) * _PAGE
        found.descriptors[kind] = sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in some)
    return found


class Trial:
    """One run with its clients: what was changed, how long it took and what was wrong."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.checkers = [Checker(run.websocket) for _ in range(CLIENTS)]
        self.took: list[float] = []
        self.looks: list[Look] = []

    def change(self, request: Scale | Swap) -> None:
        began = clock.now()
        control.ask(self._run.name, request, None)
        self.took.append(clock.now() - began)

    def look(self) -> None:
        """At the memory, after the same change each time and a little rest."""
        for request in (Scale(4), Swap(REFERENCES[1])):
            control.ask(self._run.name, request, None)
        pids = self._run.processes()
        del pids["worker"]
        time.sleep(_SETTLE_S)
        self.looks.append(look(pids))

    def close(self) -> None:
        for checker in self.checkers:
            checker.close()


def trial(seed: int, count: int) -> tuple[Trial, dict[str, Any]]:
    """So many changes; also the table of cameras at the end."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        config = Path(folder) / "framefan.toml"
        config.write_text(
            f"[limits]\nhistory_s = {_SETTLE_S:g}\n"
            + "".join(_CAMERA.format(name=name, fps=fps, mode=mode) for name, fps, mode in _CAMERAS)
        )
        run = stack.enter_context(
            Run(predictor=REFERENCES[1], workers=2, options=("--config", str(config)))
        ).wait_ready()
        done = Trial(run)
        stack.callback(done.close)
        changes = plan(seed, count)
        for number, request in enumerate(changes, 1):
            done.change(request)
            if number in (count // 3, 2 * count // 3, count):
                done.look()
                print(f"  {number} of {count} changes", flush=True)
        cameras: dict[str, Any] = run.status()["cameras"]
        return done, cameras


def growth(looks: Sequence[dict[str, int]]) -> dict[str, int]:
    """From the first look to the last, by kind of process."""
    return {kind: looks[-1][kind] - looks[0][kind] for kind in looks[0]}


def measure() -> list[Row]:
    seed = int(os.environ.get("SEED", "") or random.SystemRandom().randrange(10**6))
    print(f"  seed {seed} (SEED={seed} repeats it)", flush=True)
    done, cameras = trial(seed, CHANGES)
    wrong = [each for checker in done.checkers for each in checker.wrong]
    for each in wrong[:10]:
        print(f"  {each}", flush=True)
    counts = [sum(checker.results.values()) for checker in done.checkers]
    lost = Counter[str]()
    for facts in cameras.values():
        lost.update(facts["lost_by"])
    grown = growth([each.memory for each in done.looks])
    opened = growth([each.descriptors for each in done.looks])
    worst = max(grown.values()) / (1 << 20)
    told = ", ".join(f"{kind} {size / (1 << 20):+.2f}" for kind, size in grown.items())
    return [
        Row(
            f"{CHANGES} swaps and rescales, 1 to {MOST_WORKERS} workers, {CLIENTS} `every` "
            "clients: missing, twice, out of order, or not of its frame",
            "0",
            f"{len(wrong)} of {sum(counts):,} messages (seed {seed})",
            not wrong and all(len(each.results) == len(_CAMERAS) for each in done.checkers),
        ),
        Row("lost, by the ledger, late or otherwise", "0", str(lost.total()), not lost.total()),
        Row(
            "growth of memory from a third to the end, MiB",
            f"<= {GROWTH_MIB:g} each",
            told,
            worst <= GROWTH_MIB,
        ),
        Row(
            "descriptors, the same",
            "0 each",
            ", ".join(f"{kind} {count:+d}" for kind, count in opened.items()),
            not any(opened.values()),
        ),
        Row(
            "a change, from the request to its end",
            "",
            f"p50 {percentile(done.took, 50):.1f} s, longest {max(done.took):.1f} s",
        ),
        *changes_beside.measure(),
    ]
