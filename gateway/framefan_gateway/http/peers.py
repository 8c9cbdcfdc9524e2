"""The clients of the other gateways, requested over Unix sockets.

Each gateway answers on RUN_DIR/gateway-N, a Unix socket that only this user can reach. It sends
each connection the rows of its clients as JSON, in slices, and a newline at the end. A gateway that
does not answer completely in time is left out and reported as missing.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from framefan.base import logs
from framefan.ipc.gateway_counts import MOST_GATEWAYS
from framefan_gateway.http import client_list

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from framefan.ipc.gateway_counts import GatewayCounts
    from framefan.settings.run import Settings
    from framefan_gateway.http.client_list import ClientFacts

PATIENCE_S = 1.0
_MOST_BYTES = 64 << 20
_END = b"\n"


class Peers:
    def __init__(
        self,
        settings: Settings,
        number: int,
        counts: GatewayCounts,
        clients: Callable[[], Iterable[ClientFacts]],
    ) -> None:
        """`clients` yields the facts of this gateway's own clients."""
        self._settings = settings
        self._number = number
        self._counts = counts
        self._clients = clients
        self._server: asyncio.Server | None = None

    # ---- answering --------------------------------------------------------------------------

    async def open(self) -> None:
        """Start to answer. Without RUN_DIR the others do not get this gateway's clients."""
        path = Path(self._path(self._number))
        try:
            path.unlink(missing_ok=True)  # left by a gateway that was killed
            self._server = await asyncio.start_unix_server(self._answer, path)
        except OSError as error:
            logs.warning(f"other gateways cannot list the clients of this one: {error}")

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
            with contextlib.suppress(OSError):
                Path(self._path(self._number)).unlink()

    async def _answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                for number, rows in enumerate(client_list.rows(self._clients())):
                    writer.write(rows if number == 0 else b"," + rows)
                    await writer.drain()
                    await asyncio.sleep(0)
                writer.write(_END)
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError):  # the asking gateway has gone or is too slow
            writer.transport.abort()

    # ---- asking -----------------------------------------------------------------------------

    async def ask(self) -> tuple[list[bytes], list[int]]:
        """Rows of the other gateways' clients, and the numbers of gateways that did not answer."""
        living = [
            number
            for number in range(1, MOST_GATEWAYS + 1)
            if number != self._number and self._counts.lives(number)
        ]
        answers = await asyncio.gather(*(self._ask(number) for number in living))
        missing = [n for n, rows in zip(living, answers, strict=True) if rows is None]
        return [rows for rows in answers if rows], missing

    async def _ask(self, number: int) -> bytes | None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                reader, writer = await asyncio.open_unix_connection(
                    self._path(number), limit=_MOST_BYTES
                )
                try:
                    rows = await reader.read()
                finally:
                    writer.transport.abort()
        except (OSError, TimeoutError):
            return None
        return rows.removesuffix(_END) if rows.endswith(_END) else None

    def _path(self, number: int) -> str:
        return self._settings.path(f"gateway-{number}")
