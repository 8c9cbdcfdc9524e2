"""One client that asks for as much as it may, for as long as it lives.

`kind`: `replays` joins with the largest history, reads all of it, and joins anew; `filters` the
same with filters; `commands` unsubscribes and subscribes ten times a second with that history;
`silent` comes back again and again to a camera that has no results.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

import websockets
from observing import Observer

QUERIES = {
    "replays": "history={history}",
    "filters": "history={history}&nonempty=1&label=person,car&min_confidence=0.1",
    "commands": "history=1",
    "silent": "since=silent:{epoch}:5",
}
_QUIET_S = 0.3
_COMMANDS_S = 0.1
_STAYS_S, _READS_S = 60.0, 2.0


async def commands(connection: websockets.ClientConnection, history: int) -> None:
    while True:
        await connection.send(json.dumps({"unsubscribe": {}}))
        await connection.send(json.dumps({"subscribe": {"cameras": None, "history": history}}))
        await asyncio.sleep(2 * _COMMANDS_S)


async def read(connection: websockets.ClientConnection, most: float) -> int:
    """Messages until there is a rest, or until `most` seconds are over."""
    count, end = 0, asyncio.get_running_loop().time() + most
    while asyncio.get_running_loop().time() < end:
        try:
            await asyncio.wait_for(connection.recv(), _QUIET_S)
        except TimeoutError:
            break
        count += 1
    return count


async def largest(url: str) -> int:
    """The longest history that the gateway does not refuse."""
    for history in (1_000_000, 1000):
        async with websockets.connect(f"{url}?history={history}") as connection:
            message = json.loads(await connection.recv())
            if message["type"] != "reply":
                return history
    raise SystemExit(f"no history: {message}")


async def main() -> None:
    asked = json.loads(sys.argv[1])
    kind, observer = asked["kind"], Observer()
    os.nice(19)  # what it does with its replays must not hinder those who measure
    asked["history"] = await largest(asked["url"])
    query = QUERIES[kind].format(**asked)
    stays = kind in ("commands", "silent")
    while True:
        try:
            async with websockets.connect(f"{asked['url']}?{query}", max_size=None) as connection:
                task = None
                if kind == "commands":
                    task = asyncio.create_task(commands(connection, asked["history"]))
                observer.say(event="opened", history=asked["history"])
                count = await read(connection, _STAYS_S if stays else _READS_S)
                observer.say(event="read", messages=count)
                if task:
                    task.cancel()
        except (websockets.WebSocketException, OSError) as error:
            observer.say(event="closed", why=repr(error)[:160])
            await asyncio.sleep(0.2)


asyncio.run(main())
