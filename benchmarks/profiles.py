"""Where each process spends its time when there is most to do: py-spy's samples of real runs.

One run plays a file as fast as it goes, which is the most that capture, pool and a worker can do;
another serves thousands of clients. The flame graphs go to build/flames; the table tells the shares
of what a process does itself: which system calls, and which of our functions with all they call.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import predictors
from benchmarks.capture import movie
from benchmarks.client_connections import collect, for_seconds
from benchmarks.gateway_load import Load
from benchmarks.gateway_real import cores
from benchmarks.report import Row
from benchmarks.run import Run
from framefan.base import clock

if TYPE_CHECKING:
    from collections.abc import Iterable

FOLDER = Path(__file__).parent.parent / "build" / "flames"
SECONDS = 8.0
CLIENTS = 4000
_RATE = 250
_MOST = 5
_SETTLE_S = 2.0
_PORTION = 250
_CALLS = {"send", "sendmsg", "recv", "recvmsg", "write", "writev", "read", "poll", "epoll_wait"}
_SLEEPS = {"clock_nanosleep", "futex"}
_FRAME = re.compile(r"(?P<name>\S+) \((?P<file>[^:)]*)")


def measure() -> list[Row]:
    return [*_file(), *_crowd()]


def _file() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="framefan-bench-") as folder:
        path = movie(Path(folder, "scene.avi"), (640, 360), "MJPG", 1000)
        options = ("--fast", "--loop")
        with Run(
            path, predictor=predictors.reference("nothing"), workers=1, options=options
        ) as run:
            run.wait_ready()
            seconds = 3 * SECONDS + 4 * _SETTLE_S
            client = threading.Thread(target=collect, args=(run.websocket, for_seconds(seconds)))
            client.start()
            time.sleep(_SETTLE_S)
            pids = {kind: some[0] for kind, some in run.processes().items()}
            before, began = run.status()["cameras"]["cam1"]["results"], clock.now()
            found = _record({kind: pids[kind] for kind in ("capture", "pool", "worker")})
            count = run.status()["cameras"]["cam1"]["results"] - before
            rate = count / (clock.now() - began)
            client.join()
    load = f"640x360, MJPG, --fast, {rate:.0f} frames a second while sampled, which stops it"
    return [_row(f"{kind}: {load}", stacks) for kind, stacks in found.items()]


def _crowd() -> list[Row]:
    with (
        Run("demo?size=320x240&fps=10", predictor=predictors.reference("nothing")) as run,
        Load(cores()[1]) as load,
    ):
        run.wait_ready()
        port = int(run.url.rstrip("/").rsplit(":", 1)[1])
        for _ in range(CLIENTS // _PORTION):
            load.open("all", port, _PORTION)
        time.sleep(_SETTLE_S)
        found = _record({"gateway": run.processes()["gateway"][0]})
    return [_row(f"gateway: {CLIENTS:,} clients, 10 results a second", found["gateway"])]


def _record(pids: dict[str, int]) -> dict[str, str]:
    """Folded stacks by kind; and a flame graph of each beside them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for form, end in (("raw", "txt"), ("flamegraph", "svg")):
        started = [
            subprocess.Popen(
                [str(Path(sys.executable).with_name("py-spy")), "record", "--pid", str(pid)]
                + ["--duration", f"{SECONDS:g}", "--rate", str(_RATE), "--format", form]
                + ["--native", "--output", str(FOLDER / f"{kind}.{end}")],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for kind, pid in pids.items()
        ]
        if any(process.wait() for process in started):
            raise SystemExit(
                "py-spy could not watch the run: it needs to be root, or ptrace_scope 0"
            )
    return {kind: (FOLDER / f"{kind}.txt").read_text() for kind in pids}


def _row(name: str, stacks: str) -> Row:
    calls: Counter[str] = Counter()
    ours: Counter[str] = Counter()
    samples = 0
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        leaf = frames[-1].split(" ")[0]
        if leaf in _SLEEPS:
            continue  # a thread that waits for another
        samples += int(count)
        if leaf in _CALLS:
            calls[leaf] += int(count)
        for each in set(_named(frames)):
            ours[each] += int(count)
    system = sum(calls.values()) / samples
    told = f"system calls, waits among them, {system:.0%} ({_shares(calls, samples, 4)})"
    return Row(name, "", f"{told}; with all they call: {_shares(ours, samples, _MOST)}")


def _named(frames: Iterable[str]) -> Iterable[str]:
    """Functions of framefan's that do something: not those that all others run in."""
    for frame in frames:
        found = _FRAME.match(frame)
        if found and "framefan" in found["file"] and found["name"] not in _ROOTS:
            yield found["name"]


_ROOTS = {"<module>", "main", "run", "Pool.run", "Worker.run", "Camera.run", "Loop.turn"}


def _shares(counted: Counter[str], of: int, most: int) -> str:
    return ", ".join(f"{name} {count / of:.0%}" for name, count in counted.most_common(most))
