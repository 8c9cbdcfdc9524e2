"""The start of a run: it takes its folder, ports and endpoint, and warns about odd settings."""

from __future__ import annotations

import contextlib
import signal
import stat
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from framefan.base import logs
from framefan.config import service_links
from framefan.errors import FramefanError
from framefan.ipc import processes
from framefan.supervisor.listeners import Listeners
from framefan.supervisor.reload import Reloads
from framefan.supervisor.rundir import FolderGone, RunDir
from framefan.supervisor.signals import Signals
from framefan.supervisor.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from framefan.config.configure import Invocation
    from framefan.settings.run import Settings


_LEAST_TOKEN = 16
"""In characters; `secrets.token_urlsafe()` makes 43."""


def remarks(settings: Settings, invocation: Invocation) -> Iterator[tuple[str, str]]:
    """Settings that are valid but probably a mistake, each with a remedy."""
    token = settings.token.reveal()
    if not token:
        return
    if len(token) < _LEAST_TOKEN:
        yield (
            f"the token has fewer than {_LEAST_TOKEN} characters: it can be guessed",
            "make one: python3 -c 'import secrets; print(secrets.token_urlsafe())'",
        )
    with contextlib.suppress(FramefanError, OSError):  # deleted since it was read: no risk
        path = invocation.token_file
        mode = stat.S_IMODE(Path(path).stat().st_mode) if path else 0
        if mode & 0o044:
            yield (
                f"other users of this machine can read the token file {path} (mode {mode:o})",
                f"chmod 600 {path}",
            )


def _tell(settings: Settings, invocation: Invocation) -> None:
    for text, advice in remarks(settings, invocation):
        logs.warning(text, do=advice)
    if foreign := service_links.found(invocation.environment):
        logs.info(
            f"{len(foreign)} variables that Kubernetes or Docker set for a service are ignored",
            first=min(foreign),
        )


def supervise(settings: Settings, on_ready: Callable[[str], None], invocation: Invocation) -> int:
    """Run framefan from start to stop; returns the exit code. Raises FramefanError.

    The run's folder, port and endpoint are final only once the lock is held and they are bound.
    `on_ready` is called once with the page's address. `framefan reload` reads `invocation` again.

    If the folder of the live run is removed, the whole run restarts in a new folder, at the same
    port, because its processes find each other in the folder.
    """
    processes.name_this("supervisor")
    logs.configure(settings, "supervisor")
    signal.signal(
        signal.SIGTTOU, signal.SIG_IGN
    )  # else a terminal could stop a process that prints to it
    with logs.queued(), Signals() as signals:
        _tell(settings, invocation)
        read = settings
        while True:
            with RunDir(settings.name) as place, Listeners(settings, str(place.path)) as doors:
                reloads = partial(Reloads, read, invocation)
                supervisor = Supervisor(place, doors, signals, on_ready, reloads)
                try:
                    return supervisor.run()
                except FolderGone as gone:
                    logs.error(f"{gone.what}: the run restarts", why=gone.why)
            settings, read, on_ready = supervisor.settings, supervisor.reloads.read, _stay


def _stay(_url: str) -> None:
    """Do nothing after a restart in a new folder: the caller already has the address."""
