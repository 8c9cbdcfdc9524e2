"""An operator's hour: six cameras from a configuration file, one of them dead, and each command.

Run it by its name: `python -m benchmarks hour`, or for a shorter while `HOUR_S=600 python -m
benchmarks hour`. It counts the lines of the log that name the dead camera, compares the memory of
each process after five minutes with that at the end, and uses every command of docs/cli.md once on
the run.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import cv2
import psutil

from benchmarks.report import Row
from benchmarks.run import Run
from framefan.base import clock
from framefan.client import connect_sync
from framefan.ipc.protocol import Result

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = float(os.environ.get("HOUR_S", "3600"))
FLAT_FROM_S = min(300.0, SECONDS / 4)
EVERY_S = 10.0
MOST_LINES = 20
"""Of the log, about the dead camera, in an hour."""
MOST_GROWTH_MIB = 4.0
"""Of a process, after its first five minutes."""
FPS = 15
DEAD = "gate"
CLI_PAGE = Path(__file__).parent.parent / "docs" / "cli.md"
_MIB = 1 << 20
_AVERAGED = 12
"""The memory at a moment is the median of so many samples."""


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="framefan-hour-") as name, _dead_port() as port:
        folder = Path(name)
        config = folder / "framefan.toml"
        config.write_text(_configuration(_film(folder), port))
        with Run(workers=2, options=("--config", str(config))) as run:
            run.wait_ready()
            began = clock.now()
            memory, early = _watch(run, began + FLAT_FROM_S)
            codes = _use_each_command(run, config)
            rest, rate = _watch(run, began + SECONDS)
            lines = [line for line in run.log if f'"{DEAD}"' in line or f" {DEAD}" in line]
            hours = (clock.now() - began) / 3600
    return [
        _lines_row(lines, hours, len(run.log)),
        *_memory_rows(memory, rest),
        _commands_row(codes),
        Row(
            "five live cameras, results a second at a client",
            f">= {0.95 * 5 * FPS:g}",
            f"{rate:.1f}; {early:.1f} in the first minutes",
            rate >= 0.95 * 5 * FPS,
        ),
    ]


def _configuration(film: Path, port: int) -> str:
    live = [
        f"demo?size=1280x720&fps={FPS}&seed=1",
        f"demo?size=640x480&fps={FPS}&seed=2",
        f"demo?size=1920x1080&fps={FPS}&seed=3",
        f"demo?size=720x1280&fps={FPS}&seed=4",
        str(film),
    ]
    names = ("front", "yard", "hall", "lift", "film")
    cameras = [
        *zip(names, live, strict=True),
        (DEAD, f"rtsp://viewer:secret@127.0.0.1:{port}/gate"),
    ]
    tables = (f'[[camera]]\nname = "{name}"\nsource = "{source}"\n' for name, source in cameras)
    return 'loop = true\nlog_format = "json"\n' + "\n".join(tables)


def _film(folder: Path) -> Path:
    """Ten seconds of a square that moves."""
    path = folder / "film.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (640, 480))
    for number in range(10 * FPS):
        image = cv2.UMat(480, 640, cv2.CV_8UC3).get()
        image[:] = 40
        image[200:280, 3 * number : 3 * number + 80] = 220
        writer.write(image)
    writer.release()
    return path


@contextlib.contextmanager
def _dead_port() -> Iterator[int]:
    """A port on which nothing listens, kept so that nothing else takes it."""
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        yield int(kept.getsockname()[1])


def _watch(run: Run, until: float) -> tuple[dict[str, list[float]], float]:
    """Read the feed until then. Returns the memory of each process in MiB, and results a second."""
    memory: dict[str, list[float]] = defaultdict(list)
    began = next_at = clock.now()
    count = 0
    with connect_sync(run.websocket) as feed:
        for message in feed:
            count += isinstance(message, Result)
            now = clock.now()
            if now >= until:
                break
            if now >= next_at:
                next_at = now + EVERY_S
                for name, mib in _memory(run).items():
                    memory[name].append(mib)
                print(f"  {until - now:.0f} s to go", flush=True)
    return memory, count / (clock.now() - began)


def _memory(run: Run) -> dict[str, float]:
    """The private memory of each process, in MiB."""
    found: dict[str, float] = {}
    for kind, pids in run.processes().items():
        for number, pid in enumerate(pids):
            with contextlib.suppress(psutil.NoSuchProcess):  # the dead camera's comes and goes
                found[f"{kind} {number}"] = psutil.Process(pid).memory_full_info().uss / _MIB
    return found


def _use_each_command(run: Run, config: Path) -> dict[str, int]:
    """The exit code of each command of docs/cli.md."""
    folder = config.parent
    of_run = ("--name", run.name)
    uses: dict[str, tuple[tuple[str, ...], ...]] = {
        "run": (("run", "demo", "--duration", "10", "--port", "0", "--name", f"{run.name}-2"),),
        "doctor": (("doctor", "demo", "--port", "0"),),
        "once": (("once", "demo"),),
        "status": (("status", *of_run),),
        "reload": (("reload", *of_run),),
        "scale": (("scale", "3", *of_run), ("scale", "2", *of_run)),
        "swap": (("swap", "health", *of_run), ("swap", "motion", *of_run)),
        "top": (("top", *of_run, "--duration", "3"),),
        "watch": (("watch", *of_run, "--duration", "3"),),
        "examples": (("examples", str(folder / "examples")),),
        "predictors": (("predictors",),),
    }
    told = re.findall(r"^\| \[`(\w+)`\]", CLI_PAGE.read_text(), re.MULTILINE)
    if missing := set(told) - uses.keys():
        raise SystemExit(f"docs/cli.md has commands that this benchmark does not use: {missing}")
    binary = str(Path(sys.executable).with_name("framefan"))
    codes: dict[str, int] = {}
    for name, calls in uses.items():
        for call in calls:
            done = subprocess.run([binary, *call], capture_output=True, text=True, check=False)
            codes[name] = codes.get(name, 0) or done.returncode
            if done.returncode:
                print(f"  {name}: {done.returncode}: {done.stdout}{done.stderr}", flush=True)
            time.sleep(1.0)
    return codes


def _lines_row(lines: list[str], hours: float, all_lines: int) -> Row:
    levels: defaultdict[str, int] = defaultdict(int)
    for line in lines:
        with contextlib.suppress(ValueError):
            levels[json.loads(line).get("level", "?")] += 1
    told = ", ".join(f"{count} {level}" for level, count in sorted(levels.items()))
    return Row(
        f"lines about the dead camera, an hour ({hours:.2f} h)",
        f"<= {MOST_LINES}",
        f"{len(lines) / hours:.0f} ({told}); {all_lines} lines in all",
        len(lines) / hours <= MOST_LINES,
    )


def _memory_rows(first: dict[str, list[float]], rest: dict[str, list[float]]) -> list[Row]:
    """By kind of process, the one that grew most."""
    grew: dict[str, tuple[float, float, float]] = {}
    for name, samples in rest.items():
        if len(samples) < 2 * _AVERAGED or len(first.get(name, ())) < _AVERAGED:
            continue
        before, after = median(samples[:_AVERAGED]), median(samples[-_AVERAGED:])
        kind = name.partition(" ")[0]
        if after - before > grew.get(kind, (-1e9, 0, 0))[0]:
            grew[kind] = after - before, before, after
    return [
        Row(
            f"private memory of a {kind}: after {FLAT_FROM_S / 60:.0f} minutes and at the end",
            f"+{MOST_GROWTH_MIB:g} MiB at most",
            f"{before:.1f} and {after:.1f} MiB, {growth:+.2f}",
            growth <= MOST_GROWTH_MIB,
        )
        for kind, (growth, before, after) in sorted(grew.items())
    ]


def _commands_row(codes: dict[str, int]) -> Row:
    failed = [f"{name}: {code}" for name, code in codes.items() if code]
    return Row(
        "each command of docs/cli.md, used once: exit codes",
        "0",
        ", ".join(failed) or f"0 of {len(codes)} failed",
        not failed,
    )
