"""Many HTTP cameras in one light process, the good ones and the bad; each picture is encoded once.

`python -m benchmarks.http_cameras COUNT` prints its port; ends when stdin does.

    /good/N    the demo scene of seed N, 640x360 at 10 fps, JPEG by JPEG; the cameras of different
               seeds send at different moments, as real ones do
    /flapping  a good one that closes each connection after a second
    /stalled   a good one that sends nothing more after two seconds; the connection stays open
    /garbage   noise where pictures should be: whole parts of it, and bytes among the parts
    /silent    takes the connection and never answers
    others     404
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys

import cv2
import numpy as np

from framefan.base import clock
from framefan_capture.sources.scene import Scene

SIZE = (640, 360)
FPS = 10.0
PICTURES = 100
"""So many are drawn for each camera, then they come again."""
_NOISE = random.Random(1).randbytes(20_000)


def pictures(seed: int) -> list[bytes]:
    scene = Scene(*SIZE, seed=seed)
    image = np.empty((SIZE[1], SIZE[0], 3), np.uint8)
    encoded = []
    for number in range(PICTURES):
        scene.draw(number, image)
        encoded.append(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes())
    return encoded


class Cameras:
    def __init__(self, count: int) -> None:
        self._count = count
        self._pictures = [pictures(seed) for seed in range(1, count + 1)]

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Cancelled is who still reads at the end of the process.
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            request = await reader.readuntil(b"\r\n\r\n")
            await self._play(writer, request.split(b" ", 2)[1].decode())
        writer.close()

    async def _play(self, writer: asyncio.StreamWriter, path: str) -> None:
        kind, _, number = path.strip("/").partition("/")
        if kind == "silent":
            await asyncio.sleep(3600)
        if kind not in ("good", "flapping", "stalled", "garbage"):
            writer.write(b"HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        writer.write(
            b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"
        )
        if kind == "good":
            await self._send(writer, int(number), 10**9)
        elif kind == "flapping":
            await self._send(writer, 1, round(FPS))
        elif kind == "stalled":
            await self._send(writer, 2, round(2 * FPS))
            await asyncio.sleep(3600)
        else:
            await self._garbage(writer)

    async def _send(self, writer: asyncio.StreamWriter, seed: int, count: int) -> None:
        """`count` pictures of one camera, each at its time."""
        found = self._pictures[seed - 1]
        phase = (seed - 1) / self._count
        first = int(clock.now() * FPS) + 1
        for number in range(first, first + count):
            await asyncio.sleep(max(0.0, (number + phase) / FPS - clock.now()))
            self._part(writer, found[number % PICTURES])
            await writer.drain()

    async def _garbage(self, writer: asyncio.StreamWriter) -> None:
        while True:
            self._part(writer, _NOISE)
            writer.write(_NOISE[:5000])
            await writer.drain()
            await asyncio.sleep(1 / FPS)

    @staticmethod
    def _part(writer: asyncio.StreamWriter, data: bytes) -> None:
        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
        writer.write(head.encode() + data + b"\r\n")


async def serve(count: int) -> None:
    server = await asyncio.start_server(Cameras(count).answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
