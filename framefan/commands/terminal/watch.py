"""`framefan watch`: shows the live results of a run in a terminal, as a client receives them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console
from rich.live import Live
from rich.text import Text

from framefan.base import clock, rates
from framefan.client import Feed, address, connect
from framefan.commands import run_table
from framefan.commands.terminal import patient_output, status_api
from framefan.commands.terminal.camera_table import Board, clean, printable
from framefan.commands.terminal.columns import Column, Version, fitted
from framefan.errors import EXIT_OK, RunError, StartError, UsageError
from framefan.ipc import processes
from framefan.supervisor import rundir

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from framefan.commands.terminal.camera_table import Row

_PAINT_S = 0.25
_STATUS_S = 1.0


class Wanted(msgspec.Struct, frozen=True):
    """The command's flags."""

    url: str | None
    name: str | None
    cameras: Sequence[str]
    max_fps: float | None
    token_file: str | None
    tls_ca: str | None
    duration_s: float | None
    json: bool


def watch(wanted: Wanted) -> int:
    """Show results until Ctrl-C, SIGTERM or the end of the duration. Raises FramefanError."""
    processes.name_this("watch")
    asked, token, trust = connection(wanted, "framefan watch")
    with contextlib.suppress(KeyboardInterrupt), piped():
        asyncio.run(_until_over(asked, wanted, token, trust))
    return EXIT_OK


@contextlib.contextmanager
def piped() -> Iterator[None]:
    """End quietly when the reader of stdout, such as `| head`, closes the pipe."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def connection(wanted: Wanted, command: str) -> tuple[connect, str | None, ssl.SSLContext | None]:
    """The connection, its token and its TLS context. Raises FramefanError."""
    if wanted.url and wanted.name:
        raise UsageError("both an address and --name", "each names a run", "leave one out")
    if wanted.duration_s is not None and not wanted.duration_s >= 0:
        raise UsageError(
            f"--duration cannot be {wanted.duration_s:g}",
            "it is a time in seconds",
            "use 0 or more",
        )
    url = wanted.url or _url_of_run(wanted.name, command)
    cameras = [name for each in wanted.cameras for name in each.split(",") if name]
    token, trust = _token(wanted.token_file), _trust(wanted.tls_ca)
    asked = connect(
        url,
        cameras=cameras or None,
        max_fps=wanted.max_fps,
        token=token,
        ssl=trust,
        connect_s=0,
    )
    return asked, token, trust


def _url_of_run(name: str | None, command: str) -> str:
    """The address of the run; without a name and without a live run, the default address."""
    if name is None and not rundir.running():
        return address.DEFAULT
    found = rundir.meant(name, command)
    try:
        url = run_table.fetch(found, _STATUS_S).url
    except RunError:
        if name is not None:
            raise
        url = ""
    return address.websocket(url) if url else address.DEFAULT


def _token(path: str | None) -> str | None:
    if not path or not path.strip():  # an empty variable is not set
        return None
    try:
        return Path(path).read_text("utf-8-sig", "replace").strip()
    except OSError as error:
        raise StartError(
            f"cannot read the token file: {path}", error.strerror or str(error), "check the path"
        ) from error


def _trust(path: str | None) -> ssl.SSLContext | None:
    if path is None:
        return None
    try:
        return ssl.create_default_context(cafile=path)
    except OSError as error:  # ssl.SSLError is one
        raise StartError(
            f"cannot use the certificate {path}", error.strerror or str(error), "check the file"
        ) from error


async def _until_over(
    asked: connect, wanted: Wanted, token: str | None, trust: ssl.SSLContext | None
) -> None:
    """The duration and SIGTERM apply from the start, even before the gateway answers."""
    there = asyncio.Event()
    task = asyncio.ensure_future(_show(asked, there, wanted, token, trust))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        over, _ = await asyncio.wait([task], timeout=wanted.duration_s)
        if not over and not there.is_set():
            raise RunError(
                f"no answer within {wanted.duration_s:g} s",
                "the connection was accepted, but nothing was received",
                "check the address, or use a longer --duration",
            )
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _show(
    asked: connect,
    there: asyncio.Event,
    wanted: Wanted,
    token: str | None,
    trust: ssl.SSLContext | None,
) -> None:
    async with asked as feed:
        there.set()
        if token is None:
            # A gateway waits some seconds for a token from a client that sends none, because
            # browsers send it later. Over HTTP it says at once that a token is needed.
            await asyncio.to_thread(status_api.asking(feed.url, token, trust))
        await (_print(feed) if wanted.json else _paint(feed))


async def _print(feed: Feed) -> None:
    """Print each message as one line, at once."""
    async for message in feed.messages():
        await patient_output.put(msgspec.json.encode(message).decode() + "\n")


async def _paint(feed: Feed) -> None:
    """Redraw the table; the last one stays. Without a terminal print it once, at the end."""
    board, console = Board(), Console()
    reading = asyncio.ensure_future(_read(feed, board))
    live = Live(console=console, auto_refresh=False, vertical_overflow="ellipsis")
    try:
        if console.is_terminal:
            await patient_output.taken()  # it writes already as it begins
        shows = live if console.is_terminal else contextlib.nullcontext()
        with shows, patient_output.leaving():
            while not reading.done():
                if console.is_terminal and patient_output.is_taken():
                    live.update(shown(_picture(feed, board, console.width)), refresh=True)
                await asyncio.wait([reading], timeout=_PAINT_S)
    finally:
        if not console.is_terminal:
            sys.stdout.write("\n".join(_picture(feed, board, None)) + "\n")
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading


async def _read(feed: Feed, board: Board) -> None:
    async for message in feed.messages():
        board.take(message, clock.now())


def shown(lines: Sequence[str]) -> Text:
    """The lines as text that wraps at the width of the terminal."""
    return Text("\n".join(lines), overflow="fold")


_NUMBERS = ("fps", "seq", "p50 ms", "p95 ms")


def _picture(feed: Feed, board: Board, width: int | None) -> list[str]:
    rows, missed = board.rows(clock.now()), feed.missed
    where = f"framefan watch  {feed.url}"
    lines = [where if feed.connected else f"{where}  no connection: {printable(feed.trouble)}"]
    lines += fitted(
        width,
        _version(rows, [_causes(missed.get(each.camera, {})) for each in rows], width),
        _version(rows, [str(sum(missed.get(each.camera, {}).values())) for each in rows], width),
    )
    lines += [f"  {each.camera}: {each.trouble}" for each in rows if each.trouble]
    return lines + ([board.notice] if board.notice else [])


def _version(rows: Sequence[Row], missed: Sequence[str], width: int | None) -> Version:
    names = [Column(name, is_name=True) for name in ("camera", "state")]
    numbers = [Column(name) for name in _NUMBERS]
    columns = [*names, *numbers, Column("seen", is_name=True), Column("missed")]
    cells = [_cells(row, each, width) for row, each in zip(rows, missed, strict=True)]
    return Version(columns, cells)


def _causes(missed: dict[str, int]) -> str:
    return ", ".join(f"{cause} {count}" for cause, count in sorted(missed.items())) or "-"


def _cells(row: Row, missed: str, width: int | None) -> tuple[str, ...]:
    """The cells of a camera; its full error message is printed below the table."""
    state = row.state.partition(" ")[0].rstrip(",")
    seq = "-" if row.seq is None else str(row.seq)
    times = ("-" if each is None else f"{each:.1f}" for each in (row.p50_ms, row.p95_ms))
    seen = row.seen if width is None else clean(row.seen)
    return (row.camera, state, rates.in_words(row.fps), seq, *times, seen, missed)
