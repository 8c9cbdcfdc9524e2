"""What was promised before, kept to ordinary clients: `every` resumed, the dead that cost nothing.

Every library reads `every` through a proxy that cuts all connections at random, and comes back by
hand with `since`, as docs/protocol.md says. Then ten of a hundred clients never read. And the
client of the README, unchanged: JSON from the first second, nothing to send.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import secrets
import time
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.client_connections import PrintingClient
from benchmarks.clients_accounts import events, results, wrong_accounts
from benchmarks.clients_crowds import small_run
from benchmarks.clients_load import AgedLoad
from benchmarks.clients_programs import LIBRARIES, Client, Clients, Library
from benchmarks.gateway_return import Proxy
from benchmarks.report import Row, percentile, spread
from benchmarks.run import until
from framefan.base import clock

if TYPE_CHECKING:
    from benchmarks.run import Run

CUTS = 6
_CUT_EVERY_S = (0.5, 2.0)
_SETTLE_S = 3.0
_READERS, _STUCK = 90, 10
_PAIRS, _ROUND_S = 3, 4.0
_RISE_MS = 5.0
_STUCK_BUFFER = 4096
_FPS = 30
_USUAL_S, _USUAL_RATE = 8.0, 29.0


def measure() -> list[Row]:
    return [*resumed(), never_read(), usual()]


# ---- every, resumed ------------------------------------------------------------------------------


def _library(library: Library) -> Library:
    """framefan.client wants `delivery` as an argument of connect; others have it in the address."""
    wants = {"delivery": "every"} if library.program == "use_framefan.py" else {}
    return replace(library, options=library.options | wants)


def resumed() -> list[Row]:
    seed = int(os.environ.get("FRAMEFAN_BENCH_SEED") or secrets.randbelow(1 << 31))
    # One that hands results on to a queue of its own comes back for what it still has there.
    used = [
        _library(each) for each in LIBRARIES if not {"queues", "asynchronous"} & each.options.keys()
    ]
    with small_run(fps=_FPS) as run:
        clients = asyncio.run(_cut(run, used, random.Random(seed)))
    return [_resumed_row(client, seed) for client in clients]


async def _cut(run: Run, used: list[Library], chance: random.Random) -> list[Client]:
    proxy = Proxy(int(run.url.rstrip("/").rpartition(":")[2]))
    url = f"ws://127.0.0.1:{await proxy.start()}/ws"
    clients = []
    for each in used:
        query = "" if each.program == "use_framefan.py" else "?delivery=every"
        asked = {"url": url + query, "resume": True, "retry_s": 0.2}
        clients.append(Client(each, asked))
    print(f"  {len(clients)} clients of `every`, cut off {CUTS} times", flush=True)
    with Clients(clients) as together:
        await asyncio.to_thread(together.wait_open)
        await asyncio.sleep(_SETTLE_S)
        for _ in range(CUTS):
            proxy.cut()
            await asyncio.sleep(chance.uniform(*_CUT_EVERY_S))
        await asyncio.sleep(_SETTLE_S)
    proxy.close()
    await asyncio.sleep(_SETTLE_S / 10)  # its connections end by themselves
    return clients


def _resumed_row(client: Client, seed: int) -> Row:
    found = results(client.notes)
    wrong = wrong_accounts(client.notes, resumes=True)
    span = found[-1]["seq"] - found[0]["seq"] + 1 if found else 0
    again = len(events(client.notes, "closed"))
    refused = [note for note in events(client.notes, "resumed") if not note["recovered"]]
    told = f"{len(found)} of {span} results, {len(wrong)} holes or repetitions"
    if wrong:
        told += f" ({wrong[0]})"
    return Row(
        f"{client.library.name}: `every`, cut off {CUTS} times and resumed: each result once",
        "all",
        f"{told}, {len(refused)} not recovered; seed {seed}",
        len(found) == span > 0 and not wrong and not refused and again >= 1,
    )


# ---- ten that never read -------------------------------------------------------------------------


def never_read() -> Row:
    calm: list[float] = []
    beset: list[float] = []
    with small_run(fps=_FPS) as run, AgedLoad() as load:
        port = int(run.url.rstrip("/").rpartition(":")[2])
        load.open("readers", port, _READERS, timed=True)
        time.sleep(1.0)
        for number in range(_PAIRS):
            print(f"  {_STUCK} of {_READERS + _STUCK} never read, {number + 1}", flush=True)
            calm.append(_p99_ms(load))
            load.ask("stick", "stuck", port, _STUCK, _STUCK_BUFFER)
            beset.append(_p99_ms(load))
            load.ask("unstick", "stuck")
    rises = [b - a for a, b in zip(calm, beset, strict=True)]
    return Row(
        f"p99 of {_READERS} beside {_STUCK} that never read",
        f"rises by <= {_RISE_MS:g} ms",
        f"{spread(rises)} ms: {spread(beset)} ms, without them {spread(calm)} ms",
        median(rises) <= _RISE_MS,
    )


def _p99_ms(load: AgedLoad) -> float:
    load.report("readers")
    time.sleep(_ROUND_S)
    return percentile(load.report("readers")["age"], 99) * 1000


# ---- the usual client ----------------------------------------------------------------------------


def usual() -> Row:
    print("  the client of the README", flush=True)
    with small_run(fps=_FPS) as run, PrintingClient(run.websocket) as client:
        until(lambda: client.lines, 20, "the first line of the README's client")
        began = clock.now() + 1.0
        time.sleep(_USUAL_S + 1.0)
        rate = client.rate(began, began + _USUAL_S)
        first = json.loads(client.lines[0][1])
    return Row(
        "the client of the README, unchanged: results a second of 30, its first message",
        f">= {_USUAL_RATE:g}, a result",
        f"{rate:.1f}, a {first['type']}",
        rate >= _USUAL_RATE and first["type"] == "result",
    )
