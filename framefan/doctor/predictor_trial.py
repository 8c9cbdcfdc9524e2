"""The predictor tried as a worker would use it, in a process of its own: for `framefan doctor`.

The process (framefan_inference/tryout.py) may crash, print or hang; it is killed when its time is
over.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec

from framefan.errors import FramefanError, RunError
from framefan.processes import describe_exit, environment

if TYPE_CHECKING:
    from framefan.settings import Settings

_MODULE = "framefan_inference.tryout"
_CALLS = 2
_GRACE_S = 5.0


class Asked(msgspec.Struct, frozen=True):
    predictor: str
    device: str
    workers: int
    result_bytes: int
    camera: str
    width: int
    height: int


class Tried(msgspec.Struct, frozen=True, tag=True):
    """It works; the rest is what one worker takes."""

    predict_s: float
    own_bytes: int
    threads: int
    address_bytes: int
    uses_device: bool


class Failed(msgspec.Struct, frozen=True, tag=True):
    what: str
    why: str
    fix: str


def attempt(settings: Settings, width: int, height: int) -> Tried | FramefanError:
    """Load it, set it up and have it look at a picture of that size."""
    limits = settings.limits
    asked = Asked(
        settings.predictor,
        settings.device,
        settings.workers,
        limits.result_bytes,
        settings.cameras[0].name,
        width,
        height,
    )
    limit_s = limits.worker_start_s + _CALLS * limits.predict_s + _GRACE_S
    try:
        done = subprocess.run(
            [sys.executable, "-m", _MODULE, str(os.getpid())],
            input=msgspec.json.encode(asked),
            capture_output=True,
            timeout=limit_s,
            env=environment(),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return RunError(
            f'the predictor "{settings.predictor}" gave no result within {limit_s:g} s',
            f"a worker has {limits.worker_start_s:g} s to start and {limits.predict_s:g} s a frame",
            "set worker_start_s or predict_s under [limits] in a file for --config",
        )
    if not done.stdout:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        said = f": {words[-1]}" if words else " without a word"
        return RunError(
            f'the predictor "{settings.predictor}" ended its process',
            describe_exit(done.returncode) + said,
            "import and call it by itself to see the whole error",
        )
    told = msgspec.json.decode(done.stdout, type=Tried | Failed)
    return told if isinstance(told, Tried) else FramefanError(told.what, told.why, told.fix)
