"""An ordinary client with `picows`: its callback handles a result, or puts it into a queue."""

import asyncio
import time

from observing import Observer
from picows import WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

observer = Observer()
queue: asyncio.Queue[tuple[WSTransport, str]] = asyncio.Queue()
queues = observer.options.get("queues", False)


class Listener(WSListener):
    def on_ws_connected(self, transport: WSTransport) -> None:
        observer.opened()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            observer.closed(frame.get_close_code())
            transport.disconnect()
        if frame.msg_type != WSMsgType.TEXT:
            return
        text = frame.get_payload_as_utf8_text()
        if queues:
            queue.put_nowait((transport, text))
            return
        time.sleep(observer.begins(text))
        acknowledge(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        observer.closed("end")


def acknowledge(transport: WSTransport) -> None:
    if observer.ack:
        transport.send(WSMsgType.TEXT, observer.acknowledgement().encode())


async def work_off() -> None:
    while True:
        transport, text = await queue.get()
        await asyncio.sleep(observer.begins(text))
        acknowledge(transport)


async def main() -> None:
    worker = asyncio.create_task(work_off())
    while not worker.done():
        try:
            transport, _ = await ws_connect(Listener, observer.url())
            await transport.wait_disconnected()
        except (WSError, OSError) as error:
            observer.closed(error)
        await asyncio.sleep(observer.retry_s)


asyncio.run(main())
