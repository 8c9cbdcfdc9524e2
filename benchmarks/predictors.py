"""Predictors that cost nothing or a known time, so that what is measured is framefan's own."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from pathlib import Path
from typing import Any

SETUP_S = 1.5
STAMP = "BENCHMARK_SETUP_DONE"
"""The variable that names the file into which SlowSetup writes when its setup was done."""


def nothing(image: Any) -> list[Any]:
    return []


def blob_200(image: Any) -> dict[str, str]:
    """A result whose message is about 470 bytes."""
    return {"blob": "x" * 200}


def sleep_100_ms(image: Any) -> list[Any]:
    time.sleep(0.1)
    return []


def sleep_50_ms(image: Any) -> list[Any]:
    time.sleep(0.05)
    return []


class Together50Ms:
    """A call costs the same however many images are in it, as on a GPU."""

    def predict_batch(self, images: list[Any]) -> list[list[Any]]:
        time.sleep(0.05)
        return [[] for _ in images]


def compute_20_ms(image: Any) -> list[Any]:
    """Of this thread's own CPU time, not of the wall clock's."""
    until = time.thread_time() + 0.02
    while time.thread_time() < until:
        pass
    return []


def compute_58_ms(image: Any) -> list[Any]:
    """About what YOLOv8n takes of one core for 640x640, with onnxruntime."""
    until = time.thread_time() + 0.058
    while time.thread_time() < until:
        pass
    return []


def hash_5_ms(image: Any) -> dict[str, Any]:
    """5 ms of this thread's CPU time, nearly all of it without the interpreter's lock.

    So does a model, and it matters to who predicts in a thread beside the loop that sends.
    """
    until, rows = time.thread_time() + 0.005, image[:100]
    while time.thread_time() < until:
        digest = hashlib.sha256(rows)
    return {"digest": digest.hexdigest()}


_THINGS = [{"label": "person", "confidence": 0.91, "box": [10.5, 20.2, 110.0, 220.5]}] * 390


def hash_5_ms_many_things(image: Any) -> dict[str, Any]:
    """The same with a result of 26 KB."""
    return hash_5_ms(image) | {"things": _THINGS}


def numbered(image: Any) -> dict[str, int | None]:
    """The number that the demo scene shows in the picture."""
    from framefan_capture.sources.scene import read_number

    return {"number": read_number(image)}


def numbered_20_ms(image: Any) -> dict[str, int | None]:
    time.sleep(0.02)
    return numbered(image)


def numbered_100_ms(image: Any) -> dict[str, int | None]:
    time.sleep(0.1)
    return numbered(image)


def numbered_500_ms(image: Any) -> dict[str, int | None]:
    time.sleep(0.5)
    return numbered(image)


class SlowSetup:
    """Takes a while to be ready, and leaves the time at which the first worker was."""

    def setup(self) -> None:
        time.sleep(SETUP_S)
        now = time.monotonic()
        with contextlib.suppress(FileExistsError), Path(os.environ[STAMP]).open("x") as stamp:
            stamp.write(str(now))

    def predict(self, image: Any) -> list[Any]:
        return []


def reference(name: str) -> str:
    """How `--predictor` names one of them."""
    return f"{__file__}:{name}"
