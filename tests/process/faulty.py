"""Everything a predictor may do wrong and live: a different thing with each frame, in turn."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

_kept: list[Any] = []
_CYCLE: dict[str, Any] = {}
_CYCLE["self"] = _CYCLE


def _raises(image: Any) -> Any:
    raise KeyError("no such thing")


def _raises_oddly(image: Any) -> Any:
    class Odd(Exception):
        def __str__(self) -> str:
            raise ValueError("not even its text")

    raise Odd


def _writes(image: Any) -> Any:
    image[0, 0] = 255
    return []


def _writes_by_force(image: Any) -> Any:
    image.flags.writeable = True
    image[0, 0] = 255
    return []


def _keeps(image: Any) -> Any:
    _kept.append(memoryview(image[2:4]))
    return {"kept": len(_kept)}


def _reads_what_it_kept(image: Any) -> Any:
    return {"sum": sum(int(np.asarray(view).sum()) for view in _kept)}


def _prints(image: Any) -> Any:
    print("x" * 1_000_000)
    sys.stderr.write("y" * 1_000_000 + "\n")
    return {"printed": 2_000_000}


CASES: dict[str, tuple[Any, str]] = {
    "raises": (_raises, "KeyError"),
    "raises oddly": (_raises_oddly, "Odd"),
    "none": (lambda image: None, "returned_none"),
    "nan": (lambda image: float("nan"), "not_finite"),
    "infinity in an array": (lambda image: np.array([1.0, np.inf]), "not_finite"),
    "nan in a box": (lambda image: np.full((1, 6), np.nan), "not_finite"),
    "bytes": (lambda image: b"raw", "returned_bytes"),
    "the image": (lambda image: image, "too_large"),
    "an object": (lambda image: object(), "unsupported"),
    "itself": (lambda image: _CYCLE, "recursive"),
    "a huge number": (lambda image: 2**80, "unsupported"),
    "50 MB of text": (lambda image: "x" * (50 << 20), "too_large"),
    "50 MB of numbers": (lambda image: np.zeros(50 << 17), "too_large"),
    "exits": (lambda image: sys.exit("bye"), "SystemExit"),
    "writes": (_writes, "ValueError"),
    "writes by force": (_writes_by_force, "ValueError"),
    "keeps": (_keeps, "kept_image"),
    "keeps again": (_keeps, ""),
    "reads what it kept": (_reads_what_it_kept, ""),
    "prints": (_prints, ""),
    "script": (lambda image: {"text": "<img onerror=alert(1)>", "json": json.dumps("\u2028")}, ""),
    "nothing seen": (lambda image: [], ""),
}
"""What it does, and the kind of the error it must become; none for what is allowed."""
_NAMES = list(CASES)


def predict(image: Any, frame: Any) -> Any:
    return CASES[_NAMES[frame.seq % len(_NAMES)]][0](image)


def keeps_all(image: Any) -> dict[str, int]:
    """Keeps every image, and counts those of the last few that have changed since."""
    if not _kept:
        _kept.append((image, -1))  # this one is written over, and the error says so
        return {"changed": 0}
    _kept.append((image, int(image.sum())))
    return {"changed": sum(int(old.sum()) != total for old, total in _kept[-10:] if total >= 0)}
