"""Follow a run for as long as it takes, and say what was seen, what was missed and what is wrong.

    python examples/follow.py [URL] [CAMERA ...]

It may be started before the run is, and outlives its restarts.
"""

import asyncio
import sys

from framefan.client import Refused, connect
from framefan.protocol import Failure, Result, Resumed, Status


async def main(url: str, cameras: list[str]) -> None:
    async with connect(url, cameras=cameras or None, min_confidence=0.5, nonempty=True) as feed:
        async for message in feed.messages():
            match message:
                case Result():
                    labels = [each.label for each in message.detections or []]
                    print(f"{message.camera} {message.seq}: {', '.join(labels)}")
                case Failure():
                    print(
                        f"{message.camera} {message.seq}: predict failed: {message.error.message}"
                    )
                case Status():
                    print(f"{message.subject} {message.camera or ''}: {message.state}")
                case Resumed():
                    print(f"{message.camera}: back, {'' if message.recovered else 'not '}complete")
                    print(f"missed so far: {feed.missed}")


if __name__ == "__main__":
    arguments = sys.argv[1:] or ["ws://127.0.0.1:8765/ws"]
    try:
        asyncio.run(main(arguments[0], arguments[1:]))
    except Refused as refused:
        sys.exit("\n".join(refused.lines()))
    except KeyboardInterrupt:
        pass
