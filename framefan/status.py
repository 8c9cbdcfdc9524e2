"""`framefan status`: one look at a run's state table, taken from its bus."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import msgspec

from framefan import clock, rundir
from framefan.errors import RunError
from framefan.records import StateRecord
from framefan.settings import Limits, Settings, run_dir

if TYPE_CHECKING:
    from rich.table import Table

DEADLINE_S = 2.0

_CAMERAS = "Cameras"


def show(name: str | None, as_json: bool) -> int:
    """Print it. Raises RunError when no such run answers, UsageError for an impossible name."""
    state = fetch(rundir.meant(name, "framefan status"))
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(state)).decode() + "\n")
    else:
        _print(state)
    return 0


def fetch(name: str, deadline_s: float = DEADLINE_S) -> StateRecord:
    """The state of the run of that name; the pool answers a new subscription at once."""
    path = run_dir(name)
    if not rundir.is_running(path):
        raise rundir.not_running(name)
    settings = Settings(name=name, run_dir=str(path))
    state = _receive(settings.results_endpoint, deadline_s)
    if state is None:
        raise RunError(
            f'the run "{name}" (pid {rundir.holder(path)}) did not answer within {deadline_s:g} s',
            "it is starting, or its pool is",
            "try again; its log says more",
        )
    return state


def _receive(endpoint: str, deadline_s: float) -> StateRecord | None:
    from framefan import bus

    deadline = clock.now() + deadline_s
    sock = bus.subscriber(Limits(), bus.STATE)
    sock.connect(endpoint)
    try:
        while (left := deadline - clock.now()) > 0:
            if not sock.poll(int(left * 1000) + 1):
                return None
            parts = sock.recv_multipart()
            try:
                return msgspec.msgpack.decode(parts[-1], type=StateRecord)
            except msgspec.MsgspecError:  # not of our version: a later message may be
                continue
        return None
    finally:
        sock.close()


def _print(state: StateRecord) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    console.print(
        f"framefan {escape(state.name)}  {escape(state.url)}"
        f"  supervisor {state.supervisor.pid}  pool {state.pool.pid}  epoch {escape(state.epoch)}",
        soft_wrap=True,
    )
    if state.publish_endpoint:
        console.print(f"published at {escape(state.publish_endpoint)}", soft_wrap=True)
    for table in (_cameras(state), _workers(state), _gateways(state)):
        console.print()
        console.print(table)
        if table.title == _CAMERAS:
            for line in troubles(state):
                console.print(line, markup=False, soft_wrap=True)


def troubles(state: StateRecord) -> list[str]:
    """A line for each camera that is not live: why, and when it is tried next."""
    from framefan.terminal.board import clean

    lines = []
    for name, facts in state.cameras.items():
        if facts.state == "live" or not facts.reason:
            continue
        why = f"  {name}: {facts.reason}" + (f", {facts.message}" if facts.message else "")
        again = "" if facts.next_try_s is None else f"; next try in {facts.next_try_s:.0f} s"
        lines.append(clean(why) + again)
    return lines


def _table(title: str, *columns: str) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < 2 else "right", no_wrap=index < 2)
    return table


def _row(table: Table, *values: object) -> None:
    from rich.text import Text

    table.add_row(
        *(Text(f"{value:.1f}" if isinstance(value, float) else str(value)) for value in values)
    )


def _cameras(state: StateRecord) -> Table:
    table = _table(
        _CAMERAS,
        *("camera", "state", "size", "fps", "captured", "results", "errors", "lost", "superseded"),
    )
    for name, facts in state.cameras.items():
        size = f"{facts.width}x{facts.height}" if facts.width else "-"
        counts = (facts.captured, facts.results, facts.errors, facts.lost, facts.superseded)
        _row(table, name, facts.state, size, facts.fps, *counts)
    return table


def _workers(state: StateRecord) -> Table:
    table = _table(
        "Workers", "worker", "state", "model", "pid", "busy", "results", "errors", "restarts"
    )
    for worker in state.workers:
        busy = f"{worker.busy:.0%}"
        counts = (worker.results, worker.errors, worker.restarts)
        shown = f"{worker.state} ({worker.reason})" if worker.reason else worker.state
        _row(table, worker.id, shown, worker.model or worker.predictor, worker.pid, busy, *counts)
    return table


def _gateways(state: StateRecord) -> Table:
    table = _table("Gateways", "gateway", "state", "pid", "clients", "sent", "missed", "restarts")
    for facts in state.gateways:
        counts = (facts.clients, facts.sent, facts.missed, facts.restarts)
        _row(table, facts.id, facts.state, facts.pid, *counts)
    return table
