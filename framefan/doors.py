"""The listening sockets of a run: open from before its first child to after its last."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from framefan import listen
from framefan.publish import Outlet

if TYPE_CHECKING:
    from framefan.settings import Settings


class Doors:
    """Use as a context. `settings` are those given, with what is a fact only now filled in."""

    def __init__(self, settings: Settings, run_dir: str) -> None:
        """Raises StartError where something is taken."""
        with ExitStack() as opened:
            self.web = opened.enter_context(listen.tcp(settings.host, settings.port))
            self.results = (
                opened.enter_context(Outlet(settings.publish)) if settings.publish else None
            )
            self.settings = msgspec.structs.replace(
                settings,
                run_dir=run_dir,
                port=self.web.getsockname()[1],
                publish=self.results.endpoint if self.results else "",
            )
            self.pool = opened.enter_context(listen.unix(self.settings.path("pool")))
            self._opened = opened.pop_all()

    def __enter__(self) -> Doors:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()
