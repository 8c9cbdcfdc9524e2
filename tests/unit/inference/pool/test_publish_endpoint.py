"""The second endpoint of the bus: who is let in, and that the first one stays as it was.

Each guard can be left out, which shows that its test could fail.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import zmq
from test_publisher import state
from waiting import wait_until
from zmq.utils.monitor import recv_monitor_message

from framefan.ipc import bus
from framefan.settings.run import Keys, Limits, Settings
from framefan.settings.secret import Secret
from framefan.supervisor.publish_listener import PublishListener
from framefan_inference.pool.publish_endpoint import CurveAuth
from framefan_inference.pool.publisher import Publisher

if TYPE_CHECKING:
    from collections.abc import Iterator

_OUT = {
    zmq.Event.HANDSHAKE_FAILED_NO_DETAIL,
    zmq.Event.HANDSHAKE_FAILED_PROTOCOL,
    zmq.Event.HANDSHAKE_FAILED_AUTH,
    zmq.Event.DISCONNECTED,
}
Pair = tuple[bytes, bytes]


@pytest.fixture
def folder() -> Iterator[str]:
    made = tempfile.mkdtemp(prefix="ff-")
    yield made
    shutil.rmtree(made)


class Others:
    """Another program: the context of ours has the doorman in it."""

    def __init__(self) -> None:
        self._context: zmq.Context[Any] = zmq.Context()
        self._readers: list[Reader] = []

    def reader(self, endpoint: str, pair: Pair | None = None, server: bytes = b"") -> Reader:
        self._readers.append(Reader(self._context, endpoint, pair, server))
        return self._readers[-1]

    def close(self) -> None:
        for each in self._readers:
            each.close()
        self._context.term()


@pytest.fixture
def others() -> Iterator[Others]:
    made = Others()
    yield made
    made.close()


class World:
    """A publisher with keys at a second endpoint, and one key that may read there."""

    def __init__(
        self, folder: str, place: str = "tcp://127.0.0.1:0", limits: Limits | None = None
    ) -> None:
        self.server, self.reader = zmq.curve_keypair(), zmq.curve_keypair()
        readers = (self.reader[0].decode(),)
        keys = Keys("keys", Secret(self.server[1].decode()), readers)
        self.outlet = PublishListener(place)
        self.settings = Settings(
            run_dir=folder,
            publish=self.outlet.endpoint,
            publish_keys=keys,
            limits=limits or Limits(),
        )
        self.publisher = Publisher(self.settings, "k3f9", os.dup(self.outlet.fileno()))

    def pump(self) -> bool:
        """A turn of the pool's loop."""
        if self.publisher.doorman:
            self.publisher.doorman.answer()
        return self.publisher.new_subscriptions()

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.publisher.close()
        self.outlet.close()


class Reader:
    def __init__(
        self, context: zmq.Context[Any], endpoint: str, pair: Pair | None, server: bytes
    ) -> None:
        self.socket = context.socket(zmq.SUB)
        self.socket.setsockopt(zmq.RECONNECT_IVL, -1)
        if pair:
            self.socket.curve_publickey, self.socket.curve_secretkey = pair
            self.socket.curve_serverkey = server
        self.socket.subscribe(b"")
        self._monitor = self.socket.get_monitor_socket()
        self.socket.connect(endpoint)
        self.is_in: bool | None = None

    def look(self) -> None:
        """Find out if it was let in, if that is known by now."""
        while self.is_in is None and self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)["event"]
            if event == zmq.Event.HANDSHAKE_SUCCEEDED:
                self.is_in = True
            elif event in _OUT:
                self.is_in = False

    def close(self) -> None:
        self.socket.disable_monitor()
        self._monitor.close()
        self.socket.close(linger=0)


def readers(world: World, others: Others) -> dict[str, Reader]:
    here, there = world.settings.results_endpoint, world.outlet.endpoint
    server, stranger = world.server[0], zmq.curve_keypair()
    return {
        "ours": others.reader(here),
        "ours with keys": others.reader(here, world.reader, server),
        "known": others.reader(there, world.reader, server),
        "unknown": others.reader(there, stranger, server),
        "plain": others.reader(there),
        "for another server": others.reader(there, world.reader, stranger[0]),
    }


def let_in(world: World, asking: dict[str, Reader]) -> set[str]:
    """Who was let in, which is the same as who gets what is published then."""

    def settled() -> bool:
        world.pump()
        for each in asking.values():
            each.look()
        return all(each.is_in is not None for each in asking.values())

    wait_until(settled, 10, "an answer to everybody")
    found = {name for name, each in asking.items() if each.is_in}
    heard: set[str] = set()

    def all_heard() -> bool:
        """Several times: a subscription comes a little behind its handshake."""
        world.pump()
        world.publisher.state(state())
        heard.update(name for name, each in asking.items() if each.socket.poll(1))
        return heard >= found

    wait_until(all_heard, 10, f"something for {found}")
    assert heard == found
    return found


PLACES = ["tcp://127.0.0.1:0", "ipc://{}/place"]


@pytest.mark.parametrize("place", PLACES)
def test_only_known_keys_are_let_in_and_our_own_endpoint_asks_for_none(
    folder: str, others: Others, place: str
) -> None:
    with World(folder, place.format(folder)) as world:
        assert let_in(world, readers(world, others)) == {"ours", "known"}


def test_without_its_list_the_doorman_lets_in_whoever_knows_the_server(
    folder: str, others: Others, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CurveAuth, "_may", lambda *_: True)
    with World(folder) as world:
        assert let_in(world, readers(world, others)) == {"ours", "known", "unknown"}


@pytest.mark.parametrize("enforced", [True, False])
def test_with_the_doorman_gone_nobody_is_let_in(
    folder: str, others: Others, enforced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not enforced:
        monkeypatch.setattr("framefan_inference.pool.publish_endpoint._ENFORCED", 0)
    with World(folder) as world:
        assert world.publisher.doorman is not None
        world.publisher.doorman.close()
        world.publisher.doorman = None
        asking = readers(world, others)
        expected = {"ours"} if enforced else {"ours", "known", "unknown"}
        assert let_in(world, asking) == expected


def test_both_ends_carry_the_same_records(folder: str, others: Others) -> None:
    with World(folder) as world:
        asking = readers(world, others)
        both = asking["ours"].socket, asking["known"].socket
        let_in(world, asking)
        world.publisher.state(state())
        last = world.publisher.n - 1
        seen = []
        for each in both:
            bodies: list[dict[str, Any]] = []
            while not bodies or bodies[-1]["n"] < last:
                assert each.poll(5000)
                bodies.append(msgspec.msgpack.decode(each.recv_multipart()[1]))
            seen.append(bodies)
        common = min(len(bodies) for bodies in seen)
        assert seen[0][-common:] == seen[1][-common:]


def test_the_file_of_the_second_endpoint_stays_for_the_next_pool(
    folder: str, others: Others
) -> None:
    with World(folder, f"ipc://{folder}/place") as world:
        world.publisher.close()
        assert Path(folder, "place").is_socket()
        world.publisher = Publisher(world.settings, "next", os.dup(world.outlet.fileno()))
        assert let_in(world, readers(world, others)) == {"ours", "known"}
    assert not Path(folder, "place").exists()


@pytest.mark.parametrize(("handshake_s", "is_let_go"), [(0.1, True), (60.0, False)])
def test_who_says_nothing_is_let_go(folder: str, handshake_s: float, is_let_go: bool) -> None:
    with World(folder, limits=Limits(handshake_s=handshake_s)) as world:
        host, _, port = world.outlet.endpoint.removeprefix("tcp://").rpartition(":")
        with socket.create_connection((host, int(port)), 5) as silent:
            silent.settimeout(5 if is_let_go else 1)
            try:
                while silent.recv(1000):
                    pass
            except ConnectionResetError:
                gone = True
            except TimeoutError:
                gone = False
            else:
                gone = True
        assert gone == is_let_go


# ---- the doorman, asked directly -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("mechanism", "credentials", "code"),
    [
        (b"NULL", [], b"200"),
        (b"CURVE", [b"k" * 32], b"200"),
        (b"CURVE", [b"u" * 32], b"400"),
        (b"CURVE", [b""], b"400"),
        (b"CURVE", [], b"400"),
        (b"CURVE", [b"k" * 32, b"k" * 32], b"400"),
        (b"PLAIN", [b"admin", b"secret"], b"400"),
        (b"", [], b"400"),
    ],
)
def test_what_the_doorman_says(mechanism: bytes, credentials: list[bytes], code: bytes) -> None:
    from zmq.utils import z85

    doorman = CurveAuth([z85.encode(b"k" * 32).decode()])
    asker = bus.context().socket(zmq.REQ)
    try:
        asker.connect("inproc://zeromq.zap.01")
        asker.send_multipart([b"1.0", b"7", b"framefan", b"10.0.0.9", b"", mechanism, *credentials])
        doorman.answer()
        assert asker.poll(5000)
        answer = asker.recv_multipart()
        assert (len(answer), answer[:3]) == (6, [b"1.0", b"7", code])
    finally:
        asker.close(linger=0)
        doorman.close()
