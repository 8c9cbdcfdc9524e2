"""Save a picture of the demo scene with a live result drawn on it.

`framefan run "demo?seed=1"` in one terminal, `python examples/draw_boxes.py out.jpg` in another.
The demo scene is a function of the frame number, so a result is all that is needed to draw it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import cv2
import numpy as np
import websockets

from framefan_capture.sources.scene import Scene

AFTER_FRAME = 200
"""What learns the scene has seen enough of it by then."""
FONT = cv2.FONT_HERSHEY_SIMPLEX
DARK, LIGHT, BOX = (20, 20, 20), (255, 255, 255), (255, 80, 255)


def write(image: Any, text: str, x: int, y: int) -> None:
    """Light letters on a dark plate; to the left of `x`, where the right has no room for them."""
    (width, height), below = cv2.getTextSize(text, FONT, 0.8, 2)
    if x + width > image.shape[1]:
        x, y = x - width - 14, y + height + 14
    y = max(height + 6, y)
    cv2.rectangle(image, (x - 6, y - height - 6), (x + width + 6, y + below), DARK, cv2.FILLED)
    cv2.putText(image, text, (x, y), FONT, 0.8, LIGHT, 2, cv2.LINE_AA)


def draw(result: dict[str, Any]) -> Any:
    image = np.zeros((result["height"], result["width"], 3), np.uint8)
    Scene(result["width"], result["height"], seed=1).draw(result["frame"], image)
    for each in result.get("detections", ()):
        x1, y1, x2, y2 = (round(value) for value in each["box"])
        outline = np.array(each.get("mask", [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]))
        cv2.polylines(image, [outline.round().astype(np.int32)], True, BOX, 4)
        for x, y, confidence in each.get("keypoints", ()):
            if confidence >= 0.5:
                cv2.circle(image, (round(x), round(y)), 5, BOX, cv2.FILLED)
        track = f" #{each['track_id']}" if "track_id" in each else ""
        write(image, f"{each['label']}{track} {each['confidence']:.2f}", x1, y1 - 14)
    for line, (key, value) in enumerate(result.get("result", {}).items()):
        write(image, f"{key}: {json.dumps(value)}", 20, 50 + 44 * line)
    return cv2.resize(image, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)


async def main(path: str, url: str) -> None:
    async with websockets.connect(url) as ws:
        while True:
            result = json.loads(await ws.recv())
            if result["type"] == "result" and result["frame"] > AFTER_FRAME:
                break
    cv2.imwrite(path, draw(result), [cv2.IMWRITE_JPEG_QUALITY, 80])


if __name__ == "__main__":
    asyncio.run(
        main(
            sys.argv[1] if len(sys.argv) > 1 else "boxes.jpg",
            sys.argv[2] if len(sys.argv) > 2 else "ws://127.0.0.1:8765/ws",
        )
    )
