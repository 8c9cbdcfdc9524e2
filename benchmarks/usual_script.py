"""The usual script: camera, predict and WebSocket server in one process and one asyncio loop.

    python -m benchmarks.usual_script {wait,broadcast,threads} SOURCE PREDICTOR

It is what end_to_end.py measures framefan beside, so it is written to do well: it is repaired where
the usual one does not run (tasks, not coroutines, to asyncio.wait; a turn for the loop after each
frame, or no client would ever get in), it reads into one buffer, and it draws the same scene with
the same code. The first line that it prints is its port.

wait       read and predict in the loop, then a task of `send` for each client, and all awaited
broadcast  read and predict in the loop, then websockets.broadcast
threads    read and predict in asyncio.to_thread, then websockets.broadcast
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from websockets.asyncio.server import ServerConnection, broadcast, serve

from framefan.settings.run import CameraSettings
from framefan.settings.secret import SourceText
from framefan_capture.sources.demo import DemoSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Image = NDArray[np.uint8]


class Camera:
    """What cv2.VideoCapture is to a script: `read` blocks until the next picture is there."""

    def __init__(self, source: str) -> None:
        self._source = DemoSource(CameraSettings(name="demo", source=SourceText(source)))
        self._source.open()
        self._buffer = self._source.retrieve(None)
        self.frame = 0
        self.wall = self.grabbed_at = 0.0

    def read(self) -> Image:
        time.sleep(max(0.0, self._source.due - time.monotonic()))
        self.frame += 1
        self._source.grab(self.frame)
        self.wall, self.grabbed_at = time.time(), time.monotonic()
        return self._source.retrieve(self._buffer)


def message(camera: Camera, image: Image, began: float, ended: float, result: Any) -> str:
    """The same fields as framefan's, and so about as many bytes."""
    now = time.monotonic()
    stages = {
        "wait": began - camera.grabbed_at,
        "predict": ended - began,
        "deliver": now - ended,
        "total": now - camera.grabbed_at,
    }
    fields = {
        "type": "result", "v": 1, "camera": "demo", "seq": camera.frame, "epoch": "6cdf539a",
        "frame": camera.frame, "ts": camera.wall, "width": image.shape[1],
        "height": image.shape[0], "model": "predictors", "worker": 1, "missed": 0,
        "latency_ms": {stage: round(taken * 1000, 2) for stage, taken in stages.items()},
        "result": result,
    }  # fmt: skip
    return json.dumps(fields, separators=(",", ":"))


async def feed(
    way: str, camera: Camera, predict: Callable[[Image], Any], clients: set[ServerConnection]
) -> None:
    while True:
        image = await asyncio.to_thread(camera.read) if way == "threads" else camera.read()
        began = time.monotonic()
        result = await asyncio.to_thread(predict, image) if way == "threads" else predict(image)
        text = message(camera, image, began, time.monotonic(), result)
        if way != "wait":
            broadcast(clients, text)
        elif clients:
            await asyncio.wait([asyncio.create_task(client.send(text)) for client in clients])
        await asyncio.sleep(0)


async def main(way: str, source: str, predictor: str) -> None:
    clients: set[ServerConnection] = set()

    async def stay(client: ServerConnection) -> None:
        clients.add(client)
        await client.wait_closed()
        clients.discard(client)

    server = await serve(stay, "127.0.0.1", 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    await feed(way, Camera(source), load(predictor), clients)


def load(reference: str) -> Callable[[Image], Any]:
    """FILE.py:NAME, as framefan's --predictor has it."""
    path, _, name = reference.rpartition(":")
    spec = importlib.util.spec_from_file_location("predictors", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[[Image], Any] = getattr(module, name)
    return found


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
