"""An ordinary client with `websockets` and threads."""

import time

from observing import Observer
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect


def main() -> None:
    observer = Observer()
    options = observer.options | {"additional_headers": observer.headers()}
    while True:
        try:
            with connect(observer.url(), **options) as connection:
                observer.opened()
                for text in connection:
                    time.sleep(observer.begins(text))
                    if observer.ack:
                        connection.send(observer.acknowledgement())
            observer.closed("end")
        except (WebSocketException, OSError) as error:
            observer.closed(error)
        time.sleep(observer.retry_s)


main()
