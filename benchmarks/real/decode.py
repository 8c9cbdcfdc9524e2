"""framefan's decoding of one model, in a process of its own: `python -m benchmarks.real.decode`.

Reads a job as JSON from standard input: `reference` (`onnx:...`) and `pictures` by name. Prints
JSON: `found` by picture, or `refused` with the lines of framefan's error. OpenCV's dnn may end the
whole process; that is seen from outside.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import cv2
import numpy as np

from framefan.errors import FramefanError
from framefan_inference.predictors.onnx_models.validity import BadOutput
from framefan_inference.predictors.predictor import Frame, load


def main() -> None:
    job = json.load(sys.stdin)
    print(json.dumps(_answer(job["reference"], job["pictures"])))


def _answer(reference: str, pictures: dict[str, str]) -> dict[str, Any]:
    try:
        predictor = load(reference)
        predictor.setup("")
    except FramefanError as error:
        return {"refused": error.lines()}
    frame, found = Frame("cam", 0, 0.0, 0), {}
    for name, path in pictures.items():
        try:
            found[name] = plain(predictor.predict(cv2.imread(path), frame))
        except BadOutput as error:
            return {"refused": [f"BadOutput: {error}"]}
    notices = getattr(predictor.target, "notices", [])
    return {"found": found, "head": predictor.target.describe()["head"], "notices": notices}


def plain(found: Any) -> Any:
    """As compare.py has detections."""
    if isinstance(found, dict):
        return {"classes": [[each["class_id"], each["confidence"]] for each in found["classes"]]}
    if isinstance(found, np.ndarray):
        return [{"box": row[:4], "score": row[4], "class": int(row[5])} for row in found.tolist()]
    return [_of_detection(each) for each in found]


def _of_detection(each: Any) -> dict[str, Any]:
    row = {"box": list(each.box), "score": each.confidence, "class": each.class_id}
    for name, key in (("mask", "mask"), ("keypoints", "points"), ("angle", "angle")):
        value = getattr(each, name)
        if isinstance(value, np.ndarray | list | tuple | float):
            row[key] = np.asarray(value).tolist()
    return row


if __name__ == "__main__":
    main()
