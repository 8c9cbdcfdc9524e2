"""`framefan status`: prints a run's state table once, as text tables or as JSON."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from framefan.base.rates import in_words
from framefan.commands import run_table
from framefan.settings.states import STILL
from framefan.supervisor import rundir

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from framefan.ipc.records import CameraFacts, StateRecord, WorkerFacts


def show(name: str | None, as_json: bool) -> int:
    """Print the table. Raises RunError if no such run answers, UsageError for an invalid name."""
    state = run_table.fetch(rundir.meant(name, "framefan status"))
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(state)).decode() + "\n")
    else:
        _print(state)
    return 0


def _print(state: StateRecord) -> None:
    from framefan.commands.terminal.camera_table import printable

    lines = [
        f"framefan {state.name}  {state.url}  supervisor {state.supervisor.pid}"
        f"  pool {state.pool.pid}  epoch {state.epoch}"
    ]
    if state.publish_endpoint:
        lines.append(f"published at {state.publish_endpoint}")
    lines += ["", *tables(state, width())]
    sys.stdout.write("".join(f"{printable(line)}\n" for line in lines))


def width() -> int | None:
    """The width of the terminal; None for a pipe or a file."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def tables(state: StateRecord, width: int | None) -> list[str]:
    """Tables of cameras, workers and gateways, each followed by its problems."""
    return [
        "Cameras", *_cameras(state, width), *troubles(state), "",
        "Workers", *_workers(state, width), *_worker_troubles(state), "",
        "Gateways", *_gateways(state, width),
    ]  # fmt: skip


def troubles(state: StateRecord) -> list[str]:
    """Lines for each camera that is not live or not predicted: why, and when it is tried next."""
    from framefan.commands.terminal.camera_table import printable

    lines = []
    for name, facts in state.cameras.items():
        if facts.errors_in_row:
            many = f"{facts.errors_in_row} frame" + "s" * (facts.errors_in_row > 1)
            lines.append(f"  {name}: predict failed on the last {many}, {facts.last_error}")
        if facts.circuit != "closed":
            lines.append(f"  {name}: its frames are left out, {facts.circuit_message}")
        if facts.state == "live" or not facts.reason:
            continue
        why = f"  {name}: {facts.reason}" + (f", {facts.message}" if facts.message else "")
        again = "" if facts.next_try_s is None else f"; next try in {facts.next_try_s:.0f} s"
        lines.append(why + again)
    return list(map(printable, lines))


def _worker_troubles(state: StateRecord) -> list[str]:
    return [f"  {each.id}: {each.reason}" for each in state.workers if each.reason]


def _table(
    width: int | None, names: Sequence[str], numbers: Sequence[str], rows: Iterable[Sequence[Any]]
) -> list[str]:
    from framefan.commands.terminal.camera_table import printable
    from framefan.commands.terminal.columns import Column, Version, fitted

    columns = [Column(each, is_name=each in names) for each in (*names, *numbers)]
    told = [
        [printable(in_words(each) if isinstance(each, float) else str(each)) for each in row]
        for row in rows
    ]
    return fitted(width, Version(columns, told))


def _cameras(state: StateRecord, width: int | None) -> list[str]:
    def row(name: str, facts: CameraFacts) -> tuple[Any, ...]:
        size = f"{facts.width}x{facts.height}" if facts.width else "-"
        counts = (facts.captured, facts.results, facts.errors, facts.lost, facts.superseded)
        named = (facts.predictor_name,) if state.has_several else ()
        shown = f"{facts.state} ({STILL})" if facts.reason == STILL else facts.state
        return (name, shown, *named, size, facts.fps, *counts)

    names = ("camera", "state", "predictor") if state.has_several else ("camera", "state")
    numbers = ("size", "fps", "captured", "results", "errors", "lost", "superseded")
    rows = [row(*each) for each in state.cameras.items()]
    return _table(width, names, numbers, rows)


def _workers(state: StateRecord, width: int | None) -> list[str]:
    def row(facts: WorkerFacts) -> tuple[Any, ...]:
        model = facts.model or facts.predictor
        counts = (facts.results, facts.errors, facts.restarts)
        named = (facts.predictor_name,) if state.has_several else ()
        busy = f"{facts.busy:.0%}"
        return (str(facts.id), *named, facts.state, model, facts.pid, busy, *counts)

    named = ("predictor",) if state.has_several else ()
    numbers = ("pid", "busy", "results", "errors", "restarts")
    rows = map(row, state.workers)
    return _table(width, ("worker", *named, "state", "model"), numbers, rows)


def _gateways(state: StateRecord, width: int | None) -> list[str]:
    rows = [
        (str(each.id), each.state, each.pid, each.clients, each.sent, each.missed, each.restarts)
        for each in state.gateways
    ]
    numbers = ("pid", "clients", "sent", "missed", "restarts")
    return _table(width, ("gateway", "state"), numbers, rows)
