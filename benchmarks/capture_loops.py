"""Loops that take every picture of a video file, to be measured beside the real capture.

`python -m benchmarks.capture_loops WAY PATH FRAMES` plays the file of so many frames once and
prints, as JSON, what a frame cost. The processor time is of the whole process: a decoder may have
threads of its own.

`bare` is what a script does: `cv2.VideoCapture.read()` and nothing else. `copy` does the same and
copies each picture into a slot of a ring. `slot` has it decoded into the slot: capture's own source
without capture's process. The slots are taken and given back as capture does when it finds its slot
free again.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

from framefan.base import clock
from framefan.ipc.ring import RingWriter
from framefan.settings.run import CameraSettings
from framefan.settings.secret import SourceText

if TYPE_CHECKING:
    from collections.abc import Callable

    import cv2

WARM_UP = 40
"""Frames at the start that are not counted: memory is touched for the first time."""
SLOTS = 5


class Stopwatch:
    """Wall and processor time per frame, from frame WARM_UP to the last."""

    def __init__(self, frames: int, cpu: Callable[[], float]) -> None:
        self.frames = frames
        self.taken = 0
        self._cpu = cpu
        self._began = self._ended = (0.0, 0.0)

    def frame(self) -> None:
        self.taken += 1
        if self.taken == WARM_UP:
            self._began = clock.now(), self._cpu()
        elif self.taken == self.frames:
            self._ended = clock.now(), self._cpu()

    def cost(self) -> dict[str, float]:
        """Milliseconds a frame."""
        if self.taken != self.frames:
            raise SystemExit(f"{self.taken} frames, not {self.frames}")
        wall, cpu = (b - a for a, b in zip(self._began, self._ended, strict=True))
        counted = self.frames - WARM_UP
        return {"wall_ms": 1000 * wall / counted, "cpu_ms": 1000 * cpu / counted}


def bare(path: str, watch: Stopwatch) -> None:
    video = _open(path)
    while video.read()[0]:
        watch.frame()


def copy(path: str, watch: Stopwatch) -> None:
    import numpy as np

    video = _open(path)
    decoded, image = video.read()
    ring = RingWriter(1, SLOTS, image.nbytes)
    while decoded:
        slot = ring.take()
        assert slot is not None
        np.copyto(ring.view(slot, *image.shape[:2]), image)
        ring.give_back(slot)
        watch.frame()
        decoded, image = video.read()


def slot(path: str, watch: Stopwatch) -> None:
    from framefan_capture.kinds import make

    source = make(CameraSettings(name="slot", source=SourceText(path), fast=True))
    source.open()
    source.grab(0)
    height, width = source.retrieve(None).shape[:2]
    watch.frame()
    ring = RingWriter(1, SLOTS, height * width * 3)
    views = [ring.view(number, height, width) for number in range(SLOTS)]
    while source.grab(watch.taken):
        number = ring.take()
        assert number is not None
        source.retrieve(views[number])
        ring.give_back(number)
        watch.frame()


def _open(path: str) -> cv2.VideoCapture:
    import cv2

    return cv2.VideoCapture(path, cv2.CAP_FFMPEG)


WAYS = {"bare": bare, "copy": copy, "slot": slot}


def main(way: str, path: str, frames: str) -> None:
    watch = Stopwatch(int(frames), time.process_time)
    WAYS[way](path, watch)
    print(json.dumps(watch.cost()))


if __name__ == "__main__":
    main(*sys.argv[1:])
