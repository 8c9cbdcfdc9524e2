"""The faults: what is done, which row of faults it is, and by when all must be well again."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil
from fake_camera import Close, FakeCamera, Frames, Garbage, Stall, Status
from runs import Run
from waiting import pause

from chaos.ordinary import Ordinary

PREDICT_S = 2.0
"""The deadline of predict in these runs."""


class Scene(NamedTuple):
    """What a fault may touch."""

    run: Run
    folder: Path
    dice: random.Random
    cameras: dict[str, FakeCamera]
    ordinary: Ordinary


class Fault(NamedTuple):
    name: str
    limit_s: float
    """By then every camera brings results to a client again, and every worker is ready."""
    do: Callable[[Scene], None]
    dies: str = ""
    """What is there anew after it, if anything is: worker, pool, gateway or capture, or `camera`:
    connections to those.
    """
    times: int = 1
    """So many of them at least, until it is over."""


def _workers(scene: Scene) -> list[int]:
    return [each.pid for each in scene.run.fresh_state().workers if each.pid]


def _kill(pids: list[int], scene: Scene, number: int = signal.SIGKILL) -> None:
    os.kill(scene.dice.choice(pids), number)


def _gateways(scene: Scene) -> list[int]:
    return [each.pid for each in scene.run.fresh_state().gateways if each.pid]


def _capture(scene: Scene) -> list[int]:
    cameras = scene.run.fresh_state().cameras
    return [facts.pid for name, facts in cameras.items() if name.startswith("demo") and facts.pid]


def _stop_for(pid: int, seconds: float) -> None:
    os.kill(pid, signal.SIGSTOP)
    pause(seconds)
    with contextlib.suppress(ProcessLookupError):  # it was killed for that
        os.kill(pid, signal.SIGCONT)


def _ask(scene: Scene, name: str, times: int = 1) -> None:
    """Have the predictor do it, so many times."""
    for number in range(times):
        (scene.folder / f"{name}.{number}").touch()


def _camera(scene: Scene, *script: object, times: int = 1) -> None:
    camera = scene.cameras[scene.dice.choice(sorted(scene.cameras))]
    camera.next(*script, times=times)  # type: ignore[arg-type]
    camera.drop()


def _poison(scene: Scene) -> None:
    """Two frames of one camera kill: one more would open its circuit for a minute."""
    name = scene.dice.choice(["demo-a", "demo-b"])
    _ask(scene, f"poison.{name}", times=1)


def _hostile(scene: Scene) -> None:
    """Bytes that are no HTTP, frames that are too long, a flood of pings; and who never reads."""
    port = scene.run.port
    kinds = [
        b"\x16\x03\x01\x02\x00" * 50,
        _upgrade(port) + b"\x81\xff" + struct.pack("!Q", 1 << 62),
    ]
    kinds.append(_upgrade(port) + b"\x89\x80\0\0\0\0" * 5000)
    kinds.append(_upgrade(port) + b"\xc1\x80\0\0\0\0")
    threads = [threading.Thread(target=_pour, args=(port, each)) for each in kinds * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _upgrade(port: int) -> bytes:
    return (
        f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def _pour(port: int, data: bytes) -> None:
    with socket.socket() as sock:
        sock.settimeout(2)
        try:
            sock.connect(("127.0.0.1", port))
            sock.sendall(data)
            pause(0.3)  # and read nothing
        except OSError:
            pass  # it was closed on us, as it should be


def _no_descriptors(scene: Scene) -> None:
    """Connections until the gateway has no room for more, then none."""
    socks = []
    for _ in range(300):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", scene.run.port))
        socks.append(sock)
    pause(0.5)
    for sock in socks:
        sock.close()


FAULTS = (
    Fault("worker killed", 2.0, lambda s: _kill(_workers(s), s), "worker"),
    Fault("gateway killed", 3.0, lambda s: _kill(_gateways(s), s), "gateway"),
    Fault("pool killed", 3.0, lambda s: os.kill(s.run.pid_of("pool"), signal.SIGKILL), "pool"),
    Fault("capture killed", 3.0, lambda s: _kill(_capture(s), s), "capture"),
    Fault(
        "worker stopped", PREDICT_S + 4, lambda s: _kill(_workers(s), s, signal.SIGSTOP), "worker"
    ),
    Fault("gateway stopped for 2 s", 5.0, lambda s: _stop_for(s.dice.choice(_gateways(s)), 2.0)),
    Fault("capture stopped for 1 s", 5.0, lambda s: _stop_for(s.dice.choice(_capture(s)), 1.0)),
    Fault("client stopped for 3 s", 5.0, lambda s: _stop_for(s.ordinary.stopped_pid, 3.0)),
    Fault("predict raises", 2.0, lambda s: _ask(s, "raise", 10)),
    Fault("predict hangs", PREDICT_S + 4, lambda s: _ask(s, "hang"), "worker"),
    Fault("predict ends its process", 3.0, lambda s: _ask(s, "exit"), "worker"),
    Fault("a frame that kills its worker", 3.0, _poison, "worker"),
    Fault("camera drops the connection", 5.0, lambda s: _camera(s, Close()), "camera", 2),
    Fault("camera stalls", 8.0, lambda s: _camera(s, Frames(5), Stall(3.0)), "camera", 2),
    Fault("camera answers 404", 8.0, lambda s: _camera(s, Status(404), times=2), "camera", 3),
    Fault("camera sends garbage", 8.0, lambda s: _camera(s, Garbage()), "camera", 2),
    Fault("hostile clients", 3.0, _hostile),
    Fault("300 connections that say nothing", 8.0, _no_descriptors),
)


def resident(pid: int) -> int:
    return int(psutil.Process(pid).memory_info().rss)
