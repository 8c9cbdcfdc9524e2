"""Pictures that nobody takes: a gateway that stands still while its clients watch."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec
import psutil
import pytest
from faults import limits, sabotage
from runs import Run, assert_balanced, assert_exactly_once
from waiting import wait_until
from websockets.sync.client import connect

from framefan.ipc import bus
from framefan.settings.run import Limits

if TYPE_CHECKING:
    from pathlib import Path

    import zmq

NOISE = """
import time
import numpy as np
def frames():
    images = [np.random.default_rng(n).integers(0, 255, (720, 1280, 3), np.uint8) for n in (1, 2)]
    while True:
        for each in images:
            yield each
            time.sleep(0.08)
"""
ANSWERS = "def predict(image):\n    return {}\n"
UNBOUNDED = """
from framefan.ipc import bus
bus.PICTURE_QUEUES = tuple(each._replace(hwm=10_000) for each in bus.PICTURE_QUEUES)
"""
MISSED = 60
"""Pictures of half a megabyte that the gateway does not take."""
MAY_GROW = 16 << 20


def _reader(run: Run) -> zmq.Socket[bytes]:
    """Takes whatever comes of the same pictures."""
    roomy = msgspec.structs.replace(Limits(), bus_hwm=100_000)
    sock = bus.subscriber(roomy, "preview/cam/1280/")
    for endpoint in run.fresh_state().picture_endpoints:
        sock.connect(endpoint)
    return sock


@pytest.mark.parametrize("is_bounded", [True, False], ids=["bounded", "unbounded"])
def test_a_gateway_that_hangs_costs_few_pictures_and_no_other_reader_any(
    tmp_path: Path, is_bounded: bool
) -> None:
    (tmp_path / "noise.py").write_text(NOISE)
    (tmp_path / "answers.py").write_text(ANSWERS)
    env = limits(state_every_s=0.1)
    if not is_bounded:
        env |= sabotage(tmp_path, "framefan_inference.main", UNBOUNDED)
    given = f"cam=py:{tmp_path}/noise.py:frames", "-p", f"{tmp_path}/answers.py:predict"
    with Run(*given, env=env) as run, contextlib.closing(run.results()) as outcomes:
        pool, gateway = (psutil.Process(run.pid_of(each)) for each in ("pool", "gateway"))
        with (
            connect(f"{run.ws}?preview=1280", proxy=None, max_size=None) as client,
            contextlib.closing(_reader(run)) as reader,
        ):
            while isinstance(client.recv(timeout=10), str):
                pass
            before, pictures, sizes = pool.memory_info().rss, 0, set()
            gateway.suspend()
            try:
                first = len(outcomes.read())

                def take() -> bool:
                    nonlocal pictures
                    while reader.poll(0):
                        sizes.add(len(reader.recv_multipart()[1]))
                        pictures += 1
                    return len(outcomes.read()) - first > MISSED

                wait_until(take, 20, "results")
                grown = pool.memory_info().rss - before
            finally:
                gateway.resume()
            print(grown / 2**20, pictures, sizes)
            assert min(sizes) > 400_000, "these pictures are no load"
            assert pictures > MISSED - 10, "another reader lost pictures"
            assert_exactly_once(outcomes.all)
            assert (grown < MAY_GROW) is is_bounded, grown
            pictures = 0
            while pictures < 20:
                pictures += not isinstance(client.recv(timeout=10), str)
        assert_balanced(run.fresh_state())
