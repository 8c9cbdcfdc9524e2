"""Many ordinary clients at the same moment: as they come, as they all come back, beside idle ones.

The clients are of `websockets`, up to 500 of them in a process. "In" is who has had a first result.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from benchmarks import predictors
from benchmarks.clients_accounts import Note, events
from benchmarks.clients_handlers import source
from benchmarks.clients_programs import FOLDER, Process
from benchmarks.report import Row, percentile
from benchmarks.run import Run, until
from framefan.base import clock

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNTS = (100, 300, 1000, 3000)
_A_PROCESS = 500
_FPS = 10
_RATES = (1, 10)
"""Results a second: those who are in read them on the same cores on which the others join."""
_FIRST_S, _EACH_S = 1.0, 0.002
_PATIENCE_S = 20.0
_READY_S = 60.0
STORM = 500
_STORM_S = 3.0
_STORM_PATIENCE_S = 45.0
_RETRY_S = 1.0
_IDLE_A_SECOND, _IDLE_S = 500, 8.0
_GOOD, _GOOD_S = 20, 2.0


def measure() -> list[Row]:
    rows = [at_once(count, fps) for fps in _RATES for count in COUNTS]
    return [*rows, *storm(), idle()]


@contextlib.contextmanager
def small_run(*options: str, fps: float = _FPS) -> Iterator[Run]:
    predictor = predictors.reference("blob_200")
    with Run(source(int(fps)), predictor=predictor, workers=1, options=options) as run:
        yield run.wait_ready()


class Crowd:
    """So many ordinary clients, ready to connect when `begin` is called."""

    def __init__(self, run: Run, count: int, kind: str = "once", **asked: Any) -> None:
        portions = [min(_A_PROCESS, count - at) for at in range(0, count, _A_PROCESS)]
        facts = {"url": run.websocket, "kind": kind, **asked}
        self.count = count
        self.processes: list[Process] = []
        self.began_at = 0.0
        for portion in portions:
            self.processes.append(Process(FOLDER / "crowd.py", facts | {"count": portion}))

    def __enter__(self) -> Crowd:
        until(lambda: len(self.noted("ready")) == len(self.processes), _READY_S, "the clients")
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.end()

    def begin(self) -> None:
        self.began_at = clock.now()
        for process in self.processes:
            process.begin()

    def noted(self, event: str, since: float = 0.0) -> list[Note]:
        """Of all processes, with `client` made different between them."""
        return [
            {**note, "client": (number, note.get("client"))}
            for number, process in enumerate(self.processes)
            for note in events(process.notes(), event)
            if note["at"] >= since
        ]

    def wait_in(self, since: float, seconds: float = _PATIENCE_S) -> dict[Any, float]:
        """When each client had a first result after `since`, until all have or the time is over."""
        end, found = clock.now() + seconds, {}
        while len(found) < self.count and clock.now() < end:
            time.sleep(0.1)
            found = {}
            for note in self.noted("in", since):
                found.setdefault(note["client"], note["at"])
        return found

    def trouble(self, since: float = 0.0) -> Counter[str]:
        """What went wrong, by kind and words."""
        kinds = ("refused", "failed", "cut")
        return Counter(
            f"{kind}: {note['why']}" for kind in kinds for note in self.noted(kind, since)
        )


def _told(trouble: Counter[str]) -> str:
    most = "; ".join(f"{count} {why}" for why, count in trouble.most_common(2))
    return f", {trouble.total()} troubles{': ' if most else ''}{most}".replace("|", "/")


def at_once(count: int, fps: int) -> Row:
    print(f"  {count} ordinary clients at the same moment, {fps}/s", flush=True)
    bar_s = _FIRST_S + _EACH_S * count
    with small_run(fps=fps) as run, Crowd(run, count) as crowd:
        crowd.begin()
        came = crowd.wait_in(crowd.began_at)
        trouble = crowd.trouble()
    took = [at - crowd.began_at for at in came.values()]
    last, half = max(took, default=float("inf")), percentile(took or [float("inf")], 50)
    return Row(
        f"{count:,} ordinary clients at the same moment, {fps}/s: the last is in, none refused",
        f"<= {bar_s:.1f} s",
        f"{len(came):,} in, the last after {last:.2f} s, half after {half:.2f} s{_told(trouble)}",
        len(came) == count and last <= bar_s and not trouble,
    )


def storm() -> list[Row]:
    """All are connected and spread; then the gateway is killed, and they come back as they do."""
    print(f"  {STORM} that retry once a second, and kill -9 of the gateway", flush=True)
    with small_run() as run, Crowd(run, STORM, "retries", retry_s=_RETRY_S) as crowd:
        crowd.begin()
        if len(crowd.wait_in(crowd.began_at, _STORM_PATIENCE_S)) < STORM:
            raise SystemExit("not all clients came in before the gateway was killed")
        killed_at = clock.now()
        os.kill(run.processes()["gateway"][0], signal.SIGKILL)
        back = crowd.wait_in(killed_at, _STORM_PATIENCE_S)
        trouble = crowd.trouble(killed_at)
    took = [at - killed_at for at in back.values()]
    last = max(took, default=float("inf"))
    refused = sum(each for why, each in trouble.items() if why.startswith("refused"))
    return [
        Row(
            f"{STORM} clients that retry once a second, after kill -9 of the gateway: all back",
            f"<= {_STORM_S:g} s",
            f"{len(back)} back, the last after {last:.2f} s, "
            f"half after {percentile(took or [float('inf')], 50):.2f} s",
            len(back) == STORM and last <= _STORM_S,
        ),
        Row("the same: HTTP errors", "0", f"{refused}{_told(trouble)}", refused == 0),
    ]


def idle() -> Row:
    print(f"  {_GOOD} good clients beside {_IDLE_A_SECOND} idle connections a second", flush=True)
    with small_run() as run, contextlib.ExitStack() as stack:
        good = stack.enter_context(Crowd(run, _GOOD))
        port = int(run.url.rstrip("/").rpartition(":")[2])
        silent = stack.enter_context(
            Crowd(run, 1, "idle", port=port, rate=_IDLE_A_SECOND, seconds=_IDLE_S)
        )
        silent.begin()
        time.sleep(_IDLE_S / 2)
        good.begin()
        came = good.wait_in(good.began_at, _PATIENCE_S)
        trouble = good.trouble()
        until(lambda: silent.noted("idle"), _IDLE_S + 10, "the idle connections")
        opened = silent.noted("idle")[0]["connections"]
    last = max((at - good.began_at for at in came.values()), default=float("inf"))
    return Row(
        f"{_GOOD} clients while {_IDLE_A_SECOND} connections a second are made and say nothing",
        f"<= {_GOOD_S:g} s",
        f"{len(came)} in, the last after {last:.2f} s; {opened:,} idle{_told(trouble)}",
        len(came) == _GOOD and last <= _GOOD_S and not trouble,
    )
