"""Several gateways on one port: what they carry, how even they are, and one that is killed.

The load generator runs on the same cores. "What they carry" is the most deliveries a second at
which 99 % of results are no older than one period, of 30 results a second.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from prometheus_client.parser import text_string_to_metric_families

from benchmarks import predictors
from benchmarks.clients_crowds import Crowd, small_run
from benchmarks.clients_handlers import source
from benchmarks.clients_load import AgedLoad, raise_descriptors
from benchmarks.report import Row, percentile
from benchmarks.run import Run, until
from framefan.base import clock

if TYPE_CHECKING:
    from collections.abc import Iterator

FPS = 30
_FIRST, _STEP, _MOST = 1000, 200, 8000
_STEP_S, _SETTLE_S = 3.0, 1.0
_TIMED_OF = 10
"""One client of so many looks into its messages; the others only count them, or the load would
compute more than the gateways.
"""
_TRIES = 2
_ARRIVED = 0.95
_MORE = 1.5
AT_ONCE, FOUR = 1000, 4
_EVEN = 1.25
_BACK_S = 2.0
_SCRAPES = 100
_SCRAPE_EVERY_S = 0.1
CROWD, CROWD_S = 20_000, 60.0
_CROWD_SETTLE_S = 15.0
"""Those who came last are steady by then: see window.py."""
_PORTION = 500


def measure() -> list[Row]:
    if not has_gateways():
        return [
            Row(name, bar, "not measured: this framefan has no --gateways", False)
            for name, bar in (
                ("--gateways 2: deliveries a second over one gateway's", f">= {_MORE:g}"),
                (f"{AT_ONCE:,} clients on {FOUR} gateways", f"<= {_EVEN:g}"),
                ("one of the gateways killed", f"<= {_BACK_S:g} s"),
                (f"{_SCRAPES} scrapes of /metrics", "0 counters fall"),
                (f"{CROWD:,} clients on 2 gateways", "every one"),
            )
        ]
    return [*throughput(), *four(), crowd()]


def has_gateways() -> bool:
    command = [str(Path(sys.executable).with_name("framefan")), "run", "--help"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return re.search(r"--gateways\b", told) is not None


# ---- what they carry ---------------------------------------------------------------------------


def throughput() -> list[Row]:
    one, two = _carries(1), _carries(2)
    return [
        Row("1 gateway, 30/s: the most deliveries a second with p99 within a period", "", one[1]),
        Row("2 gateways: the same", "", two[1]),
        Row(
            "2 gateways over 1: deliveries a second, on these cores",
            f">= {_MORE:g}",
            f"{two[0] / max(1.0, one[0]):.2f}",
            two[0] >= _MORE * one[0] > 0,
        ),
    ]


def _carries(gateways: int) -> tuple[float, str]:
    """The most deliveries a second, and how that was."""
    best, told = 0.0, "none"
    with small_run("--gateways", str(gateways), fps=FPS) as run, AgedLoad() as load:
        port, clients = _port(run), 0
        while clients < _MOST:
            more = _STEP if clients else _FIRST
            load.open("timed", port, more // _TIMED_OF, timed=True)
            load.open("counted", port, more - more // _TIMED_OF)
            clients += more
            for _ in range(_TRIES):  # one bad moment of the machine is no limit
                rate, p99 = _step(load)
                if good := p99 <= 1 / FPS and rate >= _ARRIVED * clients * FPS:
                    break
            due = clients * FPS
            step = f"{clients:,} clients, {rate:,.0f}/s of {due:,}, p99 {p99 * 1000:.1f} ms"
            print(f"  {gateways} gateways: {step}", flush=True)
            if not good:
                return best, f"{told}; then {step}"
            best, told = rate, step
    return best, told


def _step(load: AgedLoad) -> tuple[float, float]:
    """Deliveries a second, and the 99th percentile of the timed ones' ages in seconds."""
    time.sleep(_SETTLE_S)
    load.report("timed")
    began, before = clock.now(), load.messages("timed") + load.messages("counted")
    time.sleep(_STEP_S)
    count = load.messages("timed") + load.messages("counted") - before
    rate, ages = count / (clock.now() - began), load.report("timed")["age"]
    return rate, percentile(ages, 99) if len(ages) else float("inf")


def _port(run: Run) -> int:
    return int(run.url.rstrip("/").rpartition(":")[2])


# ---- how even, one killed, and their metrics -----------------------------------------------------


def four() -> list[Row]:
    with (
        small_run("--gateways", str(FOUR)) as run,
        Crowd(run, AT_ONCE, "retries", retry_s=1.0) as crowd,
    ):
        pids = run.processes()["gateway"]
        until(lambda: len(run.processes()["gateway"]) == FOUR, 20, f"{FOUR} gateways")
        print(f"  {AT_ONCE} ordinary clients on {FOUR} gateways", flush=True)
        crowd.begin()
        came = crowd.wait_in(crowd.began_at)
        pids = run.processes()["gateway"]
        each = {pid: _connections(pid, _port(run)) for pid in pids}
        trouble = crowd.trouble()
        return [
            Row(
                f"{AT_ONCE:,} clients at once on {FOUR} gateways: the fullest over the emptiest",
                f"<= {_EVEN:g}",
                f"{max(each.values()) / max(1, min(each.values())):.2f}: "
                f"{', '.join(str(count) for count in each.values())}; {len(came):,} in, "
                f"{trouble.total()} troubles",
                len(each) == FOUR
                and len(came) == AT_ONCE
                and max(each.values()) <= _EVEN * min(each.values()),
            ),
            *_scrapes(run),
            *_one_killed(run, crowd, each),
        ]


def _connections(pid: int, port: int) -> int:
    return sum(
        each.status == psutil.CONN_ESTABLISHED and each.laddr.port == port
        for each in psutil.Process(pid).net_connections("tcp")
    )


def _one_killed(run: Run, crowd: Crowd, each: dict[int, int]) -> list[Row]:
    killed, of_it = next(iter(each.items()))
    print(f"  one of the {FOUR} killed, with {of_it} clients", flush=True)
    killed_at = clock.now()
    os.kill(killed, signal.SIGKILL)
    until(lambda: len(crowd.noted("cut", killed_at)) >= of_it, 10, "the cut of its clients")
    cut_ones = {note["client"] for note in crowd.noted("cut", killed_at)}

    def back() -> set[Any]:
        return {note["client"] for note in crowd.noted("in", killed_at)}

    end = clock.now() + 15.0
    while not cut_ones <= back() and clock.now() < end:
        time.sleep(0.1)
    took = [note["at"] - killed_at for note in crowd.noted("in", killed_at)]
    time.sleep(1.0)
    cut = len({note["client"] for note in crowd.noted("cut", killed_at)})
    last = max(took, default=float("inf"))
    return [
        Row(
            f"kill -9 of one of {FOUR}: clients that notice",
            f"its own, {of_it}",
            f"{cut}",
            cut == of_it,
        ),
        Row(
            "the same: they are back, retrying once a second",
            f"<= {_BACK_S:g} s",
            f"{len(back())} back, the last after {last:.2f} s",
            cut_ones <= back() and last <= _BACK_S,
        ),
    ]


def _samples(text: str) -> Iterator[tuple[str, str, tuple[tuple[str, str], ...], float]]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield family.type, sample.name, tuple(sorted(sample.labels.items())), sample.value


def _scrapes(run: Run) -> list[Row]:
    """Each by a connection of its own, which any of the gateways may take."""
    print(f"  {_SCRAPES} scrapes", flush=True)
    before: dict[Any, float] = {}
    fell: Counter[str] = Counter()
    clients: list[float] = []
    labels: set[str] = set()
    for _ in range(_SCRAPES):
        code, body = run.http("metrics")
        if code != 200:
            raise SystemExit(f"/metrics answered {code}")
        now: dict[Any, float] = {}
        total = 0.0
        for kind, name, key, value in _samples(body.decode()):
            labels |= {what for label, what in key if label == "gateway"}
            if name == "framefan_clients":
                total += value
            if kind in ("counter", "histogram") and not name.endswith("_created"):
                now[name, key] = value
        fell.update(key[0] for key, value in now.items() if value < before.get(key, 0.0))
        before |= now
        clients.append(total)
        time.sleep(_SCRAPE_EVERY_S)
    least, most = min(clients), max(clients)
    told = f": {', '.join(f'{name} {n} times' for name, n in fell.most_common(3))}" if fell else ""
    return [
        Row(
            f"{_SCRAPES} scrapes of /metrics, of {FOUR} gateways: counters that fall",
            "0",
            f"{fell.total()} of {len(before):,} series{told}",
            not fell,
        ),
        Row(
            "the same: each tells all gateways' clients",
            f"{AT_ONCE:,}, {FOUR} gateways",
            f"{least:,.0f} to {most:,.0f}, {len(labels)} gateways",
            least == most == AT_ONCE and len(labels) == FOUR,
        ),
    ]


# ---- twenty thousand -----------------------------------------------------------------------------


def crowd() -> Row:
    raise_descriptors()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="framefan-bench-"))
        config = Path(folder, "framefan.toml")
        config.write_text(f"[limits]\nmax_clients = {CROWD + 100}\n")
        options = ("--gateways", "2", "--config", str(config))
        predictor = predictors.reference("blob_200")
        run = stack.enter_context(Run(source(1), predictor=predictor, workers=1, options=options))
        run.wait_ready()
        loads = [stack.enter_context(AgedLoad()) for _ in range(2)]
        began = clock.now()
        for number in range(CROWD // _PORTION):
            loads[number % 2].open("all", _port(run), _PORTION, timed=True)
            if (number + 1) * _PORTION % 5000 == 0:
                took = clock.now() - began
                print(f"  {(number + 1) * _PORTION:,} connected, {took:.0f} s", flush=True)
        time.sleep(_CROWD_SETTLE_S)
        for load in loads:
            load.report("all")
        time.sleep(CROWD_S + 2.0)
        seen = [load.report("all") for load in loads]
    return _crowd_row(seen)


def _crowd_row(seen: list[dict[str, Any]]) -> Row:
    frames = Counter(frame for each in seen for frame in each["frame"])
    # The first and the last may have been on their way as the reports were made.
    inner = sorted(frames)[1:-1]
    due = len(inner) * CROWD
    received = sum(frames[frame] for frame in inner)
    gone = CROWD - sum(each["open"] for each in seen)
    holes = sum(each["holes"] for each in seen)
    for each in seen:
        for what, count in sorted(each["causes"].items()):
            print(f"  {count} clients have a hole before {what}", flush=True)
    ages = [age for each in seen for age in each["age"]]
    p99 = percentile(ages, 99) if ages else float("inf")
    return Row(
        f"{CROWD:,} clients on 2 gateways, a result a second, {len(inner)} s: received by each",
        "every one",
        f"{received:,} of {due:,}, {holes} holes, {gone} gone, p99 {p99 * 1000:.0f} ms",
        received == due and not holes and not gone and len(inner) >= CROWD_S - 1,
    )
