"""Links: whole messages out of any slicing of the bytes, descriptors in order, garbage refused."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framefan.errors import LinkClosed, LinkGarbled
from framefan.ipc import links
from framefan.ipc.messages import Fatal, FromSupervisor, Progress, RingMade, ToPool, ToSupervisor

Pair = tuple[links.Link, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = links.pair()
    link: links.Link = links.Link(ours, ToSupervisor)
    yield link, theirs
    link.close()
    theirs.close()


def encoded(message: msgspec.Struct) -> bytes:
    body = msgspec.msgpack.encode(message)
    return links.LENGTH.pack(len(body)) + body


def drain(link: links.Link) -> list:
    found = []
    while messages := link.receive():
        found += messages
    return found


@given(
    counts=st.lists(st.integers(0, 2**40), max_size=8),
    cuts=st.lists(st.integers(1, 30), min_size=1, max_size=60),
)
def test_messages_arrive_whole_however_the_bytes_are_cut(
    counts: list[int], cuts: list[int]
) -> None:
    ours, theirs = links.pair()
    link: links.Link = links.Link(ours, ToSupervisor)
    stream = b"".join(encoded(Progress(count)) for count in counts)
    got: list[Progress] = []
    while stream:
        size = cuts[len(stream) % len(cuts)]
        theirs.sendall(stream[:size])
        stream = stream[size:]
        got += link.receive()
    link.close()
    theirs.close()
    assert [message.count for message in got] == counts


def test_nothing_there_is_an_empty_list_not_a_wait(pair: Pair) -> None:
    assert pair[0].receive() == []


def test_the_end_of_the_stream_is_closed_after_what_was_said(pair: Pair) -> None:
    link, theirs = pair
    theirs.sendall(encoded(Progress(1)))
    theirs.close()
    assert link.receive() == [Progress(1)]
    with pytest.raises(LinkClosed):
        link.receive()


@pytest.mark.parametrize("end", ["closed", "open"])
def test_a_drain_has_the_last_words_of_a_dead_peer_and_then_its_end(pair: Pair, end: str) -> None:
    """Also behind a read that ends with half a message."""
    link, theirs = pair
    messages = [Fatal(1, "x" * size) for size in (10, 20_000, 5, 9_000, 70)]
    stream = b"".join(map(encoded, messages))
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    theirs.sendall(stream)
    if end != "open":
        theirs.close()
    assert link.drain() == messages
    if end == "open":
        assert link.drain() == []
        theirs.sendall(encoded(Progress(1))[:3])
        assert link.drain() == []
        theirs.sendall(encoded(Progress(1))[3:])
        assert link.drain() == [Progress(1)]
        return
    for _ in range(2):
        with pytest.raises(LinkClosed):
            link.drain()


def test_nothing_follows_half_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    link: links.Link = links.Link(ours, ToSupervisor)
    monkeypatch.setattr(links, "_FINISH_S", 0.05)
    with pytest.raises(LinkClosed):
        link.send(Fatal(1, "x" * 200_000))
    for _ in range(100):  # until all of the half is read
        theirs.recv(1 << 16, socket.MSG_DONTWAIT)
        with pytest.raises(LinkClosed):
            link.offer(Progress(1))
        if not select.select([theirs], [], [], 0)[0] or theirs.recv(1, socket.MSG_PEEK) == b"":
            break
    theirs.close()
    link.close()


@pytest.mark.parametrize(
    "garbage",
    [
        links.LENGTH.pack(links.MESSAGE_BYTES + 1),
        links.LENGTH.pack(4) + b"\xc1\xc1\xc1\xc1",
        links.LENGTH.pack(0),
        encoded(RingMade(1, 2, 3)),  # a message of ours, on a link that never carries it
    ],
)
def test_what_nobody_sends_is_garbled(pair: Pair, garbage: bytes) -> None:
    link, theirs = pair
    theirs.sendall(garbage)
    with pytest.raises(LinkGarbled):
        link.receive()


def test_descriptors_come_with_their_messages_in_order() -> None:
    ours, theirs = links.pair()
    sender: links.Link = links.Link(ours, ToSupervisor)
    receiver: links.Link = links.Link(theirs, ToPool)
    ends = []
    for number in range(5):
        read, write = os.pipe()
        sender.send(RingMade(number, 1, 1), fd=read)
        os.close(read)
        ends.append(write)
    got = []
    while len(got) < 5:
        got += receiver.receive(block=True)
    for message, write in zip(got, ends, strict=True):
        os.write(write, bytes([message.ring]))
        os.close(write)
        fd = receiver.take_fd()
        assert os.read(fd, 9) == bytes([message.ring])
        assert not os.get_inheritable(fd)
        os.close(fd)
    with pytest.raises(LinkGarbled):
        receiver.take_fd()
    sender.close()
    receiver.close()


def test_descriptors_nobody_took_are_closed_with_the_link() -> None:
    ours, theirs = links.pair()
    sender: links.Link = links.Link(ours, ToSupervisor)
    receiver: links.Link = links.Link(theirs, ToPool)
    read, write = os.pipe()
    sender.send(RingMade(1, 1, 1), fd=read)
    os.close(read)
    receiver.receive(block=True)
    receiver.close()
    with pytest.raises(BrokenPipeError):
        os.write(write, b"x")
    os.close(write)
    sender.close()


def test_a_peer_that_stopped_reading_counts_as_closed_and_never_blocks(pair: Pair) -> None:
    link, _ = pair
    while link.offer(Progress(1)):
        pass
    with pytest.raises(LinkClosed):
        link.send(Progress(2))


def test_half_a_message_in_a_full_buffer_is_given_up_after_its_second() -> None:
    ours, theirs = links.pair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    link: links.Link = links.Link(ours, FromSupervisor)
    with pytest.raises(LinkClosed):
        link.send(Fatal(1, "x" * (1 << 19)))
    link.close()
    theirs.close()


def test_a_message_larger_than_the_buffer_arrives_when_it_is_read() -> None:
    import threading

    ours, theirs = links.pair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    link: links.Link = links.Link(ours, FromSupervisor)
    other: links.Link = links.Link(theirs, ToSupervisor)
    text = "x" * (1 << 19)
    got: list = []

    def read() -> None:
        while not got:
            got.extend(other.receive(block=True))

    reader = threading.Thread(target=read)
    reader.start()
    link.send(Fatal(1, text))
    reader.join(10)
    assert got[0].what == text
    link.close()
    other.close()


def test_connecting_to_nobody_is_closed(tmp_path) -> None:
    with pytest.raises(LinkClosed):
        links.connect(str(tmp_path / "nobody"))


def test_sending_to_the_dead_is_closed(pair: Pair) -> None:
    link, theirs = pair
    theirs.close()
    with pytest.raises(LinkClosed):
        link.send(Progress(1))
