"""An ordinary client with `websockets` on asyncio."""

import asyncio
import time

import websockets
from observing import Observer


async def main() -> None:
    observer = Observer()
    blocks = observer.options.pop("blocks", False)
    options = observer.options | {"additional_headers": observer.headers()}
    while True:
        try:
            async with websockets.connect(observer.url(), **options) as connection:
                observer.opened()
                async for text in connection:
                    takes = observer.begins(text)
                    if blocks:
                        time.sleep(takes)
                    else:
                        await asyncio.sleep(takes)
                    if observer.ack:
                        await connection.send(observer.acknowledgement())
            observer.closed("end")
        except (websockets.WebSocketException, OSError) as error:
            observer.closed(error)
        await asyncio.sleep(observer.retry_s)


asyncio.run(main())
