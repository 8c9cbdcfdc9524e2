"""A real gateway process and its surroundings: the bus, with this process as pool and supervisor.

The gateway is started as the supervisor starts it and reads the records that a pool publishes. The
same publisher hands finished texts to the other ways of gateway_ways.py.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec
import zmq

from benchmarks.run import until
from framefan.base import clock
from framefan.errors import LinkClosed
from framefan.ipc import bus, links, messages, processes
from framefan.ipc.records import Detection, GatewayFacts, OutcomeRecord
from framefan.settings.run import CameraSettings, Settings
from framefan.settings.secret import SourceText
from framefan_gateway.delivery.accounts import NOTHING
from framefan_gateway.delivery.wire import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

EPOCH = "be4c5f0a"
_START_S = 20.0
_THING = Detection("person", 0.91, (10.5, 20.2, 110.0, 220.5), class_id=0)
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def payload(things: int = 1) -> msgspec.Raw:
    return msgspec.Raw(msgspec.msgpack.encode([_THING] * things))


ONE_THING = payload()


@functools.cache
def cores() -> tuple[int, int]:
    """Where the senders run, and where the load does; as it was at the first call."""
    found = sorted(os.sched_getaffinity(0))
    return found[0], found[-1]


class Publisher:
    """The pool's end of the bus. Every record has a `frame` number of its own, whose time of
    publishing is kept."""

    def __init__(self, settings: Settings) -> None:
        self._socket = bus.publisher(settings.limits)
        self._socket.bind(settings.results_endpoint)
        self._texts = bus.publisher(settings.limits)
        self.texts_endpoint = f"ipc://{settings.run_dir}/texts"
        self._texts.bind(self.texts_endpoint)
        self.n = 0
        self.frame = 0
        self.times: list[float] = []
        """By frame number."""
        self.seqs: dict[str, int] = {}

    def subscribed(self, topics: int, peers: bool = False) -> None:
        """Wait for so many subscriptions, of the gateway or of one of the peers."""
        sock = self._texts if peers else self._socket
        for _ in range(topics):
            if not sock.poll(int(_START_S * 1000), zmq.POLLIN):
                raise SystemExit("nobody subscribes to the bus")
            sock.recv()

    def record(self, camera: str, kind: Any = "detections", **changes: Any) -> OutcomeRecord:
        """The next record of a camera, as if its predict had returned right now."""
        now = clock.now()
        seq = self.seqs.get(camera, 0)
        self.seqs[camera] = seq + 1
        facts: dict[str, Any] = {
            "epoch": EPOCH, "n": self.n, "kind": kind, "camera": camera, "seq": seq,
            "frame": self.frame, "ts": clock.wall(), "captured_at": now - 0.017,
            "started_at": now - 0.014, "finished_at": now, "width": 1280, "height": 720,
            "model": "motion", "worker": 2, "payload": ONE_THING,
        }  # fmt: skip
        self.n += 1
        self.frame += 1
        self.times.append(now)
        return OutcomeRecord(**(facts | changes))

    def send(self, record: OutcomeRecord) -> None:
        topic = f"{bus.RESULT}{record.camera}/".encode()
        self._socket.send_multipart((topic, msgspec.msgpack.encode(record)))

    def send_text(self, way: str, record: OutcomeRecord) -> None:
        """To a peer: the text that the gateway would make of this record."""
        text = Outcome(record).body("json", NOTHING, clock.now()).data
        self._texts.send_multipart((f"{way}/".encode(), text))

    def close(self) -> None:
        self._socket.close(linger=0)
        self._texts.close(linger=0)


class Gateway:
    """One gateway process. Its reports are those that it sends its pool."""

    def __init__(self, folder: str, cameras: list[str], **limits: Any) -> None:
        Path(folder).mkdir(exist_ok=True)
        self.settings = Settings(
            name="bench",
            run_dir=folder,
            cameras=tuple(CameraSettings(name=name, source=SourceText("demo")) for name in cameras),
            log_level="warning",
        )
        if limits:
            changed = msgspec.structs.replace(self.settings.limits, **limits)
            self.settings = msgspec.structs.replace(self.settings, limits=changed)

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self._listener.getsockname()[1]
        self._pool = socket.socket(socket.AF_UNIX)
        self._pool.bind(self.settings.path("pool"))
        self._pool.listen()
        self._pool.settimeout(_START_S)
        self.publisher = Publisher(self.settings)
        self.child = processes.Child(
            processes.GATEWAY, "1", self.settings, messages.ToSupervisor, self._listener.fileno()
        )
        os.sched_setaffinity(self.pid, {cores()[0]})
        try:
            self._link: links.Link[Any] = links.Link(self._pool.accept()[0], messages.ToPool)
        except TimeoutError:
            raise SystemExit("the gateway did not start") from None
        self.publisher.subscribed(3)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(LinkClosed, subprocess.TimeoutExpired):
            self.child.link.send(messages.Stop())
            self.child.process.wait(10)
        self.child.kill()
        self.publisher.close()
        for each in (self._link, self._listener, self._pool):
            each.close()

    @property
    def pid(self) -> int:
        return self.child.pid

    def news(self) -> list[GatewayFacts]:
        """The reports since the last look, one a second."""
        self.child.link.receive()
        return [each.facts for each in self._link.receive() if hasattr(each, "facts")]

    def facts(self) -> GatewayFacts:
        """A report that is made after this call."""
        until(lambda: not self.news(), _START_S, "an end of old reports")
        found: list[GatewayFacts] = until(self.news, _START_S, "a report of the gateway")
        return found[-1]

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            return msgspec.json.decode(answer.read())


def memory(pid: int) -> int:
    """Resident bytes of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES


def descriptors(pid: int) -> int:
    """How many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def pace(
    seconds: float,
    cameras: list[str],
    fps: float,
    send: Callable[[str], None],
    idle: Callable[[], object] = lambda: None,
) -> None:
    """Call `send` for each camera `fps` times a second, the cameras spread evenly over a period;
    `idle` between two of them where there is time."""
    step = 1 / fps / len(cameras)
    begin = clock.now()
    for turn in range(round(seconds * fps) * len(cameras)):
        due = begin + turn * step
        if clock.now() < due:
            idle()
            time.sleep(max(0.0, due - clock.now()))
        send(cameras[turn % len(cameras)])
