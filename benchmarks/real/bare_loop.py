"""The loop that a script would have: read, fit, run, decode, in one process.

    python -m benchmarks.real.bare_loop MODEL FILM THREADS SPINNING FRAMES

It is written to be fast: one session with a fixed input, pixels by OpenCV's own conversion, scores
looked at in numpy, OpenCV's suppression. Prints frames, seconds, CPU seconds and boxes.
"""

from __future__ import annotations

import sys
import time

import cv2
import numpy as np
import onnxruntime

_WARM_UP = 20


def main(model: str, film: str, threads: int, spinning: str, most: int) -> None:
    cv2.setNumThreads(threads)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", spinning)
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    height, width = entry.shape[2:]
    reader = cv2.VideoCapture(film)
    frames = boxes = 0
    began = used = 0.0
    while True:
        good, image = reader.read()
        if not good or frames == _WARM_UP + most:
            break
        if frames == _WARM_UP:
            began, used = time.monotonic(), time.process_time()
        scale = min(width / image.shape[1], height / image.shape[0])
        inner = round(image.shape[1] * scale), round(image.shape[0] * scale)
        left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
        canvas = np.full((height, width, 3), 114, np.uint8)
        canvas[top : top + inner[1], left : left + inner[0]] = cv2.resize(image, inner)
        blob = cv2.dnn.blobFromImage(canvas, 1 / 255, swapRB=True)
        boxes += _persons(session.run(None, {entry.name: blob})[0][0])
        frames += 1
    print(frames - _WARM_UP, time.monotonic() - began, time.process_time() - used, boxes)


def _persons(rows: np.ndarray) -> int:
    rows = rows[rows[:, 4] >= 0.25]
    scores = rows[:, 5:] * rows[:, 4:5]
    best, kinds = scores.max(axis=1), scores.argmax(axis=1)
    some = best >= 0.25
    corners = np.hstack([rows[some, :2] - rows[some, 2:4] / 2, rows[some, 2:4]])
    kept = cv2.dnn.NMSBoxesBatched(
        corners.tolist(), best[some].tolist(), kinds[some].tolist(), 0.25, 0.45
    )
    return int((kinds[some][np.asarray(kept, int).ravel()] == 0).sum())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
