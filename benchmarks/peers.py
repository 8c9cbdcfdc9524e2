"""Other ways to hand a frame to another process, measured beside framefan's.

Each peer has a receiver process of its own that sleeps until a frame comes, makes it the array a
predictor would get, takes the time and sends that time back. The next frame is not sent before
the time of the one before it is back, so nothing queues up and every way gets its best case.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import zmq

from framefan.base import clock
from framefan.ipc import bus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

    from numpy.typing import NDArray

    Image = NDArray[np.uint8]
    Shape = tuple[int, int, int]

_STAMP = struct.Struct("<d")
_PATIENCE_S = 10.0
_spawn = multiprocessing.get_context("spawn")


class Peer:
    """A sender here and a receiver process; `hand_over` one frame and learn what it took."""

    def __init__(self, shape: Shape, receiver: Callable[..., None], way: Any) -> None:
        self._shape = shape
        self._frame = 0
        self._times, theirs = _spawn.Pipe(duplex=False)
        self._process = _spawn.Process(target=receiver, args=(way, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def send(self, image: Image) -> None:
        raise NotImplementedError

    def hand_over(self) -> float:
        """Seconds from the begin of the sending to the array in the receiver."""
        self._frame += 1
        # A frame just written, as a decoder leaves it; the writing is not part of the time.
        image = np.full(self._shape, self._frame % 256, np.uint8)
        begin = clock.now()
        self.send(image)
        if not self._times.poll(_PATIENCE_S):
            raise SystemExit(f"{type(self).__name__}: the frame never arrived")
        (arrived,) = _STAMP.unpack(self._times.recv_bytes())
        return float(arrived - begin)

    def awake(self) -> contextlib.AbstractContextManager[object]:
        """Around this way's turn. A receiver that sleeps needs no other care."""
        return contextlib.nullcontext()

    def close(self) -> None:
        self._process.kill()
        self._process.join()


class MpQueue(Peer):
    """multiprocessing.Queue, the array put as it is."""

    def __init__(self, shape: Shape, folder: str) -> None:
        self._queue = _spawn.Queue()
        super().__init__(shape, _receive_queue, self._queue)

    def send(self, image: Image) -> None:
        self._queue.put(image)

    def close(self) -> None:
        super().close()
        self._queue.close()
        self._queue.cancel_join_thread()


class ZeroMq(Peer):
    """PUSH and PULL over ipc, the frame's bytes copied on both sides."""

    copy = True

    def __init__(self, shape: Shape, folder: str) -> None:
        endpoint = f"ipc://{folder}/{type(self).__name__}"
        self._socket = bus.context().socket(zmq.PUSH)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(endpoint)
        super().__init__(shape, _receive_zeromq, (endpoint, shape, self.copy))

    def send(self, image: Image) -> None:
        self._socket.send(image, copy=self.copy)

    def close(self) -> None:
        super().close()
        self._socket.close()


class ZeroMqNoCopy(ZeroMq):
    """The same without copies: the library sends from the array, and the receiver's array rests
    on the library's buffer."""

    copy = False


class ImageZmq(Peer):
    """imagezmq in its usual pattern, REQ and REP, over ipc: zero-copy, and a reply for each image.

    Raises ImportError where the package is not installed.
    """

    def __init__(self, shape: Shape, folder: str) -> None:
        from imagezmq import ImageSender

        endpoint = f"ipc://{folder}/{type(self).__name__}"
        self._sender = ImageSender(endpoint)
        self._sender.zmq_socket.setsockopt(zmq.LINGER, 0)
        super().__init__(shape, _receive_imagezmq, endpoint)

    def send(self, image: Image) -> None:
        self._sender.send_image("", image)

    def close(self) -> None:
        super().close()
        self._sender.close()


class VidGear(Peer):
    """VidGear's NetGear in its usual pattern, PAIR, over ipc: zero-copy, and a confirmation for
    each image. Its JPEG, which loses detail and takes longer than all the rest, is off.

    Its receiver never sleeps for long while it looks for images, which would cost every other way
    a part of a core: it is stopped while it is not its turn.

    Raises ImportError where the package is not installed.
    """

    def __init__(self, shape: Shape, folder: str) -> None:
        address = f"{folder}/{type(self).__name__}"
        self._sender = _netgear(address, receive_mode=False)
        super().__init__(shape, _receive_netgear, address)

    def send(self, image: Image) -> None:
        self._sender.send(image)

    @contextlib.contextmanager
    def awake(self) -> Iterator[None]:
        assert self._process.pid
        os.kill(self._process.pid, signal.SIGCONT)
        yield
        os.kill(self._process.pid, signal.SIGSTOP)

    def close(self) -> None:
        with self.awake():  # it takes its leave, for which the sender waits
            self._sender.close()
        super().close()


def _netgear(address: str, receive_mode: bool) -> Any:
    from vidgear.gears import NetGear

    logging.getLogger("Helper").setLevel(logging.CRITICAL)  # it tells that its JPEG is missing
    options = {"jpeg_compression": False, "request_timeout": int(_PATIENCE_S)}
    return NetGear(address, "0", "ipc", receive_mode=receive_mode, **options)


def _receive_queue(queue: Any, times: Connection) -> None:
    while True:
        image = queue.get()
        times.send_bytes(_STAMP.pack(clock.now()))
        del image


def _receive_zeromq(way: tuple[str, Shape, bool], times: Connection) -> None:
    endpoint, shape, copy = way
    sock = bus.context().socket(zmq.PULL)
    sock.connect(endpoint)
    while True:
        image = np.frombuffer(sock.recv(copy=copy), np.uint8).reshape(shape)
        times.send_bytes(_STAMP.pack(clock.now()))
        del image


def _receive_imagezmq(endpoint: str, times: Connection) -> None:
    from imagezmq import ImageHub

    hub = ImageHub(endpoint)
    while True:
        _, image = hub.recv_image()
        times.send_bytes(_STAMP.pack(clock.now()))
        hub.send_reply()
        del image


def _receive_netgear(address: str, times: Connection) -> None:
    receiver = _netgear(address, receive_mode=True)
    while True:
        image = receiver.recv()
        times.send_bytes(_STAMP.pack(clock.now()))
        del image
