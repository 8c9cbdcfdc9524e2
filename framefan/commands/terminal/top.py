"""`framefan top`: an overview of a run in a terminal, with the same numbers as its page.

It is an ordinary client: it gets the run's table over HTTP, and the latencies from the results.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.live import Live

from framefan.base import clock
from framefan.base.rates import in_words
from framefan.commands.terminal import patient_output, status_api, watch
from framefan.commands.terminal.camera_table import in_words as state_in_words
from framefan.commands.terminal.camera_table import printable
from framefan.commands.terminal.columns import Column, Version, fitted
from framefan.commands.terminal.latency_stats import Flow, Minute, Stages, Tables
from framefan.errors import EXIT_OK
from framefan.ipc import processes
from framefan.ipc.protocol import Failure, Result
from framefan.settings.states import STILL

if TYPE_CHECKING:
    from collections.abc import Callable

    from framefan.client import Feed
    from framefan.commands.terminal.watch import Wanted

EVERY_S = 1.0
_CAMERAS = ("camera", "state", "in", "out", "dropped")
_LATENCY = ("wait", "predict", "deliver", "p50", "p95", "p99")
_WORKERS = ("worker", "state", "model", "busy", "results", "errors", "restarts")


class RunView:
    """The data of a run: the newest table, those of the last minute, and its latencies."""

    def __init__(self) -> None:
        self.table: dict[str, Any] | None = None
        self._tables = Tables()
        self._minutes: dict[str, Minute] = {}
        self.trouble = ""

    def take(self, message: Any, now: float) -> None:
        if isinstance(message, Result | Failure):
            minute = self._minutes.setdefault(message.camera, Minute())
            minute.add(message.latency_ms, now)

    def look(self, table: dict[str, Any]) -> None:
        """Take in a table of `/api/status`, unless it is not newer than the current one."""
        self._tables.add(table)
        self.table = self._tables.newest
        self._minutes = {n: each for n, each in self._minutes.items() if n in table["cameras"]}

    def flow(self, camera: str) -> Flow | None:
        return self._tables.flow(camera)

    def stages(self, camera: str, now: float) -> Stages | None:
        minute = self._minutes.get(camera)
        return minute.stages(now) if minute else None

    def told(self, now: float) -> dict[str, Any]:
        """The whole view, for `--json`."""
        table = self.table or {"cameras": {}, "workers": [], "gateways": []}
        cameras = {}
        for name, facts in table["cameras"].items():
            frames, stages = self.flow(name), self.stages(name, now)
            cameras[name] = {
                "state": facts["state"],
                "reason": facts["reason"],
                "next_try_s": facts["next_try_s"],
                "per_s": frames and frames._asdict(),
                "latency_ms": stages
                and {key: round(ms, 2) for key, ms in zip(stages._fields, stages, strict=True)},
            }
        clients = sum(each["clients"] for each in table["gateways"])
        return {"cameras": cameras, "workers": table["workers"], "clients": clients}


def top(wanted: Wanted) -> int:
    """Show the run until Ctrl-C, SIGTERM or the end of the duration. Raises FramefanError."""
    processes.name_this("top")
    asked, token, trust = watch.connection(wanted, "framefan top")
    with contextlib.suppress(KeyboardInterrupt), watch.piped():
        asyncio.run(_until_over(asked, token, trust, wanted))
    return EXIT_OK


async def _until_over(asked: Any, token: str | None, trust: Any, wanted: Wanted) -> None:
    async with asked as feed:
        glance = RunView()
        ask = status_api.asking(feed.url, token, trust)
        tasks = [
            asyncio.ensure_future(each)
            for each in (_read(feed, glance), _show(feed, glance, ask, wanted.json))
        ]
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, tasks[0].cancel)
        try:
            await asyncio.wait(
                tasks, timeout=wanted.duration_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for task in tasks:
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, Exception):
                    raise result


async def _read(feed: Feed, glance: RunView) -> None:
    async for message in feed.messages():
        glance.take(message, clock.now())


async def _show(
    feed: Feed, glance: RunView, ask: Callable[[], dict[str, Any] | str], as_json: bool
) -> None:
    """Redraw in a terminal, or print a line of JSON each time; without a terminal print once."""
    console = Console()
    live = Live(console=console, auto_refresh=False, vertical_overflow="ellipsis")
    paints = console.is_terminal and not as_json
    try:
        if paints:
            await patient_output.taken()  # it writes already as it begins
        with live if paints else contextlib.nullcontext(), patient_output.leaving():
            while True:
                answer = await asyncio.to_thread(ask)
                if isinstance(answer, str):
                    glance.trouble = answer
                else:
                    glance.trouble = ""
                    glance.look(answer)
                if as_json:
                    text = msgspec.json.encode(glance.told(clock.now())).decode()
                    await patient_output.put(text + "\n")
                elif paints and patient_output.is_taken():
                    lines = picture(feed, glance, clock.now(), console.width)
                    live.update(watch.shown(lines), refresh=True)
                await asyncio.sleep(EVERY_S)
    finally:
        if not console.is_terminal and not as_json:
            lines = picture(feed, glance, clock.now(), None)
            sys.stdout.write("\n".join(lines) + "\n")


def picture(feed: Feed, glance: RunView, now: float, width: int | None) -> list[str]:
    table = glance.table
    trouble = glance.trouble or ("" if feed.connected else feed.trouble)
    head = f"framefan top  {feed.url}"
    lines = [f"{head}  {printable(trouble)}" if trouble else head]
    if table is None:
        return lines
    return [
        *lines,
        _summary(table),
        "",
        *_cameras(glance, table, now, width),
        *_troubles(table),
        "  in, out, dropped: frames per second; other columns: milliseconds, last minute",
        "",
        *_workers(table, width),
    ]


def _summary(table: dict[str, Any]) -> str:
    gateways = table["gateways"]
    clients = sum(each["clients"] for each in gateways)
    ready = sum(each["state"] in ("ready", "busy") for each in table["workers"])
    without = [name for name, each in table.get("predictors", {}).items() if not each["ready"]]
    idle = f"no worker of {', '.join(without)}  " if without and _names_predictors(table) else ""
    served = sum(each["state"] == "ready" for each in gateways)
    several = f"{served} of {len(gateways)} gateways ready  " if len(gateways) > 1 else ""
    return (
        f"{printable(table['name'])}  {_counted(len(table['cameras']), 'camera')}  "
        f"{ready} of {len(table['workers'])} workers ready  "
        f"{idle}{several}{_counted(clients, 'client')}"
    )


def _names_predictors(table: dict[str, Any]) -> bool:
    """Whether the run has several predictors."""
    return len(table.get("predictors", {})) > 1


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _cameras(glance: RunView, table: dict[str, Any], now: float, width: int | None) -> list[str]:
    columns = [Column(each, is_name=each in ("camera", "state")) for each in (*_CAMERAS, *_LATENCY)]
    versions = []
    for causes in (99, 1, 0):
        rows = []
        for name, facts in table["cameras"].items():
            frames, stages = glance.flow(name), glance.stages(name, now)
            counted = ("-", "-", "-")
            if frames:
                rates = (in_words(frames.captured), in_words(frames.predicted))
                counted = (*rates, frames.told(causes))
            times = [f"{ms:.1f}" for ms in stages] if stages else ["-"] * len(_LATENCY)
            state = facts["state"]
            if facts["reason"] == STILL:
                state = f"{state} ({STILL})"
            rows.append(list(map(printable, (name, state, *counted, *times))))
        versions.append(Version(columns, rows))
    return fitted(width, *versions)


def _troubles(table: dict[str, Any]) -> list[str]:
    """A line for each camera that is not live, and for each camera on which predict fails."""
    lines = []
    for name, facts in table["cameras"].items():
        if facts["state"] != "live":
            message = f": {facts['message']}" if facts.get("message") else ""
            state = state_in_words(facts["state"], facts["reason"], facts["next_try_s"])
            lines.append(f"  {name}: {state}{message}")
        if facts.get("last_error"):
            lines.append(f"  {name}: predict fails: {facts['last_error']}")
    return list(map(printable, lines))


def _workers(table: dict[str, Any], width: int | None) -> list[str]:
    names = ("worker", "predictor", "state", "model")
    heads = ["predictor", *_WORKERS] if _names_predictors(table) else _WORKERS
    columns = [Column(each, is_name=each in names) for each in heads]
    rows, troubles = [], []
    for facts in table["workers"]:
        row = (
            str(facts["id"]),
            facts["state"],
            facts["model"] or facts["predictor"],
            f"{facts['busy']:.0%}",
            *(str(facts[name]) for name in ("results", "errors", "restarts")),
        )
        named = (facts["predictor_name"],) if _names_predictors(table) else ()
        rows.append(list(map(printable, (*named, *row))))
        if facts["reason"]:
            troubles.append(printable(f"  {facts['id']}: {facts['reason']}"))
    return fitted(width, Version(columns, rows)) + troubles
