"""What a source costs by itself: its grab and retrieve in a bare loop, at its own pace.

`python -m benchmarks.decode SOURCE SECONDS` prints, as JSON, the milliseconds of CPU and of wall
time per frame. It writes into the slots of a ring like capture does, in turn, so that the memory
is touched alike; waiting and everything that is framefan's is left out.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from benchmarks.report import percentile
from framefan.base import clock
from framefan.ipc.ring import RingWriter
from framefan.settings import source_spec
from framefan.settings.demo import parse_demo
from framefan.settings.run import CameraSettings
from framefan.settings.secret import SourceText

if TYPE_CHECKING:
    from collections.abc import Sequence

_SLOTS = 5
_SIZE = (1280, 720)


def loop(text: str, seconds: float) -> dict[str, float]:
    from framefan_capture.kinds import make

    source = make(CameraSettings(name="bare", source=SourceText(text)))
    source.open()
    width, height = _size(text)
    ring = RingWriter(1, _SLOTS, width * height * 3)
    cpu: list[float] = []
    wall: list[float] = []
    end = clock.now() + seconds
    while clock.now() < end:
        time.sleep(max(0.0, source.due - clock.now()))
        view = ring.view(len(cpu) % _SLOTS, height, width)
        began, began_cpu = clock.now(), time.process_time()
        source.grab(len(cpu))
        source.retrieve(view)
        cpu.append(time.process_time() - began_cpu)
        wall.append(clock.now() - began)
    return {
        "cpu_ms": 1000 * sum(cpu) / len(cpu),
        "wall_p50_ms": 1000 * percentile(wall, 50),
        "wall_p99_ms": 1000 * percentile(wall, 99),
    }


def _size(text: str) -> tuple[int, int]:
    """Of the demo, what its text says; of anything else, 720p."""
    if source_spec.parse(text).kind != "demo":
        return _SIZE
    options = parse_demo(text)
    return options.width, options.height


def at_once(sources: Sequence[str], seconds: float) -> list[dict[str, float]]:
    """The same in one process per source, all at the same time."""
    command = [sys.executable, "-m", "benchmarks.decode"]
    started = [
        subprocess.Popen([*command, source, str(seconds)], stdout=subprocess.PIPE, text=True)
        for source in sources
    ]
    answers = [process.communicate(timeout=seconds + 30)[0] for process in started]
    return [json.loads(answer) for answer in answers]


if __name__ == "__main__":
    print(json.dumps(loop(sys.argv[1], float(sys.argv[2]))))
