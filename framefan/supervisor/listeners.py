"""The listening sockets of a run, and the shared memory in which its gateways count clients.

Both are opened before the first child starts and closed after the last has ended.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from framefan.errors import StartError
from framefan.ipc.gateway_counts import GatewayCounts
from framefan.supervisor import listen_sockets
from framefan.supervisor.publish_listener import PublishListener

if TYPE_CHECKING:
    from framefan.settings.run import Settings


class Listeners:
    """Use as a context. `settings` are the given ones with the actual port, folder and endpoint."""

    def __init__(self, settings: Settings, run_dir: str) -> None:
        """Raises StartError if an address is already in use."""
        with ExitStack() as opened:
            self.web = opened.enter_context(listen_sockets.tcp(settings.host, settings.port))
            self.results = (
                opened.enter_context(PublishListener(settings.publish))
                if settings.publish
                else None
            )
            self.settings = msgspec.structs.replace(
                settings,
                run_dir=run_dir,
                port=self.web.getsockname()[1],
                publish=self.results.endpoint if self.results else "",
            )
            self.pool = opened.enter_context(listen_sockets.unix(self.settings.path("pool")))
            self.counts_fd = _counts(settings)
            opened.callback(os.close, self.counts_fd)
            self._opened = opened.pop_all()

    def __enter__(self) -> Listeners:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()


def _counts(settings: Settings) -> int:
    try:
        return GatewayCounts.make(settings.gateways, settings.limits.clients_per_address > 0)
    except OSError as error:
        raise StartError(
            "the gateways cannot share memory", error.strerror or str(error), "free some memory"
        ) from error
