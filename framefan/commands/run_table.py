"""Reads a run's state table from its bus."""

from __future__ import annotations

import msgspec

from framefan.base import clock
from framefan.errors import RunError
from framefan.ipc.records import StateRecord
from framefan.settings.run import Limits, Settings, run_dir
from framefan.supervisor import rundir

DEADLINE_S = 2.0


def fetch(name: str, deadline_s: float = DEADLINE_S) -> StateRecord:
    """The state table of the named run; the pool answers a new subscription at once."""
    path = run_dir(name)
    if not rundir.is_running(path):
        raise rundir.not_running(name)
    settings = Settings(name=name, run_dir=str(path))
    state = _receive(settings.results_endpoint, deadline_s)
    if state is None:
        raise RunError(
            f'the run "{name}" (pid {rundir.holder(path)}) did not answer within {deadline_s:g} s',
            "the run or its pool is still starting",
            "try again; see the run's log",
        )
    return state


def _receive(endpoint: str, deadline_s: float) -> StateRecord | None:
    from framefan.ipc import bus

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
            except msgspec.MsgspecError:  # of another version; a later message may decode
                continue
        return None
    finally:
        sock.close()
