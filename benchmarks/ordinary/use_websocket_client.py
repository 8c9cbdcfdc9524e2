"""An ordinary client with `websocket-client`."""

import time

import websocket
from observing import Observer


def main() -> None:
    observer = Observer()

    def on_message(app: websocket.WebSocketApp, text: str) -> None:
        time.sleep(observer.begins(text))
        if observer.ack:
            app.send(observer.acknowledgement())

    while True:
        app = websocket.WebSocketApp(
            observer.url(),
            header=observer.headers(),
            on_open=lambda _: observer.opened(),
            on_message=on_message,
            on_error=lambda _, error: observer.closed(error),
        )
        app.run_forever()
        observer.closed("end")
        time.sleep(observer.retry_s)


main()
