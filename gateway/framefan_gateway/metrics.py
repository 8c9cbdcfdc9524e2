"""The metrics of a run in Prometheus' text form, made from the state table when they are asked for.

docs/metrics.md lists them. Nothing is counted here: the pool's table and this gateway's own counts
are turned into samples. Loaded at the first request for them, since prometheus_client takes a
while to import.
"""

from __future__ import annotations

import importlib.metadata
import platform
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from framefan import clock, host
from framefan.protocol import CAUSES
from framefan.records import PICTURES, GatewayFacts
from framefan.states import STATES
from framefan_gateway import families

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Iterator

    from framefan.records import CameraFacts, StateRecord, WorkerFacts
    from framefan_gateway.families import Samples
    from framefan_gateway.intake import Intake
    from framefan_gateway.stages import Stages
    from framefan_gateway.tally import Tally

WORKER_STATES = ("starting", "ready", "busy", "backoff", "failed", "stopping")
SUPERSEDED = ("newer", "no_worker", "no_slot", "max_fps", "removed", "circuit")
LOST = ("late", "worker_died", "predict_timeout", "no_outcome", "stopped")
ENDS = {"1000", "1001", "1002", "1003", "1005", "1006", "1007", "1008", "1009", "1011", "1013"}
ENDS |= {"4400", "4401", "4408"}
"""The close codes that are told each by itself: a client may close with any of thousands."""
OTHER = "other"


class Process(NamedTuple):
    """One of the run's processes, as its table names it."""

    process: str
    role: str
    pid: int
    restarts: int


class Metrics:
    """Renders what the pool's table and the gateway's tally hold at that moment."""

    def __init__(self, tally: Tally, intake: Intake) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Run(tally, intake))

    def parts(self) -> Iterator[bytes]:
        """The page in parts of a few milliseconds, so that it need not be made in one go."""
        last = ""
        for family in self._registry.collect():
            text = generate_latest(_One(family))
            yield text.split(b"\n", 2)[2] if family.name == last else text  # told once: HELP, TYPE
            last = family.name


class _One(Collector):
    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        return (self._family,)


class _Run(Collector):
    def __init__(self, tally: Tally, intake: Intake) -> None:
        self._tally = tally
        self._intake = intake
        self._told = GatewayFacts(id=0)
        self._build = _build()  # reads files: once

    def collect(self) -> Iterator[Metric]:
        state, facts, now = self._intake.state, self._tally.facts(), clock.now()
        pending = facts.offered - facts.sent - facts.missed
        self._told = facts = _risen(facts, self._told)
        rows = [] if state is None else [row for row in state.gateways if row.id != facts.id]
        restarts = 0 if state is None else _restarts(state.gateways, facts.id)
        gateways = [*rows, facts]
        yield self._build
        if state is not None:
            yield families.gauge(
                "table_age_seconds",
                "Since the pool's last state table, from which the rest is taken",
                [((), now - self._intake.state_at)],
            )
            yield from _frames(state.cameras)
            yield from _outcomes(state.cameras)
            yield from _previews(state.cameras)
            yield from _states(state.cameras, state.workers)
        yield _changes(self._intake.changes)
        yield from _deliveries(gateways)
        yield _pending(rows, facts, pending)
        yield from _ends(gateways)
        yield from _bus(state, gateways)
        yield from _processes(_listed(state, facts, restarts))
        yield from _stages(self._tally.stages)
        yield families.histogram(
            "loop_lag_seconds",
            "How late the gateway's loop ran what was due",
            [((), self._tally.lag.histogram)],
        )


# ---- this gateway and what runs it ---------------------------------------------------------------


def _build() -> Metric:
    version, python = importlib.metadata.version("framefan"), platform.python_version()
    facts = {"version": version, "python": python}
    return InfoMetricFamily("framefan_build", "What runs", value=facts)


def _stages(stages: Stages) -> Iterator[Metric]:
    """One family in as many pieces as there are cameras: it is by far the largest."""
    for camera, by_stage in stages:
        yield families.histogram(
            "stage_seconds",
            "Grab to predict, in predict, predict's end to delivery, and the whole",
            [((camera, stage), found) for stage, found in by_stage],
            ("camera", "stage"),
        )


# ---- the pool's table --------------------------------------------------------------------------


def _per_camera(cameras: dict[str, CameraFacts], field: str) -> Samples:
    return [((name,), getattr(facts, field)) for name, facts in cameras.items()]


def _per_cause(cameras: dict[str, CameraFacts], field: str, known: tuple[str, ...]) -> Samples:
    """Causes that never came are 0: a rate over a counter that appears misses its first step."""
    return [
        ((name, cause), count)
        for name, facts in cameras.items()
        for cause, count in (dict.fromkeys(known, 0) | getattr(facts, field)).items()
    ]


def _frames(cameras: dict[str, CameraFacts]) -> Iterator[Metric]:
    by_camera = ("camera",)
    counters = (
        ("captured", "Frames grabbed"),
        ("leased", "Frames given to a worker"),
        ("bad", "Frames that could not be decoded"),
    )
    for field, text in counters:
        yield families.counter(f"frames_{field}", text, _per_camera(cameras, field), by_camera)
    yield families.counter(
        "frames_superseded",
        "Frames that no worker was given",
        _per_cause(cameras, "superseded_by", SUPERSEDED),
        ("camera", "cause"),
    )
    gauges = (("waiting", "Frames that wait for a worker"), ("running", "Frames at a worker"))
    for field, text in gauges:
        yield families.gauge(f"frames_{field}", text, _per_camera(cameras, field), by_camera)


def _outcomes(cameras: dict[str, CameraFacts]) -> Iterator[Metric]:
    kinds = (("result", "results"), ("error", "errors"), ("lost", "lost"))
    yield families.counter(
        "outcomes",
        "What became of the frames given to workers",
        [
            ((name, kind), getattr(facts, field))
            for name, facts in cameras.items()
            for kind, field in kinds
        ],
        ("camera", "kind"),
    )
    yield families.counter(
        "outcomes_lost",
        "Frames given to workers that have no result",
        _per_cause(cameras, "lost_by", LOST),
        ("camera", "cause"),
    )


def _previews(cameras: dict[str, CameraFacts]) -> Iterator[Metric]:
    yield families.counter(
        "previews",
        "Pictures made for those who watch",
        _per_cause(cameras, "previews", PICTURES),
        ("camera", "picture"),
    )
    yield families.counter(
        "preview_cpu_seconds",
        "CPU time of workers for them",
        _per_camera(cameras, "preview_cpu_s"),
        ("camera",),
    )


def _states(cameras: dict[str, CameraFacts], workers: list[WorkerFacts]) -> Iterator[Metric]:
    yield families.gauge(
        "camera_state",
        "1 for the state that the camera is in",
        [
            ((name, state), state == facts.state)
            for name, facts in cameras.items()
            for state in dict.fromkeys((*STATES, facts.state))
        ],
        ("camera", "state"),
    )
    states = [worker.state for worker in workers]
    yield families.gauge(
        "workers",
        "Workers by state",
        [((state,), states.count(state)) for state in dict.fromkeys((*WORKER_STATES, *states))],
        ("state",),
    )
    yield families.gauge(
        "worker_busy_ratio",
        "Share of the last seconds spent in predict",
        [((str(worker.id),), worker.busy) for worker in workers],
        ("worker",),
    )


def _changes(changes: dict[str, Counter[tuple[str, str]]]) -> Metric:
    return families.counter(
        "camera_state_changes",
        "Times the camera came into a state, by reason",
        [
            ((camera, state, reason), count)
            for camera, by_state in changes.items()
            for (state, reason), count in by_state.items()
        ],
        ("camera", "state", "reason"),
    )


# ---- gateways ------------------------------------------------------------------------------------


def _deliveries(gateways: list[GatewayFacts]) -> Iterator[Metric]:
    by_gateway = ("gateway",)

    def per_gateway(field: str) -> Samples:
        return [((str(facts.id),), getattr(facts, field)) for facts in gateways]

    yield families.gauge(
        "clients", "Clients that are connected", per_gateway("clients"), by_gateway
    )
    yield families.counter(
        "deliveries_offered",
        "Results that were due, over all clients",
        per_gateway("offered"),
        by_gateway,
    )
    yield families.counter("deliveries_sent", "Results sent", per_gateway("sent"), by_gateway)
    yield families.counter(
        "deliveries_missed",
        "Results that a client was not sent",
        [
            ((str(facts.id), cause), facts.missed_by.get(cause, 0))
            for facts in gateways
            for cause in CAUSES
        ],
        ("gateway", "cause"),
    )
    yield families.counter(
        "sent_bytes", "Bytes given to clients' lines", per_gateway("bytes"), by_gateway
    )
    yield families.gauge(
        "loop_lag_worst_seconds",
        "How late the gateway's loop was at worst, lately",
        per_gateway("lag_s"),
        by_gateway,
    )


def _pending(others: list[GatewayFacts], own: GatewayFacts, pending: int) -> Metric:
    rows = [(row.id, row.offered - row.sent - row.missed) for row in others]
    return families.gauge(
        "deliveries_pending",
        "Results that wait for a client's line",
        [((str(number),), count) for number, count in (*rows, (own.id, pending))],
        ("gateway",),
    )


def _risen(facts: GatewayFacts, last: GatewayFacts) -> GatewayFacts:
    """`facts` with no counter less than it was `last`: that would look like a restart.

    A client that comes back takes out of its account what it turns out to have had before.
    """
    counted = {name: getattr(facts, name) for name in ("offered", "sent", "missed", "bytes")}
    risen = {name: max(count, getattr(last, name)) for name, count in counted.items()}
    causes = facts.missed_by.keys() | last.missed_by.keys()
    missed_by = {c: max(facts.missed_by.get(c, 0), last.missed_by.get(c, 0)) for c in causes}
    return msgspec.structs.replace(facts, **risen, missed_by=missed_by)


def _ends(gateways: list[GatewayFacts]) -> Iterator[Metric]:
    ends: dict[tuple[str, str], int] = {}
    for facts in gateways:
        for code, count in facts.closed_by.items():
            shown = OTHER if code.isdecimal() and code not in ENDS else code
            key = str(facts.id), shown
            ends[key] = ends.get(key, 0) + count
    yield families.counter(
        "closes", "Clients gone, by close code or reason", ends.items(), ("gateway", "code")
    )


def _bus(state: StateRecord | None, gateways: list[GatewayFacts]) -> Iterator[Metric]:
    readers = [("gateway", str(row.id), row.foreign, row.stale) for row in gateways]
    if state is not None:
        readers.append(("pool", "", state.foreign, state.stale))
    labels = ("process", "role")
    yield families.counter(
        "bus_foreign",
        "Messages that were none of ours: dropped",
        [((process, role), foreign) for process, role, foreign, _ in readers],
        labels,
    )
    yield families.counter(
        "bus_stale",
        "Records of what was settled before: dropped",
        [((process, role), stale) for process, role, _, stale in readers],
        labels,
    )
    yield families.counter(
        "bus_gaps",
        "Records that the bus lost on their way to a gateway",
        [((str(row.id),), row.bus_gaps) for row in gateways],
        ("gateway",),
    )


# ---- processes -----------------------------------------------------------------------------------


def _restarts(gateways: list[GatewayFacts], number: int) -> int:
    return next((row.restarts for row in gateways if row.id == number), 0)


def _listed(state: StateRecord | None, own: GatewayFacts, restarts: int) -> list[Process]:
    this = Process("gateway", str(own.id), own.pid, restarts)
    if state is None:
        return [this]
    return [
        Process("supervisor", "", state.supervisor.pid, state.supervisor.restarts),
        Process("pool", "", state.pool.pid, state.pool.restarts),
        *(
            Process("capture", name, camera.pid, camera.restarts)
            for name, camera in state.cameras.items()
        ),
        *(Process("worker", str(row.id), row.pid, row.restarts) for row in state.workers),
        *(
            Process("gateway", str(row.id), row.pid, row.restarts)
            for row in state.gateways
            if row.id != own.id
        ),
        this,
    ]


def _processes(listed: list[Process]) -> Iterator[Metric]:
    labels = ("process", "role")
    yield families.counter(
        "process_restarts",
        "Times it was started anew after it died",
        [((row.process, row.role), row.restarts) for row in listed if row.process != "supervisor"],
        labels,
    )
    sizes = [((row.process, row.role), host.resident_bytes(row.pid)) for row in listed]
    yield families.gauge(
        "process_resident_bytes",
        "Memory that it has in RAM, shared frames included",
        [(values, size) for values, size in sizes if size is not None],
        labels,
    )
