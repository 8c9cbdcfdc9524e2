"""Print every result: all that a client of framefan must do."""

import asyncio

import websockets


async def main() -> None:
    async with websockets.connect("ws://127.0.0.1:8765/ws") as ws:
        while True:
            print(await ws.recv())


asyncio.run(main())
