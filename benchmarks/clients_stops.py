"""Clients that are stopped as a debugger stops them, and clients on a line of few bytes a second.

All clients of all libraries run beside each other on one run of framefan; each is stopped by
SIGSTOP once, for 4, 10 or 30 s. The narrow ones take so many bytes a second off their socket, and
no more.
"""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING, Any

from benchmarks import predictors
from benchmarks.client_connections import SlowReader
from benchmarks.clients_accounts import age, missed, results
from benchmarks.clients_handlers import accounts, beside_each_other, cut, ways
from benchmarks.clients_programs import CHROMIUM, Client
from benchmarks.report import Row, percentile
from benchmarks.run import Run
from framefan.base import clock

if TYPE_CHECKING:
    from collections.abc import Sequence

FPS = 10
STOPS_S = (4.0, 10.0, 30.0)
NEW_WITHIN_S = 1.0
_BEFORE_S = 4.0
_AFTER_S = 6.0
_TOLD = 0.8
"""Of what came while it was stopped, so much at least was missed: the rest it may have had."""
KIB_PER_S = (1, 5, 20)
_NARROW_FPS = 200
_NARROW_S = 25.0
_BEYOND_S = 1.5
_HEAD_BYTES = 4


def measure() -> list[Row]:
    return [*stopped(), *narrow()]


def stopped(stops_s: Sequence[float] = STOPS_S) -> list[Row]:
    # A stopped browser stops its pages' clocks in ways of its own; its page is among the handlers.
    used = [way for way in ways() if way.library is not CHROMIUM]
    clients = [
        Client(way.library, {"ack": way.ack}, {"way": way, "stop_s": stop_s})
        for way in used
        for stop_s in stops_s
    ]
    beside_each_other(FPS, clients, 0.0, lambda clients, _: _stop(clients))
    return [
        *(
            _row(ack, stop_s, [each for each in clients if bool(each.ack) == ack])
            for ack in (True, False)
            for stop_s in stops_s
            if any(bool(each.ack) == ack for each in clients)
        ),
        cut(f"of {len(clients)} clients stopped for up to {max(stops_s):g} s, cut", clients),
        accounts("the same: results after a hole that `missed` does not tell", clients),
    ]


def _stop(clients: Sequence[Client]) -> None:
    """Stop all at once, and let each go on when its time is over."""
    time.sleep(_BEFORE_S)
    for client in clients:
        assert client.process is not None
        client.process.signal(signal.SIGSTOP)
        client.facts["stopped_at"] = clock.now()
    try:
        for client in sorted(clients, key=lambda each: float(each.facts["stop_s"])):
            due = client.facts["stopped_at"] + client.facts["stop_s"]
            time.sleep(max(0.0, due - clock.now()))
            _go_on(client)
    finally:
        for client in clients:
            _go_on(client)
    time.sleep(_AFTER_S)


def _go_on(client: Client) -> None:
    if client.process and "went_on_at" not in client.facts:
        client.facts["went_on_at"] = clock.now()
        client.process.signal(signal.SIGCONT)


def _row(ack: bool, stop_s: float, clients: Sequence[Client]) -> Row:
    mine = [each for each in clients if each.facts["stop_s"] == stop_s]
    oldest = {each.facts["way"].name: _oldest(each, NEW_WITHIN_S) for each in mine}
    first = max(_oldest(each, 0.0) for each in mine)
    # The account of a stop is told within the first second after it.
    gone = [
        missed(each.notes, each.facts["stopped_at"], each.facts["went_on_at"] + NEW_WITHIN_S)
        for each in mine
    ]
    worst = max(oldest, key=lambda name: oldest[name])
    due = FPS * stop_s
    good = oldest[worst] <= NEW_WITHIN_S and min(gone) >= _TOLD * due
    return Row(
        f"{'with' if ack else 'without'} ack, stopped for {stop_s:g} s at {FPS}/s: oldest result "
        f"from {NEW_WITHIN_S:g} s after, and missed",
        f"<= {NEW_WITHIN_S:g} s, >= {_TOLD:.0%}" if ack else "",
        f"{oldest[worst]:.2f} s, {worst}, of {len(mine)}; {min(gone)} to {max(gone)} of {due:.0f} "
        f"missed; in the first {NEW_WITHIN_S:g} s {first:.1f} s",
        good if ack else None,
    )


def _oldest(client: Client, after_s: float) -> float:
    """The oldest result that it handled, from so long after it went on."""
    found = results(client.notes, client.facts["went_on_at"] + after_s)
    return max((age(each) for each in found), default=float("inf"))


def narrow(kib: Sequence[int] = KIB_PER_S, watched_s: float = _NARROW_S) -> list[Row]:
    """All of them read at the same time, in threads of this process."""
    buffers: dict[str, int] = {"default receive buffer": 0, "receive buffer of 4 KiB": 4096}
    source = f"demo?size=320x180&fps={_NARROW_FPS}"
    with Run(source, predictor=predictors.reference("blob_200")) as run:
        run.wait_ready()
        size = _message_bytes(run)
        readers = {
            (each, name): SlowReader(run.websocket, each * 1024, receive_buffer=buffer)
            for each in kib
            for name, buffer in buffers.items()
        }
        print(f"  {len(readers)} readers of a few bytes a second", flush=True)
        threads = [
            threading.Thread(target=each.read, args=(watched_s,)) for each in readers.values()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return [_narrow_row(*key, reader, size) for key, reader in readers.items()]


def _message_bytes(run: Run) -> int:
    from benchmarks.client_connections import collect

    found: list[Any] = collect(run.websocket, lambda texts, _: len(texts) >= 10)
    return max(len(str(each.message)) for each in found) + _HEAD_BYTES


def _narrow_row(kib: int, name: str, reader: SlowReader, size: int) -> Row:
    needs = size / (kib * 1024)
    oldest = max(reader.ages[1:], default=float("inf"))
    told = f"{oldest:.2f} s, {len(reader.ages)} read, {reader.missed} missed"
    if reader.ages:
        told += f", p50 {percentile(reader.ages, 50):.2f} s"
    return Row(
        f"{kib} KiB/s of {_NARROW_FPS} results/s, {name}: oldest result read",
        f"<= {_BEYOND_S:g} s + {needs:.2f} s",
        told + (f"; ended early: {reader.closed}" if reader.closed else ""),
        oldest <= _BEYOND_S + needs and not reader.closed,
    )
