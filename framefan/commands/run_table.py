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
    """The state of the run of that name; the pool answers a new subscription at once."""
    path = run_dir(name)
    if not rundir.is_running(path):
        raise rundir.not_running(name)
    settings = Settings(name=name, run_dir=str(path))
    state = _receive(settings.results_endpoint, deadline_s)
    if state is None:
        raise RunError(
            f'the run "{name}" (pid {rundir.holder(path)}) did not answer within {deadline_s:g} s',
            "it is starting, or its pool is",
            "try again; its log says more",
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
            except msgspec.MsgspecError:  # not of our version: a later message may be
                continue
        return None
    finally:
        sock.close()
