"""Ordinary clients far away: on a true line of long round trips, and behind nginx.

The true line is a network namespace behind a device that delays every packet, so that the kernel on
either side sees the round trip. Behind nginx it does not: a proxy between client and nginx delays,
and the gateway's kernel talks to nginx next door. On each way every client joins, and stands still
for 0.3, 0.6 and 1 s, as a program does that computes something on its event loop.
"""

from __future__ import annotations

import contextlib
import secrets
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import predictors
from benchmarks.clients_accounts import ages, back_after, events
from benchmarks.clients_handlers import Way, accounts, cut, seconds, source
from benchmarks.clients_programs import BY_NAME, Client, Clients
from benchmarks.delaying_proxy import DelayingProxy, Nginx
from benchmarks.far_line import FarLine
from benchmarks.report import Row, percentile
from benchmarks.run import Run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FPS = 30
RTTS_MS = (50, 120, 200, 400)
PAUSES = ((9.0, 0.3), (18.0, 0.6), (27.0, 1.0))
"""After so many seconds, for so long."""
_WATCHED_S = 37.0
BACK_S = 4.0
_AGE_S = 0.05
_HERE = "198.18.0.1"
"""Of the addresses that RFC 2544 sets aside for benchmarks."""
USED = (
    Way(BY_NAME["websockets"], None),
    Way(BY_NAME["websockets"], "auto"),
    Way(BY_NAME["framefan.client"], "auto"),
)


def measure(rtts_ms: Sequence[int] = RTTS_MS) -> list[Row]:
    return [*true_lines(rtts_ms), *behind_nginx(rtts_ms)]


def true_lines(rtts_ms: Sequence[int] = RTTS_MS) -> list[Row]:
    with contextlib.ExitStack() as stack:
        lines = [
            stack.enter_context(FarLine(n, _HERE, f"198.18.0.{2 + n}", rtt / 2000))
            for n, rtt in enumerate(rtts_ms)
        ]
        run, token = stack.enter_context(_run_with_token(_HERE))
        clients = [
            Client(
                way.library,
                {"url": run.websocket, "token": token, "ack": way.ack, "pauses": PAUSES},
                {"way": way, "rtt_s": 2 * line.one_way_s},
                line.enter,
            )
            for line in lines
            for way in USED
        ]
        return _watch("true line", clients)


@contextlib.contextmanager
def _run_with_token(host: str) -> Iterator[tuple[Run, str]]:
    token = secrets.token_urlsafe()
    with tempfile.TemporaryDirectory(prefix="framefan-bench-") as folder:
        path = Path(folder, "token")
        path.touch(0o600)
        path.write_text(token)
        options = ("--host", host, "--token-file", str(path))
        predictor = predictors.reference("blob_200")
        with Run(source(FPS), predictor=predictor, workers=1, options=options) as run:
            yield run.wait_ready(), token


def behind_nginx(rtts_ms: Sequence[int] = RTTS_MS) -> list[Row]:
    with contextlib.ExitStack() as stack:
        predictor = predictors.reference("blob_200")
        run = stack.enter_context(Run(source(FPS), predictor=predictor, workers=1))
        run.wait_ready()
        port = int(run.url.rstrip("/").rpartition(":")[2])
        nginx = stack.enter_context(Nginx(port))
        delays = [rtt / 2000 for rtt in rtts_ms]
        proxy = stack.enter_context(DelayingProxy(nginx.port, delays))
        clients = [
            Client(
                way.library,
                {"url": f"ws://127.0.0.1:{port}/ws", "ack": way.ack, "pauses": PAUSES},
                {"way": way, "rtt_s": 2 * delay},
            )
            for port, delay in zip(proxy.ports, delays, strict=True)
            for way in USED
        ]
        return _watch("nginx", clients)


def _watch(line: str, clients: list[Client]) -> list[Row]:
    with Clients(clients) as together:
        together.wait_open()
        print(f"  {len(clients)} clients far away beside each other: {line}", flush=True)
        time.sleep(_WATCHED_S)
    return [
        *(row for way in USED for row in _rows(line, way, clients)),
        cut(f"{line}: of {len(clients)} clients, cut", clients),
        accounts(f"{line}: results after a hole that `missed` does not tell", clients),
    ]


def _rows(line: str, way: Way, clients: Sequence[Client]) -> list[Row]:
    mine = [client for client in clients if client.facts["way"] == way]
    rtts = ", ".join(f"{client.facts['rtt_s'] * 1000:.0f}" for client in mine)
    backs = [_back(client) for client in mine]
    whole = all(took is not None and took <= BACK_S for found in backs for took in found)
    waits = ["/".join(seconds(each, "") for each in found) for found in backs]
    settled = [_settled(client) or [float("inf")] for client in mine]
    middles = [percentile(each, 50) for each in settled]
    fresh = [
        middle <= client.facts["rtt_s"] / 2 + _AGE_S
        for client, middle in zip(mine, middles, strict=True)
    ]
    pauses = "/".join(f"{pause:g}" for _, pause in PAUSES)
    name = f"{line}, RTT {rtts} ms, {way.name}"
    return [
        Row(
            f"{name}: {FPS}/s after joining/a pause of {pauses} s",
            f"<= {BACK_S:g} s",
            ", ".join(waits) + " s",
            whole,
        ),
        Row(
            f"{name}: age, p50",
            f"<= RTT/2 + {_AGE_S * 1000:.0f} ms",
            ", ".join(f"{middle * 1000:.0f}" for middle in middles) + " ms",
            all(fresh),
        ),
    ]


def _moments(client: Client) -> list[float]:
    """When it joined, and when each pause was over."""
    return [client.opened_at, *(note["at"] for note in events(client.notes, "paused"))]


def _back(client: Client) -> list[float | None]:
    found = [back_after(client.notes, at, FPS) for at in _moments(client)]
    return found + [None] * (1 + len(PAUSES) - len(found))


def _settled(client: Client) -> list[float]:
    """The ages of all that came outside of the time that it has to come back."""
    found: list[float] = []
    for begin, (pause_at, _) in zip(_moments(client), (*PAUSES, (_WATCHED_S, 0.0)), strict=False):
        found += ages(client.notes, begin + BACK_S, client.opened_at + pause_at)
    return found
