"""A run from its start to its end: its folder, its doors, and the supervisor between them."""

from __future__ import annotations

import signal
from functools import partial
from typing import TYPE_CHECKING

from framefan import logs, processes
from framefan.doors import Doors
from framefan.reload import Reloads
from framefan.rundir import FolderGone, RunDir
from framefan.signals import Signals
from framefan.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

    from framefan.configure import Invocation
    from framefan.settings import Settings


def supervise(settings: Settings, on_ready: Callable[[str], None], invocation: Invocation) -> int:
    """Run framefan from start to stop; returns the exit code. Raises FramefanError.

    The run's folder, port and endpoint are facts only once the lock is held and they are bound.
    `on_ready` is called once with the page's address. `invocation` is what `framefan reload` reads
    again.

    If somebody removes the folder under the run, all of it starts anew in a new one, at the same
    port: its processes find each other there.
    """
    processes.name_this("supervisor")
    logs.configure(settings, "supervisor")
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # a terminal does not stop whoever prints to it
    with logs.queued(), Signals() as signals:
        while True:
            with RunDir(settings.name) as place, Doors(settings, str(place.path)) as doors:
                reloads = partial(Reloads, settings, invocation)
                supervisor = Supervisor(place, doors, signals, on_ready, reloads)
                try:
                    return supervisor.run()
                except FolderGone as gone:
                    logs.error(f"{gone.what}: the run starts anew", why=gone.why)
            settings, on_ready = supervisor.settings, _stay


def _stay(_url: str) -> None:
    """Whoever was told of the address knows it already."""
