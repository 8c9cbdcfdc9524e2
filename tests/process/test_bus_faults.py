"""What the bus carries that nobody of ours sent, and a gateway that stands still."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import psutil
import zmq
from faults import GATED, limits
from runs import Run, assert_balanced, assert_exactly_once
from waiting import SCALE, wait_until
from websockets.sync.client import connect

from framefan.base.clock import now
from framefan.ipc import bus
from framefan.ipc.outcomes import WorkerOutcome
from framefan.settings.run import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from faults import Gate

SOURCE = "cam=demo?size=160x120&fps=30"
OFTEN = limits(state_every_s=0.1)


HUGE = 100 << 20


def _peak(pid: int) -> int:
    """The most memory the process ever had, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


class Bomb:
    """Unpickling it leaves a file."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self._mark,))


@contextlib.contextmanager
def _intruder(endpoint: str) -> Iterator[zmq.Socket[bytes]]:
    """A publisher that connects where the workers do."""
    sock = bus.publisher(Limits())
    sock.connect(endpoint)
    try:
        assert sock.poll(5000), "the pool never subscribed"
        yield sock
    finally:
        sock.close(linger=0)


def _foreign(mark: Path) -> list[bytes]:
    outcome = (1, "value", 0.0, 0.0, {})
    return [
        b"",
        b"\x00",
        b"\xff" * 1000,
        pickle.dumps(Bomb(mark)),
        json.dumps(outcome).encode(),
        msgspec.msgpack.encode({"lease": 1}),
        msgspec.msgpack.encode(outcome[:3]),
        msgspec.msgpack.encode(("1", *outcome[1:])),
        msgspec.msgpack.encode((2**70 % 2**64, "nothing", *outcome[2:])),
        b"\x91" * 100_000,
    ]


def _forged(first: int) -> list[bytes]:
    """Outcomes as a worker sends them, of leases nobody has."""
    leases = [0, -1, 1, 2**40, 2**63 - 1, *range(first, first + 20)]
    raw = msgspec.Raw(msgspec.msgpack.encode({"forged": True}))
    return [msgspec.msgpack.encode(WorkerOutcome(n, "value", 0.0, 0.0, raw)) for n in leases]


def test_foreign_bytes_and_forged_leases_are_dropped_and_counted(
    gate: Gate, tmp_path: Path
) -> None:
    mark = tmp_path / "unpickled"
    with Run(SOURCE, "-p", GATED, env=OFTEN | gate.env) as run:
        pool = run.pid_of("pool")
        with contextlib.closing(run.results()) as outcomes:
            with _intruder(f"ipc://{run.dir}/outcomes") as intruder:
                messages = _foreign(mark)
                for each in messages:
                    intruder.send(each)
                wait_until(lambda: run.fresh_state().foreign == len(messages), 5, "all counted")
                stale = run.fresh_state().stale
                forged = _forged(2**20)
                for each in forged:
                    intruder.send(each)
                wait_until(lambda: run.fresh_state().stale == stale + len(forged), 5, "counted too")
            with _intruder(f"ipc://{run.dir}/outcomes") as intruder:
                intruder.send(bytes(HUGE))
                results = run.camera("cam").results
                wait_until(lambda: run.camera("cam").results > results + 30, 5, "more results")
                assert _peak(pool) < HUGE, "it took the whole message in"
            assert run.fresh_state().foreign == len(messages), "a part of it was delivered"
            seen = outcomes.read()
            assert_exactly_once(seen)
            assert all("forged" not in msgspec.msgpack.decode(each.payload) for each in seen)
        assert run.pid_of("pool") == pool
        assert not mark.exists(), "somebody unpickled it"
        assert_balanced(run.fresh_state())
    pickle.loads(pickle.dumps(Bomb(mark)))
    assert mark.exists(), "the bomb was a dud, so this test could not fail"


def test_an_outcome_sent_twice_counts_once(gate: Gate) -> None:
    """A copy of a real outcome, from one who has read the lease's number in the worker."""
    with Run(SOURCE, "-p", GATED, "-w", "1", env=OFTEN | gate.env) as run:
        with (
            contextlib.closing(run.results()) as outcomes,
            _intruder(f"ipc://{run.dir}/outcomes") as intruder,
        ):
            gate.arm("published")
            caught = gate.caught()
            wait_until(lambda: any(each.seq == caught.seq for each in outcomes.read()), 5, "it")
            stale = run.fresh_state().stale
            raw = msgspec.Raw(msgspec.msgpack.encode("forged"))
            intruder.send(msgspec.msgpack.encode(WorkerOutcome(caught.lease, "value", 0, 0, raw)))
            wait_until(lambda: run.fresh_state().stale == stale + 1, 5, "the copy counted")
            caught.release()
            wait_until(lambda: outcomes.read()[-1].seq > caught.seq + 10, 5, "results again")
            mine = [each for each in outcomes.all if each.seq == caught.seq]
            assert len(mine) == 1
            assert_exactly_once(outcomes.all)
        assert_balanced(run.fresh_state())


def test_messages_from_subscribers_have_no_effect(tmp_path: Path) -> None:
    """The results' socket is open to every program of this user, and sockets carry both ways."""
    mark = tmp_path / "unpickled"
    with Run(SOURCE, env=OFTEN) as run:
        pool = run.pid_of("pool")
        gateway = run.pid_of("gateway")
        sock = bus.context().socket(zmq.XSUB)
        sock.setsockopt(zmq.LINGER, 0)
        try:
            sock.connect(f"ipc://{run.dir}/results")
            subscribe = b"\x01"
            for each in (*_foreign(mark), subscribe * 3000, b"\x00nothing", b"\x02", subscribe):
                sock.send(each)
            wait_until(lambda: sock.poll(100), 5, "the bus, heard through the same socket")
            sock.send(b"\x02" * HUGE)  # such as begin with 0 or 1 never leave this socket
            results = run.camera("cam").results
            wait_until(lambda: run.camera("cam").results > results + 30, 5, "results as before")
            assert _peak(pool) < HUGE, "it took the whole message in"
        finally:
            sock.close()
        assert (run.pid_of("pool"), run.pid_of("gateway")) == (pool, gateway)
        assert not mark.exists()
        assert_balanced(run.fresh_state())


# ---- a gateway that stands still --------------------------------------------------------------

LARGE = Path(__file__).parent / "large.py"
STANDS_S = 4.0
MAY_GROW = 24 << 20


def _rss(pid: int) -> int:
    return psutil.Process(pid).memory_info().rss


def _stand_still(run: Run) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """Stop the gateway for a while: what it and the pool grew by, and all that a client read."""
    gateway, pool = run.pid_of("gateway"), run.pid_of("pool")
    told: list[dict[str, Any]] = []
    with connect(run.ws, proxy=None, max_size=None) as client:

        def read(count: int) -> None:
            while count > 0:
                message = json.loads(client.recv(timeout=10 * SCALE))
                told.append(message)
                count -= message["type"] == "result"

        read(20)
        before = {"pool": _rss(pool), "gateway": _rss(gateway)}
        psutil.Process(gateway).suspend()
        until = now() + STANDS_S
        try:
            wait_until(lambda: now() > until, STANDS_S + 1, "a while")
            grown = {"pool": _rss(pool) - before["pool"]}
        finally:
            psutil.Process(gateway).resume()
        read(80)
        grown["gateway"] = _rss(gateway) - before["gateway"]
    assert run.pid_of("gateway") == gateway, "it was restarted"
    return grown, told


def _large(hwm: int) -> Run:
    source = "cam=demo?size=160x120&fps=60"
    return Run(source, "-p", f"{LARGE}:predict", env=OFTEN | limits(bus_hwm=hwm))


def test_a_gateway_that_hangs_costs_no_memory_and_counts_what_it_missed() -> None:
    with _large(hwm=16) as run:
        grown, told = _stand_still(run)
        print(grown)
        assert max(grown.values()) < MAY_GROW, grown
        results = [message for message in told if message["type"] == "result"]
        missed = sum(message["missed"] for message in results[1:])
        assert missed > STANDS_S * 60 / 4, "it stood still, and nothing was missed?"
        assert results[-1]["seq"] - results[0]["seq"] + 1 == len(results) + missed
        causes = [message.get("missed_by", {}) for message in results[1:]]
        by_bus = sum(each.get("bus", 0) for each in causes)
        assert by_bus > missed / 2, causes
        facts = run.fresh_state().gateways[0]
        assert facts.bus_gaps >= by_bus
        assert facts.offered == facts.sent + facts.missed
        assert_balanced(run.fresh_state())


def test_without_the_high_water_mark_it_would_cost_memory() -> None:
    with _large(hwm=1_000_000) as run:
        grown, _ = _stand_still(run)
        assert max(grown.values()) > MAY_GROW, grown


def test_nothing_in_framefan_unpickles() -> None:
    folder = Path(bus.__file__).parents[2]
    sources = [
        path
        for part in ("framefan", "capture", "inference", "gateway")
        for path in (folder / part).rglob("*.py")
    ]
    assert len(sources) > 40
    assert os.path.basename(bus.__file__) in {path.name for path in sources}
    for path in sources:
        text = path.read_text()
        for word in ("import pickle", "recv_pyobj", "send_pyobj", "marshal", "allow_pickle"):
            assert word not in text, (path.name, word)
