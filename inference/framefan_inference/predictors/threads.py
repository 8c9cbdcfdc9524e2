"""How many threads a worker's libraries use: with a thread per core in each they would only fight.

OpenMP, OpenBLAS and MKL read variables when they are loaded, so `limit` comes before whatever the
predictor imports; OpenCV and onnxruntime are told by calls. What the user's environment says goes
first.
"""

from __future__ import annotations

import os
import sys

_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def share(workers: int) -> int:
    """Of the cores that this process may use, those of one worker of so many."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (cores or 1) // workers)


def limit(workers: int) -> None:
    for name in _VARIABLES:
        os.environ.setdefault(name, str(share(workers)))


def here() -> int:
    """What `limit` or the user has set for this process; 0, a library's own choice, without."""
    text = os.environ.get(_VARIABLES[0], "")
    return int(text) if text.isdecimal() else 0


def limit_opencv() -> None:
    """It reads no variable; only where the predictor has loaded it."""
    cv2 = sys.modules.get("cv2")
    if cv2 is not None and here():
        cv2.setNumThreads(here())
