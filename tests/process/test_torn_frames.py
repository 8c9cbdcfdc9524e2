"""No frame is read while it is written: frames of one value each, small and many, and kills.

The pool and its workers are real; capture is played by the test, which so can also break the rule
it has to keep: with its guard off the same predictor must find torn frames.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import msgspec
import numpy as np
import psutil
import pytest
from faults import TIMES, limits
from runs import Outcomes, Run, assert_exactly_once
from waiting import wait_until

from framefan.base.clock import now, wall
from framefan.errors import LinkClosed
from framefan.ipc import links, processes
from framefan.ipc.messages import (
    Free,
    HelloCapture,
    Ready,
    RingMade,
    Table,
    ToCapture,
    ToSupervisor,
)
from framefan.ipc.ring import RingWriter
from framefan.settings.run import CameraSettings, Limits, Settings
from framefan.settings.secret import SourceText
from framefan.supervisor import listen_sockets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from framefan.ipc.records import OutcomeRecord, StateRecord
    from framefan.settings.run import Mode

PREDICTOR = f"{Path(__file__).parent / 'torn.py'}:predict"
HEIGHT, WIDTH = 48, 64
QUICK: dict[str, float] = {"restart_first_s": 0.1, "restart_cap_s": 0.1, "circuit_deaths": 0}
# Beside them `bus_hwm` is high: a busy test that reads late must not lose what it counts.
FRAMES: dict[Mode, int] = {"live": 100_000 * TIMES, "every": 10_000 * TIMES}
"""In `live` most are superseded, which is as good a way of reusing slots as any."""
AT_MOST_S = 30 * TIMES
KILL_EVERY_S = 0.5
WORKERS = 2


class PlayedCapture:
    """Capture's side of one camera, as fast as slots allow; unguarded, faster than that."""

    def __init__(self, settings: Settings, guarded: bool = True) -> None:
        self._guarded = guarded
        self.link: links.Link[Any] = links.Link(links.connect(settings.path("pool")), ToCapture)
        self.link.send(HelloCapture("cam", os.getpid(), 0))
        welcome = self.link.receive(block=True)[0]
        self.frames = 0
        self._ring = RingWriter(1, welcome.slots, HEIGHT * WIDTH * 3)
        self._views = [self._ring.view(slot, HEIGHT, WIDTH) for slot in range(welcome.slots)]
        fd = self._ring.share()
        self.link.send(RingMade(1, welcome.slots, self._ring.slot_bytes), fd)
        os.close(fd)

    def write(self) -> None:
        """One frame into a slot: a free one, or with the guard off simply the next one."""
        self._take_back()
        slot = self._ring.take() if self._guarded else self.frames % len(self._views)
        if slot is None:
            select.select([self.link], [], [], 0.01)
            return
        self._views[slot][:] = self.frames % 251
        self.frames += 1
        facts = (now(), wall(), WIDTH, HEIGHT, self.frames, 0, 0)
        self.link.send(Ready(1, slot, self.frames - 1, *facts))

    def _take_back(self) -> None:
        for message in self.link.receive():
            assert isinstance(message, Free)
            for slot in message.slots if self._guarded else ():
                self._ring.give_back(slot)

    @property
    def free(self) -> int:
        self._take_back()
        return self._ring.free

    def close(self) -> None:
        self.link.close()
        self._views.clear()
        self._ring.close()


class Pool:
    """A real pool with real workers, and the test as its supervisor."""

    def __init__(self, folder: Path, mode: Mode) -> None:
        self.settings = Settings(
            run_dir=str(folder),
            cameras=(CameraSettings(name="cam", source=SourceText("demo"), mode=mode),),
            workers=WORKERS,
            predictor=PREDICTOR,
            limits=Limits(**QUICK, restarts=10_000, bus_hwm=1_000_000),
        )
        self._listener = listen_sockets.unix(self.settings.path("pool"))
        self.child = processes.Child(
            processes.POOL, "", self.settings, ToSupervisor, self._listener.fileno()
        )
        self._state: StateRecord | None = None
        self.outcomes = Outcomes(self.settings.results_endpoint)
        self._judged = 0

    def state(self) -> StateRecord | None:
        for message in self.child.link.receive():
            if isinstance(message, Table):
                self._state = message.state
        return self._state

    def ready(self) -> bool:
        state = self.state()
        return bool(state and all(w.state in ("ready", "busy") for w in state.workers))

    def torn(self) -> list[OutcomeRecord]:
        """Outcomes since the last call whose frame changed while it was looked at."""
        new = self.outcomes.read()[self._judged :]
        self._judged += len(new)
        return [each for each in new if each.kind == "value" and _is_torn(each)]

    def kill_a_worker(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            random.choice(psutil.Process(self.child.pid).children()).kill()

    def close(self) -> None:
        self.outcomes.close()
        self.child.terminate()
        with contextlib.suppress(LinkClosed):
            while True:
                self.child.link.receive(block=True)
        assert self.child.process.wait(10) == 0
        self.child.kill()
        self._listener.close()


def _is_torn(outcome: OutcomeRecord) -> bool:
    low, high = msgspec.msgpack.decode(outcome.payload)
    return bool(low != high)


@contextlib.contextmanager
def _pool(folder: Path, mode: Mode) -> Iterator[Pool]:
    with contextlib.closing(Pool(folder, mode)) as pool:
        wait_until(pool.ready, 15, "the workers")
        yield pool


@pytest.mark.timeout(60 + AT_MOST_S)
@pytest.mark.parametrize("mode", FRAMES)
def test_no_frame_is_torn_while_workers_die(mode: Mode, tmp_path: Path) -> None:
    with (
        _pool(tmp_path, mode) as pool,
        contextlib.closing(PlayedCapture(pool.settings)) as capture,
    ):
        began = kill_at = now()
        kills = 0
        while capture.frames < FRAMES[mode] and now() < began + AT_MOST_S:
            for _ in range(200):
                capture.write()
            assert not pool.torn()
            pool.state()
            if now() > kill_at:
                kill_at = now() + KILL_EVERY_S
                pool.kill_a_worker()
                kills += 1
        wait_until(lambda: capture.free == WORKERS + 3, 5, "every slot back")
        wait_until(lambda: pool.state().cameras["cam"].running == 0, 5, "every seq settled")
        assert not pool.torn()
        looked_at = sum(each.kind == "value" for each in pool.outcomes.all)
        print(f"{mode}: {capture.frames} frames, {looked_at} looked at, {kills} kills")
        assert capture.frames > FRAMES[mode] / 10
        assert looked_at > 2000
        assert kills > 5
        assert_exactly_once(pool.outcomes.all)


def test_without_leases_frames_are_torn(tmp_path: Path) -> None:
    """The same predictor, over slots that are written whether they were given back or not."""
    with (
        _pool(tmp_path, "live") as pool,
        contextlib.closing(PlayedCapture(pool.settings, guarded=False)) as capture,
    ):

        def torn() -> bool:
            for _ in range(50):
                capture.write()
            pool.state()
            return bool(pool.torn())

        wait_until(torn, 20, "a torn frame")


def test_no_frame_is_torn_while_capture_pool_and_workers_die(tmp_path: Path) -> None:
    """The real capture process, playing a file of such frames as fast as it can, over and over."""
    video = _video(tmp_path / "plain.mkv")
    quick = limits(**QUICK, restarts=100, state_every_s=0.2, bus_hwm=1_000_000)
    source = (f"cam={video}", "--mode", "live", "--fast", "--loop", "-p", PREDICTOR)
    with Run(*source, env=quick) as run, contextlib.closing(run.results("cam")) as outcomes:
        for stage in ("capture", "worker", "pool", "capture", "worker", "pool"):
            epoch = outcomes.read()[-1].epoch if outcomes.all else ""
            victim = psutil.Process(run.pid_of(stage))
            victim.kill()
            _wait_for_more(run, outcomes, victim, "" if stage != "pool" else epoch)
        seen = [each for each in outcomes.all if each.kind == "value"]
        assert len({msgspec.msgpack.decode(each.payload)[0] for each in seen}) > 100, "one picture"
        assert not [each for each in seen if _is_torn(each)]
        assert len({each.epoch for each in seen}) == 3
        frames = [each.frame for each in seen]
        assert frames == sorted(set(frames)), "a frame came twice or not in order"
        assert_exactly_once(outcomes.all)


def _wait_for_more(run: Run, outcomes: Outcomes, victim: psutil.Process, old_epoch: str) -> None:
    """Results that were made after the death, in a new epoch if the pool was the victim."""
    wait_until(lambda: not victim.is_running(), 5, "the death")
    start = len(outcomes.read())

    def fresh() -> int:
        return sum(each.epoch != old_epoch for each in outcomes.read()[start:])

    wait_until(lambda: fresh() > 200, 5, "results again")
    wait_until(lambda: all(w.pid for w in run.fresh_state().workers), 5, "workers")


def _video(path: Path) -> Path:
    """Without loss: a lossy codec may decode one grey to three slightly different values."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FFV1"), 30, (WIDTH, HEIGHT))
    for frame in range(2000):
        writer.write(np.full((HEIGHT, WIDTH, 3), frame % 251, np.uint8))
    writer.release()
    return path
