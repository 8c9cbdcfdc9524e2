"""Limits the threads of a worker's libraries, so that workers do not compete for the cores.

OpenMP, OpenBLAS and MKL read environment variables when they are loaded, so call `limit` before the
predictor is imported. OpenCV and onnxruntime are set by calls. Variables that the user has set take
precedence.
"""

from __future__ import annotations

import os
import sys

_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def share(workers: int) -> int:
    """How many of the cores that this process may use belong to one of `workers` workers."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (cores or 1) // workers)


def limit(workers: int) -> None:
    for name in _VARIABLES:
        os.environ.setdefault(name, str(share(workers)))


def here() -> int:
    """The thread limit that `limit` or the user has set; 0: none, the library decides."""
    text = os.environ.get(_VARIABLES[0], "")
    return int(text) if text.isdecimal() else 0


def limit_opencv() -> None:
    """Limit OpenCV's threads if the predictor has loaded it; OpenCV reads no variable."""
    cv2 = sys.modules.get("cv2")
    if cv2 is not None and here():
        cv2.setNumThreads(here())
