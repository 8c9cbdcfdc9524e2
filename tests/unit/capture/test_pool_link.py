"""The feed's side of the link, against a socket that this test answers."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from framefan.base import host
from framefan.errors import RingTooLarge
from framefan.ipc import links
from framefan.ipc.messages import HelloCapture, ToPool, Welcome
from framefan_capture.pool_link import RETRY_S, PoolLink


def accept(listener: socket.socket) -> tuple[links.Link[ToPool], HelloCapture]:
    link: links.Link[ToPool] = links.Link(listener.accept()[0], ToPool)
    (hello,) = link.receive(block=True)
    assert isinstance(hello, HelloCapture)
    return link, hello


def test_a_new_pool_is_told_what_the_first_one_knew(tmp_path: Path) -> None:
    feed = PoolLink(str(tmp_path / "pool"), "cam")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(tmp_path / "pool"))
        listener.listen()
        feed.connect(0.0)
        link, hello = accept(listener)
        assert (hello.frame, hello.began) == (0, 0)
        link.send(Welcome("e1", 500, 5, began=300))
        assert feed.receive()
        link.close()
        assert not feed.receive()
        feed.connect(2 * RETRY_S)
        link, hello = accept(listener)
        assert (hello.frame, hello.began) == (500, 300)
        link.close()
    feed.close()


def test_a_ring_that_cannot_be_shared_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_descriptor(fd: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(host, "read_only", no_descriptor)
    feed = PoolLink(str(tmp_path / "pool"), "cam")
    feed._slots = 2
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(RingTooLarge):
            feed.place(32, 24, None)
    assert len(os.listdir("/proc/self/fd")) == before
    assert not feed.has_ring
