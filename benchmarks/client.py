"""The first minute with framefan: how soon results come, and at what rate, from each source.

The client is the README's, in a process of its own, unchanged but for the port. `framefan run` is
started with its defaults: the motion predictor and two workers.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import predictors
from benchmarks.client_connections import PrintingClient, collect
from benchmarks.report import Row, spread
from benchmarks.run import START_S, Run, until
from framefan.base import clock

if TYPE_CHECKING:
    from collections.abc import Iterator

STARTS = 5
WINDOW_S = 5.0
CLIENTS = 3
_SIZE = (1280, 720)
_TESTS = Path(__file__).parent.parent / "tests"


def measure() -> list[Row]:
    rows = [first_result(), readiness()]
    with tempfile.TemporaryDirectory(prefix="framefan-bench-") as folder:
        for name, opened in _sources(Path(folder)):
            with opened as (source, options):
                rows += rates(name, source, options)
    return rows


# ---- row 2: start ----------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def first_result() -> Row:
    taken = [_first_result() for _ in range(STARTS)]
    return Row(
        "first result at a client after the start",
        "<= 3 s",
        f"{spread(taken, unit=' s')}, {STARTS} starts",
        max(taken) <= 3.0,
    )


def _first_result() -> float:
    """The client tries to connect from the first moment, to a port known before."""
    with Run("demo", port=free_port()) as run:
        until(lambda: _connects(run), START_S, "a port that is open")
        received = collect(run.websocket, lambda texts, _: '"type":"result"' in texts[-1])
        return received[-1].at - run.started_at


def _connects(run: Run) -> bool:
    with contextlib.suppress(OSError):
        address = ("127.0.0.1", int(run.url.rsplit(":", 1)[1].rstrip("/")))
        socket.create_connection(address, 1).close()
        return True
    return False


def readiness() -> Row:
    """/readyz, asked all the time, against when the first worker's setup was done."""
    answers: list[tuple[float, int]] = []
    done = threading.Event()
    with tempfile.TemporaryDirectory(prefix="framefan-bench-") as folder:
        stamp = Path(folder, "stamp")
        with Run(
            "demo",
            predictor=predictors.reference("SlowSetup"),
            port=free_port(),
            environment={predictors.STAMP: str(stamp)},
        ) as run:
            asking = threading.Thread(target=_ask, args=(run, answers, done))
            asking.start()
            try:
                run.wait_ready()
            finally:
                done.set()
                asking.join()
            ready_at = float(stamp.read_text())
    early = [code for at, code in answers if at < ready_at]
    refused = sum(code == 503 for code in early)
    wrong = sum(code == 200 for code in early)
    return Row(
        "/readyz says 200 before a worker is ready",
        "never",
        f"{wrong} times; 503 {refused} times",
        wrong == 0 and refused > 0,
    )


def _ask(run: Run, answers: list[tuple[float, int]], done: threading.Event) -> None:
    while not done.wait(0.02):
        code, _ = run.http("readyz")
        answers.append((clock.now(), code))


# ---- row 1: rates ----------------------------------------------------------------------------

Opened = contextlib.AbstractContextManager[tuple[str, tuple[str, ...]]]


def _sources(folder: Path) -> Iterator[tuple[str, Opened]]:
    """Name, and a context that gives the source and its options."""
    sys.path.insert(0, str(_TESTS))
    from fakes_sources import gstreamer_available, make_mp4

    from framefan_capture.sources.scene import Scene

    scene = Scene(*_SIZE, seed=1)
    yield "demo", contextlib.nullcontext(("demo", ()))
    movie = make_mp4(folder / "scene.mp4", scene, 300)
    yield "mp4", contextlib.nullcontext((str(movie), ("--loop",)))
    if gstreamer_available():
        yield "RTSP, H.264", _rtsp()
    else:
        print("no GStreamer here: RTSP is not measured", file=sys.stderr)
    yield "HTTP MJPEG", _mjpeg()


@contextlib.contextmanager
def _rtsp() -> Iterator[tuple[str, tuple[str, ...]]]:
    from fakes_sources import RtspServer

    from framefan_capture.sources.scene import Scene

    with RtspServer(Scene(*_SIZE, seed=1)) as server:
        yield server.url, ()


@contextlib.contextmanager
def _mjpeg() -> Iterator[tuple[str, tuple[str, ...]]]:
    from fakes_sources import MjpegServer

    from framefan_capture.sources.scene import Scene

    with MjpegServer(Scene(*_SIZE, seed=1)) as server:
        yield server.url, ()


def rates(name: str, source: str, options: tuple[str, ...]) -> list[Row]:
    with contextlib.ExitStack() as stack:
        run = stack.enter_context(Run(source, options=options)).wait_ready()
        alone = _clients(stack, run, 1)
        one = _window(alone)
        together = _window(alone + _clients(stack, run, CLIENTS - 1))
    return [
        _rate_row(f"{name}, one client, results a second", one),
        _rate_row(f"{name}, {CLIENTS} clients, each, results a second", together),
    ]


def _clients(stack: contextlib.ExitStack, run: Run, count: int) -> list[PrintingClient]:
    clients = [stack.enter_context(PrintingClient(run.websocket)) for _ in range(count)]
    until(lambda: all(client.lines for client in clients), START_S, "every client's first message")
    return clients


def _window(clients: list[PrintingClient]) -> list[float]:
    begin = clock.now() + 0.5
    threading.Event().wait(0.5 + WINDOW_S)
    return [client.rate(begin, begin + WINDOW_S) for client in clients]


def _rate_row(name: str, found: list[float]) -> Row:
    told = f"{found[0]:.1f}" if len(found) == 1 else spread(found, 1)
    return Row(name, ">= 24", told, min(found) >= 24)
