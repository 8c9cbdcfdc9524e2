"""A subscriber to a run's bus that keeps every result and every status of the cameras."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import msgspec
import zmq

from framefan.ipc import bus
from framefan.ipc.records import OutcomeRecord, StatusRecord

if TYPE_CHECKING:
    from benchmarks.run import Run


class Listener:
    """Records pile up unread until `drain`: nothing of them is decoded while something is measured.

    Leave it by `with`, before the run ends.
    """

    def __init__(self, run: Run) -> None:
        self._socket = bus.context().socket(zmq.SUB)
        self._socket.setsockopt(zmq.RCVHWM, 0)
        for topic in (bus.RESULT, bus.STATUS):
            self._socket.subscribe(topic)
        self._socket.connect(run.status()["results_endpoint"])
        self._result = msgspec.msgpack.Decoder(OutcomeRecord)
        self._status = msgspec.msgpack.Decoder(StatusRecord)
        self.results: list[OutcomeRecord] = []
        self.statuses: list[StatusRecord] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close(linger=0)

    def drain(self) -> Self:
        """Take in what has arrived so far."""
        while self._socket.poll(0):
            topic, body = self._socket.recv_multipart()
            if topic.startswith(bus.RESULT.encode()):
                self.results.append(self._result.decode(body))
            else:
                self.statuses.append(self._status.decode(body))
        return self

    def states(self, camera: str) -> list[StatusRecord]:
        """What that camera's states were, in order."""
        return [each for each in self.statuses if each.camera == camera]
