"""Sixteen cameras on one machine: whether each gets its share, and what three bad ones cost it.

All are MJPEG cameras over HTTP, 640x360 at 10 frames a second, served by one light process; the
predictor is `motion`. Three runs take turns, round after round: sixteen good cameras; thirteen; the
same thirteen beside one that flaps, one that stalls and one that sends garbage. Those three are
tried again after at most a second, which is harder on the others than the default of thirty.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from benchmarks.cameras_rtsp import pause
from benchmarks.client import free_port
from benchmarks.client_connections import collect, for_seconds, is_result
from benchmarks.http_cameras import FPS
from benchmarks.report import Row, percentile, spread
from benchmarks.run import Run, cpu_seconds
from framefan.base import clock

if TYPE_CHECKING:
    from collections.abc import Sequence

COUNT = 16
BAD = ("flapping", "stalled", "garbage")
DEAD = ("refused", "not_found", "silent", "stalled", "garbage")
_SETTLE_S = 4.0
_DEAD_SETTLE_S = 5.0


class Server:
    """The process that plays the cameras."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.http_cameras", str(COUNT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline())
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=10)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._port}/{path}"

    def good(self, first: int = 1) -> list[dict[str, Any]]:
        """The tables of the good cameras from number `first` on."""
        return [
            {"name": f"good{number}", "source": self.url(f"good/{number}")}
            for number in range(first, COUNT + 1)
        ]

    def bad(self) -> list[dict[str, Any]]:
        return [{"name": kind, "source": self.url(kind), "backoff_cap_s": 1.0} for kind in BAD]


def configuration(path: Path, cameras: list[dict[str, Any]]) -> tuple[str, ...]:
    """The options of a run with these cameras, from a file written for it."""
    lines = []
    for camera in cameras:
        lines += ["[[camera]]", *(f"{key} = {json.dumps(value)}" for key, value in camera.items())]
    path.write_text("\n".join(lines) + "\n")
    return ("--config", str(path))


# ---- sixteen, thirteen, and thirteen beside three bad ones -------------------------------------


class Seen(NamedTuple):
    """What a client had of the good cameras in one run."""

    rates: dict[str, float]
    total_ms: list[float]
    live: int
    states: dict[str, str]
    bad_cpu: dict[str, float]
    """Of the bad ones' captures, in percent of a core."""
    cores: float
    """What all processes of the run used, in cores."""

    @property
    def p99(self) -> float:
        return percentile(self.total_ms, 99)

    @property
    def fairness(self) -> float:
        return min(self.rates.values()) / max(self.rates.values())


def many(folder: str, rounds: int, seconds: float) -> list[Row]:
    found: dict[str, list[Seen]] = {"all": [], "fewer": [], "beside": []}
    with Server() as server:
        sides = {
            "all": server.good(),
            "fewer": server.good(1 + len(BAD)),
            "beside": [*server.bad(), *server.good(1 + len(BAD))],
        }
        for _ in range(rounds):
            for name, cameras in sides.items():
                options = configuration(Path(folder, "framefan.toml"), cameras)
                found[name].append(_watch(options, seconds))
    return [*_fair_rows(found["all"]), *_beside_rows(**found)]


def _watch(options: tuple[str, ...], seconds: float) -> Seen:
    with Run(options=options) as run:
        run.wait_ready()
        pause(_SETTLE_S)
        spent = Spent(run)
        others = {kind: pids for kind, pids in run.processes().items() if kind != "capture"}
        before = sum(cpu_seconds(others).values())
        received = collect(run.websocket + "?delivery=every", for_seconds(seconds))
        used = sum(cpu_seconds(others).values()) - before
        cpu = spent.percent(run)
        states = {name: each["state"] for name, each in run.status()["cameras"].items()}
    begin = received[0].at
    results = [each for each in received if is_result(each)]
    good = [each for each in results if each.message["camera"].startswith("good")]
    counted = Counter(each.message["camera"] for each in good)
    names = [name for name in states if name.startswith("good")]
    return Seen(
        rates={name: counted[name] / (received[-1].at - begin) for name in names},
        total_ms=[each.message["latency_ms"]["total"] for each in good],
        live=sum(states[name] == "live" for name in names),
        states=states,
        bad_cpu={name: cpu[name] for name in states if name in BAD},
        cores=used / seconds + sum(cpu.values()) / 100,
    )


def _fair_rows(every: Sequence[Seen]) -> list[Row]:
    live = [seen.live for seen in every]
    fairness = [100 * seen.fairness for seen in every]
    rates = [median(seen.rates.values()) for seen in every]
    return [
        Row(
            f"{COUNT} cameras, 640x360 at {FPS:.0f} fps, motion: live",
            f"{COUNT}",
            f"{min(live)}; {spread(rates)} results a second of each",
            min(live) == COUNT,
        ),
        Row(
            "the same: the slowest camera's results over the fastest's",
            ">= 90%",
            spread(fairness, 1, "%"),
            min(fairness) >= 90,
        ),
        Row("the same: total latency, p99", "", spread([seen.p99 for seen in every], 1, " ms")),
        Row(
            "the same: what the run used", "", spread([seen.cores for seen in every], unit=" cores")
        ),
    ]


def _beside_rows(all: list[Seen], fewer: list[Seen], beside: list[Seen]) -> list[Row]:  # noqa: A002
    kept = [
        100 * min(with_bad.rates[name] / without.rates[name] for name in without.rates)
        for without, with_bad in zip(fewer, beside, strict=True)
    ]
    ratios = [b.p99 / a.p99 for a, b in zip(fewer, beside, strict=True)]
    p99s = [[seen.p99 for seen in some] for some in (beside, fewer)]
    told = f"{len(fewer[0].rates)} beside {', '.join(BAD)}"
    return [
        Row(
            f"{told}: rate kept, the worst of them",
            ">= 95%",
            spread(kept, 1, "%"),
            min(kept) >= 95,
        ),
        Row(
            "the same: p99 of total latency over without the three",
            "<= 1.5",
            f"{spread(ratios)}; {spread(p99s[0], 1, ' ms')}, without {spread(p99s[1], 1, ' ms')}",
            median(ratios) <= 1.5,
        ),
        *(
            Row(
                f"the same: CPU of the {kind} camera's capture, tried again each second at least",
                "",
                f"{spread([seen.bad_cpu[kind] for seen in beside], 1, '%')}; "
                f"found {', '.join(sorted({seen.states[kind] for seen in beside}))}",
            )
            for kind in BAD
        ),
    ]


# ---- what a dead camera costs ------------------------------------------------------------------


class Spent:
    """Processor time of each capture from here on."""

    def __init__(self, run: Run) -> None:
        self._began = clock.now()
        self._pids = _pids(run)
        self._before = cpu_seconds({name: [pid] for name, pid in self._pids.items()})

    def percent(self, run: Run) -> dict[str, float]:
        """Of a core, by camera. One whose process was started anew meanwhile counts from there."""
        now = _pids(run)
        after = cpu_seconds({name: [pid] for name, pid in now.items()})
        seconds = clock.now() - self._began
        return {
            name: 100
            * (after[name] - self._before[name] * (self._pids[name] == now[name]))
            / seconds
            for name in now
        }


def _pids(run: Run) -> dict[str, int]:
    return {name: camera["pid"] for name, camera in run.status()["cameras"].items()}


def dead(folder: str, seconds: float) -> list[Row]:
    """All settings are the defaults."""
    with Server() as server:
        cameras = [{"name": kind, "source": server.url(kind)} for kind in DEAD[1:]]
        cameras.append({"name": DEAD[0], "source": f"http://127.0.0.1:{free_port()}/cam"})
        options = configuration(Path(folder, "framefan.toml"), cameras)
        with Run(options=options) as run:
            run.wait_ready()
            pause(_DEAD_SETTLE_S)
            spent = Spent(run)
            pause(seconds)
            cpu = spent.percent(run)
            facts = run.status()["cameras"]
    return [
        Row(
            f"CPU of a dead camera's capture: {kind}",
            "< 5% of a core",
            f"{cpu[kind]:.1f}%; {facts[kind]['state']} ({facts[kind]['reason']}), "
            f"{facts[kind]['restarts']} restarts",
            cpu[kind] < 5,
        )
        for kind in DEAD
    ]
