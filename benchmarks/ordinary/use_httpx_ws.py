"""An ordinary client with `httpx-ws`."""

import asyncio

import httpx
from httpx_ws import HTTPXWSException, aconnect_ws
from observing import Observer


async def read(observer: Observer, client: httpx.AsyncClient) -> None:
    url = observer.url().replace("ws", "http", 1)
    async with aconnect_ws(url, client) as connection:
        observer.opened()
        while True:
            await asyncio.sleep(observer.begins(await connection.receive_text()))
            if observer.ack:
                await connection.send_text(observer.acknowledgement())


async def main() -> None:
    observer = Observer()
    async with httpx.AsyncClient(headers=observer.headers()) as client:
        while True:
            try:
                await read(observer, client)
            # A task group of the library's own wraps what went wrong.
            except* (HTTPXWSException, httpx.HTTPError, OSError) as errors:
                observer.closed(errors.exceptions[0])
            await asyncio.sleep(observer.retry_s)


asyncio.run(main())
