"""An ordinary client with `aiohttp`."""

import asyncio

import aiohttp
from observing import Observer


async def main() -> None:
    observer = Observer()
    async with aiohttp.ClientSession(headers=observer.headers()) as session:
        while True:
            try:
                async with session.ws_connect(observer.url()) as connection:
                    observer.opened()
                    async for each in connection:
                        if each.type == aiohttp.WSMsgType.TEXT:
                            await asyncio.sleep(observer.begins(each.data))
                            if observer.ack:
                                await connection.send_str(observer.acknowledgement())
                    observer.closed((connection.close_code, connection.exception()))
            except (aiohttp.ClientError, OSError) as error:
                observer.closed(error)
            await asyncio.sleep(observer.retry_s)


asyncio.run(main())
