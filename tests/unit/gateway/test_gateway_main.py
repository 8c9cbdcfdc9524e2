"""The real gateway process, with this test as its supervisor and its pool."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from gateway_fakes import outcome, parts, state
from waiting import pause, wait_until
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from framefan.errors import LinkClosed
from framefan.ipc import bus, links, messages, processes
from framefan.ipc.records import GatewayFacts
from framefan.settings.run import CameraSettings, Limits, Settings
from framefan.settings.secret import SourceText
from framefan_gateway import main

WAIT_S = 15.0


class Surroundings:
    """The supervisor's and the pool's side of one gateway."""

    def __init__(self, run_dir: Path) -> None:
        limits = Limits(stall_s=1.0, state_lost_s=0.5)
        camera = CameraSettings(name="cam", source=SourceText("demo"))
        self.settings = Settings(run_dir=str(run_dir), cameras=(camera,), limits=limits)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.pool = socket.socket(socket.AF_UNIX)
        self.pool.bind(self.settings.path("pool"))
        self.pool.listen()
        self.pool.settimeout(WAIT_S)
        self.publisher = bus.publisher(limits)
        self.publisher.bind(self.settings.results_endpoint)
        self.n = 0
        self.child = self.start()
        self.accept()

    def start(self) -> processes.Child:
        return processes.Child(
            processes.GATEWAY, "1", self.settings, messages.ToSupervisor, self.listener.fileno()
        )

    def accept(self) -> None:
        """Be the pool: take its link, and wait for its subscriptions."""
        self.link: links.Link[Any] = links.Link(self.pool.accept()[0], messages.ToPool)
        hello = self.link.receive(block=True)[0]
        assert isinstance(hello, messages.HelloGateway)
        self.publisher.setsockopt(zmq.RCVTIMEO, int(WAIT_S * 1000))
        topics = {self.publisher.recv()[1:] for _ in range(3)}
        assert topics == {b"result/", b"status/", b"state/"}

    def publish(self, topic: str, record: Any) -> None:
        record.n = self.n
        self.n += 1
        self.publisher.send_multipart(parts(topic, record))

    def result(self, seq: int, **changes: Any) -> None:
        self.publish("result/cam/", outcome(seq, **changes))

    def connect(self) -> ClientConnection:
        return connect(f"ws://127.0.0.1:{self.port}/ws", proxy=None)

    def report(self) -> GatewayFacts:
        return self.link.receive(block=True)[-1].facts

    def get(self, path: str) -> tuple[int, Any]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def link_ended(self) -> bool:
        try:
            self.link.receive(block=True)
        except LinkClosed:
            return True
        return False

    def close(self) -> None:
        self.child.kill()
        self.publisher.close(linger=0)
        for open_socket in (self.listener, self.pool, self.link):
            open_socket.close()


@pytest.fixture
def around(tmp_path: Path) -> Iterator[Surroundings]:
    surroundings = Surroundings(tmp_path)
    yield surroundings
    surroundings.close()


def read(client: ClientConnection) -> Any:
    return json.loads(client.recv(timeout=WAIT_S))


def test_a_plain_client_receives_results(around: Surroundings) -> None:
    with around.connect() as one, around.connect() as two:
        for seq in range(3):
            around.result(seq)
        for client in (one, two):
            assert [read(client)["seq"] for _ in range(3)] == [0, 1, 2]
        with around.connect() as late:
            assert read(late)["seq"] == 2


def test_the_gateway_reports_progress_to_supervisor_and_pool(around: Surroundings) -> None:
    around.child.link.send(messages.Children(1, "", []))
    progress = around.child.link.receive(block=True)[0]
    assert isinstance(progress, messages.Progress)
    with around.connect() as client:
        around.result(0)
        around.result(1)
        read(client)
        around.publisher.send_multipart([b"result/cam/", b"junk"])
        around.n += 5
        around.result(4)

        def reported() -> bool:
            facts = around.report()
            return (facts.clients, facts.sent, facts.foreign, facts.bus_gaps) == (1, 3, 1, 5)

        wait_until(reported)
        facts = around.report()
        assert facts.missed_by == {"bus": 2}
        assert facts.offered == facts.sent + facts.missed


def test_ready_and_status_over_http(around: Surroundings) -> None:
    assert around.get("/readyz")[0] == 503
    assert around.get("/api/status")[0] == 503
    around.publish("state/", state(gateways=[GatewayFacts(id=1)]))
    wait_until(lambda: around.get("/readyz")[0] == 200)
    with around.connect():
        wait_until(lambda: around.get("/api/status")[1]["gateways"][0]["clients"] == 1)
    wait_until(lambda: around.get("/readyz")[0] == 503)  # no state for state_lost_s


def test_a_silent_pool_is_reported_and_a_new_pool_found(around: Surroundings) -> None:
    around.publish("state/", state())
    with around.connect() as client:
        around.result(5)
        assert read(client)["seq"] == 5
        assert read(client) | {"ts": 0} == {
            "type": "status", "v": 1, "ts": 0, "epoch": "k3f9", "subject": "pool",
            "state": "silent", "reason": "no_state", "message": "no news for 0.5 s",
        }  # fmt: skip
        around.link.close()
        around.publisher.close(linger=0)
        around.publisher = bus.publisher(around.settings.limits)
        around.publisher.bind(around.settings.results_endpoint)
        around.accept()
        around.result(1, epoch="new")
        first = read(client)
        assert (first["epoch"], first["seq"], first["missed_by"]) == ("new", 1, {"bus": 1})


@pytest.mark.parametrize("how", ["message", "signal", "end"])
def test_stop_closes_clients_with_1001_and_exits_with_0(around: Surroundings, how: str) -> None:
    with around.connect() as client:
        around.result(0)
        read(client)
        os.kill(around.child.pid, signal.SIGINT)  # a terminal's Ctrl-C: the supervisor's to order
        around.result(1)
        assert read(client)["seq"] == 1
        if how == "message":
            around.publish("state/", state(last=True))
            around.child.link.send(messages.Stop())
        elif how == "signal":
            around.child.terminate()
        else:
            around.child.link.close()
        with pytest.raises(ConnectionClosed) as closed:
            read(client)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
    assert around.child.process.wait(WAIT_S) == 0


def test_when_the_run_ends_clients_get_the_pools_last_words(around: Surroundings) -> None:
    with around.connect() as client:
        around.publish("state/", state())  # as a pool does for each new subscriber
        around.result(0)
        assert read(client)["seq"] == 0
        client.send('{"subscribe": {"delivery": "every"}}')
        assert "subscribe" in read(client)
        around.child.link.send(messages.Stop())
        around.child.terminate()
        for seq in range(1, 31):
            around.result(seq)
            pause()  # the frames in hand take their time
        around.publish("state/", state(last=True))
        assert [read(client)["seq"] for _ in range(30)] == list(range(1, 31))
        with pytest.raises(ConnectionClosed) as closed:
            read(client)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
    assert around.child.process.wait(WAIT_S) == 0


def test_a_pool_that_is_gone_has_no_last_words(around: Surroundings) -> None:
    around.link.close()
    around.pool.close()
    around.child.link.send(messages.Stop())
    assert around.child.process.wait(WAIT_S) == 0


def test_after_a_kill_no_client_is_refused(around: Surroundings) -> None:
    around.child.kill()
    with socket.create_connection(("127.0.0.1", around.port)):  # waits in the held socket
        around.link.close()
        around.child = around.start()
        around.accept()
    with around.connect() as client:
        around.result(3)
        assert read(client)["missed"] == 0


def test_a_gateway_without_its_parent_ends(around: Surroundings) -> None:
    around.child.link.close()
    assert around.child.process.wait(WAIT_S) == 0
    wait_until(around.link_ended)


async def test_an_error_of_the_task_that_subscribes_reaches_the_loop() -> None:
    """There the gateway handles it, and ends. A task's error alone would be kept to itself."""
    found: list[BaseException | None] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: found.append(context.get("exception")))
    error = RuntimeError("no such topic")

    async def fail() -> None:
        raise error

    for work in (fail(), asyncio.sleep(60)):
        task = loop.create_task(work)
        task.add_done_callback(main._raise_error)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await asyncio.sleep(0)
    assert found == [error]
