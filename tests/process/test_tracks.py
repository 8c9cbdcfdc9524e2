"""The ids of a file's tracks are the file's: neither a slow model nor more workers change them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from runs import STOP_S, Run
from websockets.sync.client import connect

FPS, FRAMES = 2, 24
WALK = """
import os, time
import numpy as np
class Walk:
    labels = ["person"]
    def predict(self, image, frame):
        time.sleep(float(os.environ["PREDICT_S"]))
        t = frame.pts
        if t < 2 or 3 <= t < 5:
            x = 20 + 10 * t
        elif t >= 9:
            x = 65
        else:
            return []
        return np.array([[x, 100, x + 30, 180, 0.9, 0]])
"""
"""Somebody walks, is hidden for a second and walks on; 4 s later somebody else stands there."""


@pytest.mark.parametrize(
    ("predict_s", "workers"), [("0", "1"), ("0", "2"), ("0.15", "2")], ids=["fast", "two", "slow"]
)
def test_a_file_has_its_ids_at_any_speed(tmp_path: Path, predict_s: str, workers: str) -> None:
    film = cv2.VideoWriter(str(tmp_path / "film.avi"), 1196444237, FPS, (320, 240))  # MJPG
    for n in range(FRAMES):
        film.write(np.full((240, 320, 3), n, np.uint8))
    film.release()
    (tmp_path / "walk.py").write_text(WALK)
    run = Run(
        str(tmp_path / "film.avi"), "--fast", "--mode", "every", "--track", "-w", workers,
        "-p", f"{tmp_path}/walk.py:Walk", env={"PREDICT_S": predict_s},
    )  # fmt: skip
    ids: dict[int, list[int]] = {}
    with run:
        with connect(f"{run.ws}?delivery=every&history={FRAMES}", proxy=None) as client:
            while len(ids) < FRAMES:
                message = json.loads(client.recv(timeout=20))
                if message["type"] == "result":
                    ids[message["frame"]] = [each["track_id"] for each in message["detections"]]
        assert run.process.wait(STOP_S) == 0, run.log()
    expected = [[1]] * 4 + [[]] * 2 + [[1]] * 4 + [[]] * 8 + [[2]] * 6
    assert [ids[n] for n in range(FRAMES)] == expected
