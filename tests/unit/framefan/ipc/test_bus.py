"""The bus carries messages of a size that ours have, and nothing larger."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import waiting
import zmq
from waiting import wait_until

from framefan.ipc import bus
from framefan.settings.run import Limits

TOO_LARGE = 5 << 20


@pytest.fixture
def subscriber(tmp_path: Path) -> Iterator[zmq.Socket[bytes]]:
    sock = bus.subscriber(Limits(), "")
    sock.bind(f"ipc://{tmp_path}/bus")
    yield sock
    sock.close()


@contextlib.contextmanager
def publisher(subscriber: zmq.Socket[bytes]) -> Iterator[zmq.Socket[bytes]]:
    sock = bus.publisher(Limits())
    sock.connect(subscriber.getsockopt_string(zmq.LAST_ENDPOINT))
    # It subscribes at a connection when it is next asked anything.
    wait_until(lambda: subscriber.poll(0) or sock.poll(10), 5, "its subscription")
    sock.recv()
    try:
        yield sock
    finally:
        sock.close()


def received(subscriber: zmq.Socket[bytes]) -> bytes:
    assert subscriber.poll(5000 * waiting.SCALE), "nothing came"
    return subscriber.recv()


def test_a_message_too_large_is_never_taken_in(subscriber: zmq.Socket[bytes]) -> None:
    with publisher(subscriber) as fine:
        with publisher(subscriber) as other:
            other.send(bytes(TOO_LARGE))
            # Its connection is dropped, and made anew.
            wait_until(lambda: subscriber.poll(0) or other.poll(10), 5, "its end")
        fine.send(b"fine")
        assert len(received(subscriber)) == len(b"fine"), "it was taken in"
