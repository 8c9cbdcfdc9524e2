"""Hand-off: from "this frame is ready" in capture to the entry of predict in a worker.

A real pool with one real worker, started as the supervisor starts them. This process plays the
supervisor and the captures: three cameras of three sizes, each with a ring of its own, write a
frame, stamp it, send Ready over the Unix socket, and wait until the slot is free again and the
outcome is on the bus; its `started_at` is when predict was entered.

All ways are paced at 30 frames a second: the time to wake sleeping processes is part of what a
live camera sees. They take turns, round after round, so that what else the machine does hits
them alike.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Self

import msgspec
import zmq

from benchmarks import plots, predictors
from benchmarks.peers import ImageZmq, MpQueue, VidGear, ZeroMq, ZeroMqNoCopy
from benchmarks.report import Row, percentile, spread
from benchmarks.run import until
from framefan.base import clock
from framefan.errors import LinkClosed
from framefan.ipc import bus, links
from framefan.ipc.messages import (
    Free,
    HelloCapture,
    Ready,
    RingMade,
    Stop,
    Table,
    ToSupervisor,
    Welcome,
)
from framefan.ipc.processes import POOL, Child
from framefan.ipc.records import OutcomeRecord
from framefan.ipc.ring import RingWriter
from framefan.settings.run import CameraSettings, Settings
from framefan.settings.secret import SourceText
from framefan.supervisor import listen_sockets

if TYPE_CHECKING:
    from collections.abc import Callable

FPS = 30.0
ROUNDS = 12
ROUND_S = 1.25
WARM_UP_S = 0.5
SIZES = {"small": (360, 640), "full": (1080, 1920), "large": (2160, 3840)}
_PATIENCE_MS = 10_000
PEERS = {
    "no copy": ("ZeroMQ zero-copy", ZeroMqNoCopy, 0.3),
    "copy": ("ZeroMQ copying", ZeroMq, None),
    "imagezmq": ("imagezmq", ImageZmq, None),
    "netgear": ("VidGear's NetGear", VidGear, None),
    "queue": ("multiprocessing.Queue", MpQueue, 0.02),
}
"""What each is called, and how much of its time framefan may take, where there is a bar."""


@dataclass(frozen=True)
class Way:
    """`hand_over` one frame and learn the seconds it took; `awake` stands around its turn."""

    hand_over: Callable[[], float]
    awake: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext


Ways = dict[str, Way]
Found = dict[str, list[list[float]]]
"""By way: for each round, the milliseconds of each frame."""


class Inference:
    """A pool and its worker, with this process in the supervisor's place."""

    def __init__(self, folder: str) -> None:
        self.settings = Settings(
            name=f"bench-{os.getpid()}",
            run_dir=folder,
            cameras=tuple(
                CameraSettings(name=name, source=SourceText("demo"), stalled_s=3600)
                for name in SIZES
            ),
            workers=1,
            predictor=predictors.reference("nothing"),
            log_level="warning",
        )
        self._ready = False

    def __enter__(self) -> Self:
        self._listener = listen_sockets.unix(self.settings.path("pool"))
        self.child = Child(POOL, "", self.settings, ToSupervisor, self._listener.fileno())
        until(self._has_worker, 30, "a worker that is ready")
        self.results = bus.subscriber(self.settings.limits, bus.RESULT)
        self.results.connect(self.settings.results_endpoint)
        return self

    def _has_worker(self) -> bool:
        self.listen()
        return self._ready

    def listen(self) -> None:
        """Read what the pool tells its supervisor, so that it never meets a full socket."""
        for message in self.child.link.receive():
            if isinstance(message, Table):
                self._ready |= any(each.state == "ready" for each in message.state.workers)

    def __exit__(self, *_: object) -> None:
        self.results.close()
        with contextlib.suppress(LinkClosed, subprocess.TimeoutExpired):
            self.child.link.send(Stop())
            self.child.process.wait(10)
        self.child.kill()
        self._listener.close()


class Camera:
    """What capture does, less the source: `hand_over` fills a slot and sends it on its way."""

    def __init__(self, inference: Inference, name: str) -> None:
        self._inference = inference
        self._name = name
        self._decoder = msgspec.msgpack.Decoder(OutcomeRecord)
        self.height, self.width = SIZES[name]
        self._link: links.Link[Any] = links.Link(
            links.connect(inference.settings.path("pool")), Welcome | Free
        )
        self._link.send(HelloCapture(name, os.getpid(), 0))
        (welcome,) = self._link.receive(block=True)
        self._ring = RingWriter(1, welcome.slots, self.height * self.width * 3)
        fd = self._ring.share()
        self._link.send(RingMade(1, self._ring.slots, self._ring.slot_bytes), fd)
        os.close(fd)
        self._frame = 0

    def hand_over(self) -> float:
        """Seconds from sending Ready to the entry of predict."""
        slot = self._ring.take()
        assert slot is not None
        self._frame += 1
        self._ring.view(slot, self.height, self.width).fill(self._frame % 256)
        facts = (clock.wall(), self.width, self.height, self._frame, 0, 0)
        captured_at = clock.now()
        self._link.send(Ready(1, slot, self._frame, captured_at, *facts))
        record = self._outcome()
        for message in self._link.receive(block=True):
            for freed in message.slots:
                self._ring.give_back(freed)
        self._inference.listen()
        assert (record.camera, record.frame) == (self._name, self._frame), record
        return record.started_at - captured_at

    def _outcome(self) -> OutcomeRecord:
        if not self._inference.results.poll(_PATIENCE_MS, zmq.POLLIN):
            raise SystemExit("the pool published no outcome")
        _, body = self._inference.results.recv_multipart()
        return self._decoder.decode(body)

    def close(self) -> None:
        self._link.close()
        self._ring.close()


def paced(way: Callable[[], float], seconds: float) -> list[float]:
    """Milliseconds per frame. A way that is slower than the pace misses its turns, as live does."""
    begin = clock.now()
    turn = 1
    taken = []
    while clock.now() - begin < seconds:
        time.sleep(max(0.0, begin + turn / FPS - clock.now()))
        taken.append(way() * 1000)
        turn = max(turn + 1, int((clock.now() - begin) * FPS) + 1)
    return taken


def compare(ways: Ways) -> Found:
    for way in ways.values():
        with way.awake():
            paced(way.hand_over, WARM_UP_S)
    found: Found = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            with way.awake():
                found[name].append(paced(way.hand_over, ROUND_S))
    return found


def measure() -> list[Row]:
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="framefan-bench-"))
        inference = stack.enter_context(Inference(folder))
        ways: Ways = {}
        for name in SIZES:
            camera = Camera(inference, name)
            stack.callback(camera.close)
            ways[name] = Way(camera.hand_over)
        absent = _add_peers(ways, stack, folder)
        found = compare(ways)
    drawn = {f"framefan, {size[1]}x{size[0]}": found[name] for name, size in SIZES.items()}
    drawn |= {f"{PEERS[name][0]}, 1920x1080": found[name] for name in PEERS if name not in absent}
    pictures = {label: _p50s(rounds) for label, rounds in drawn.items()}
    plots.bars("handoff", "capture to predict, p50, ms", pictures, log=True)
    return rows(found, absent)


def _add_peers(ways: Ways, stack: contextlib.ExitStack, folder: str) -> dict[str, str]:
    """Which of them are not here, and why."""
    absent = {}
    for name, (_, kind, _) in PEERS.items():
        try:
            peer = kind((*SIZES["full"], 3), folder)
        except ImportError as error:
            absent[name] = str(error)
            continue
        stack.callback(peer.close)
        ways[name] = Way(peer.hand_over, peer.awake)
    return absent


def rows(found: Found, absent: dict[str, str]) -> list[Row]:
    table = []
    for name, (height, width) in SIZES.items():
        p50s = _p50s(found[name])
        table.append(_row(f"framefan, {width}x{height}", found[name], median(p50s) <= 0.5))
    for name, (title, *_) in PEERS.items():
        label = f"{title}, 1920x1080"
        if name in absent:
            table.append(Row(label, "", f"did not install: {absent[name]}"))
        else:
            table.append(_row(label, found[name]))
    apart = _ratios(found["large"], found["small"])
    table.append(
        Row(
            "3840x2160 over 640x360, p50",
            "0.85 to 1.15",
            spread(apart),
            0.85 <= median(apart) <= 1.15,
        )
    )
    table += [_compared(found, name) for name in PEERS if name not in absent]
    return table


def _compared(found: Found, name: str) -> Row:
    title, _, bar = PEERS[name]
    ratios = _ratios(found["full"], found[name])
    label = f"framefan over {title}, 1920x1080, p50"
    if bar is None:
        return Row(label, "", spread(ratios, 4))
    return Row(label, f"<= {bar}", spread(ratios, 4), median(ratios) <= bar)


def _p50s(rounds: list[list[float]]) -> list[float]:
    return [percentile(taken, 50) for taken in rounds]


def _ratios(one: list[list[float]], other: list[list[float]]) -> list[float]:
    """Round by round: the two were measured seconds apart."""
    return [a / b for a, b in zip(_p50s(one), _p50s(other), strict=True)]


def _row(name: str, rounds: list[list[float]], passed: bool | None = None) -> Row:
    frames = sum(len(taken) for taken in rounds)
    p99 = percentile([ms for taken in rounds for ms in taken], 99)
    measured = f"p50 {spread(_p50s(rounds), 3, ' ms')}, p99 {p99:.2f} ms, {frames} frames"
    return Row(name, "" if passed is None else "p50 <= 0.5 ms", measured, passed)
