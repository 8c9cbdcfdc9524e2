"""Save a picture of the demo scene with the boxes of a live result on it.

`framefan run demo?seed=1` in one terminal, `python examples/draw_boxes.py out.jpg` in another. The
demo scene is a function of the frame number, so the picture can be drawn from the result alone.
"""

from __future__ import annotations

import asyncio
import json
import sys

import cv2
import numpy as np
import websockets

from framefan_capture.scene import Scene

AFTER_FRAME = 200
"""The background model has seen enough of the scene by then."""


async def main(path: str, url: str) -> None:
    async with websockets.connect(url) as ws:
        while True:
            result = json.loads(await ws.recv())
            if result["type"] == "result" and result["frame"] > AFTER_FRAME:
                break
    image = np.zeros((result["height"], result["width"], 3), np.uint8)
    Scene(result["width"], result["height"], seed=1).draw(result["frame"], image)
    for each in result["detections"]:
        x1, y1, x2, y2 = (round(value) for value in each["box"])
        cv2.rectangle(image, (x1, y1), (x2, y2), (255, 255, 255), 3)
        label = f"{each['label']} {each['confidence']:.2f}"
        cv2.putText(image, label, (x1, y1 - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (255, 255, 255), 2)
    cv2.imwrite(path, cv2.resize(image, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA))


asyncio.run(
    main(
        sys.argv[1] if len(sys.argv) > 1 else "boxes.jpg",
        sys.argv[2] if len(sys.argv) > 2 else "ws://127.0.0.1:8765/ws",
    )
)
