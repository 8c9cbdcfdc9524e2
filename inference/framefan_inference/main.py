"""The pool's process."""

from __future__ import annotations

import secrets

from framefan.base import host, logs, output
from framefan.errors import LinkClosed
from framefan.ipc import bus
from framefan.ipc.messages import FromSupervisor
from framefan.ipc.processes import Parent, settle
from framefan_inference.pool.pool import Pool


def main() -> None:
    parent = Parent("pool", FromSupervisor)
    settle()
    if parent.results_fd >= 0:
        host.raise_descriptor_limit()  # each reader there holds one, even before its key is checked
    try:
        Pool(parent, epoch=secrets.token_hex(4)).run()
    except LinkClosed:
        logs.debug("the supervisor is gone")
    except Exception:  # noqa: BLE001 - the process border: log it, then exit with a code
        logs.exception("the pool failed")
        raise SystemExit(1) from None
    bus.context().destroy(linger=0)  # every socket is closed by now: nothing is left to send


if __name__ == "__main__":
    main()
    output.end_at_once()
