"""Many ordinary clients with `websockets` in one process, all of which connect at one moment.

They wait for a line on standard input. Each prints when it had its first result, when its
connection ended, and what went wrong otherwise. `kinds`: `once` stays connected; `retries` comes
back after `retry_s`, however often it takes; `idle` opens `rate` connections a second that say
nothing, for `seconds`.
"""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import sys
import time

import websockets
from observing import Observer


async def client(observer: Observer, number: int, again: bool) -> None:
    while True:
        try:
            async with websockets.connect(observer.url()) as connection:
                await first(observer, connection, number)
                async for _ in connection:
                    pass
            observer.say(event="cut", client=number, why="end")
        except websockets.ConnectionClosed as error:
            observer.say(event="cut", client=number, why=repr(error)[:100])
        except websockets.InvalidHandshake as error:
            observer.say(event="refused", client=number, why=repr(error)[:100])
        except OSError as error:
            observer.say(event="failed", client=number, why=repr(error)[:100])
        if not again:
            return
        await asyncio.sleep(observer.retry_s)


async def first(observer: Observer, connection: websockets.ClientConnection, number: int) -> None:
    async for text in connection:
        if json.loads(text)["type"] == "result":
            observer.say(event="in", client=number)
            return


def idle(observer: Observer, port: int, rate: float, seconds: float) -> None:
    """Connections that never ask for anything, until this process ends."""
    kept: list[socket.socket] = []
    begin = time.monotonic()
    while (now := time.monotonic()) < begin + seconds:
        if len(kept) >= (now - begin) * rate:
            time.sleep(0.001)
            continue
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", port))
        kept.append(sock)
    observer.say(event="idle", connections=len(kept))
    sys.stdin.read()


def main() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asked = json.loads(sys.argv[1])
    observer = Observer()
    observer.say(event="ready", descriptors=[soft, hard])
    sys.stdin.readline()
    if asked["kind"] == "idle":
        idle(observer, asked["port"], asked["rate"], asked["seconds"])
        return

    async def all_of_them() -> None:
        again = asked["kind"] == "retries"
        clients = (client(observer, number, again) for number in range(asked["count"]))
        await asyncio.gather(*clients)

    asyncio.run(all_of_them())
    sys.stdin.read()


main()
