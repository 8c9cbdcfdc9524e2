"""The metrics of a run in Prometheus' text format, built on each request.

docs/metrics.md lists them. Nothing is counted here: the samples come from the pool's state table
and from the counts of all gateways (run_stats.py). This module is imported on the first request,
because prometheus_client is slow to import.
"""

from __future__ import annotations

import importlib.metadata
import math
import platform
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from framefan.base import clock, host
from framefan.ipc.protocol import CAUSES
from framefan_gateway.http import prometheus, table_metrics
from framefan_gateway.latency import LAG_BOUNDS, STAGE_BOUNDS, STAGES, Histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from framefan.ipc.records import GatewayFacts, StateRecord
    from framefan_gateway.http.prometheus import Samples
    from framefan_gateway.intake import Intake
    from framefan_gateway.run_stats import Published, RunStats

ENDS = {"1000", "1001", "1002", "1003", "1005", "1006", "1007", "1008", "1009", "1011", "1013"}
ENDS |= {"4400", "4401", "4408", "4409"}
"""The close codes with a label of their own; a client may close with any of thousands."""
OTHER = "other"


class Process(NamedTuple):
    """One of the run's processes, as in the state table."""

    process: str
    role: str
    pid: int
    restarts: int


class Metrics:
    """Renders the pool's state table and the gateways' counts as of now."""

    def __init__(self, run_stats: RunStats, intake: Intake) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Run(run_stats, intake))

    def parts(self) -> Iterator[bytes]:
        """The page in parts, each of which takes a few milliseconds."""
        last = ""
        for family in self._registry.collect():
            text = generate_latest(_One(family))
            yield text.split(b"\n", 2)[2] if family.name == last else text  # HELP and TYPE once
            last = family.name


class _One(Collector):
    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        return (self._family,)


class _Run(Collector):
    def __init__(self, run_stats: RunStats, intake: Intake) -> None:
        self._run_stats = run_stats
        self._intake = intake
        self._build = _build()  # reads files, so only once

    def collect(self) -> Iterator[Metric]:
        state, gateways, now = self._intake.state, self._run_stats.gateways(), clock.now()
        living = [each for each in gateways if each.living]
        counted = sorted((each.facts for each in gateways), key=attrgetter("id"))
        yield self._build
        if state is not None:
            yield prometheus.gauge(
                "table_age_seconds",
                "Seconds since the gateway received the pool's last state table",
                [(_id(each), now - each.table_at) for each in living if each.table_at > -math.inf],
                ("gateway",),
            )
            yield from table_metrics.of_table(state)
        yield _changes(gateways, state)
        yield from _now(living)
        yield from _deliveries(counted)
        yield from _ends(counted)
        yield from _bus(state, counted)
        yield from _processes(_listed(state, gateways[0].facts))
        yield from _stages(gateways, state)
        yield prometheus.histogram(
            "loop_lag_seconds",
            "How late the gateway's event loop ran its timers",
            [(_id(each), Histogram.of(LAG_BOUNDS, each.lag)) for each in gateways],
            ("gateway",),
        )


# ---- build, stages -------------------------------------------------------------------------------


def _build() -> Metric:
    version, python = importlib.metadata.version("framefan"), platform.python_version()
    facts = {"version": version, "python": python}
    return InfoMetricFamily("framefan_build", "Versions of framefan and Python", value=facts)


def _id(gateway: Published) -> tuple[str]:
    return (str(gateway.facts.id),)


def _is_known(camera: str, state: StateRecord | None) -> bool:
    """Whether the camera exists; a gateway may still have counts of a removed one."""
    return state is None or camera in state.cameras


def _stages(gateways: list[Published], state: StateRecord | None) -> Iterator[Metric]:
    """One family, one piece per camera, because it is by far the largest."""
    for camera in dict.fromkeys(camera for each in gateways for camera in each.stages):
        if not _is_known(camera, state):
            continue
        yield prometheus.histogram(
            "stage_seconds",
            "Capture to predict, predict, predict to delivery, and capture to delivery",
            [
                ((*_id(each), camera, stage), Histogram.of(STAGE_BOUNDS, counted))
                for each in gateways
                for stage, counted in zip(STAGES, each.stages.get(camera, ()), strict=False)
            ],
            ("gateway", "camera", "stage"),
        )


def _changes(gateways: list[Published], state: StateRecord | None) -> Metric:
    """Each gateway counts every change; one that started later has counted fewer."""
    most: dict[tuple[str, str, str], int] = {}
    for each in gateways:
        for camera, into, reason, count in each.changes:
            if _is_known(camera, state):
                key = camera, into, reason
                most[key] = max(most.get(key, 0), count)
    return prometheus.counter(
        "camera_state_changes",
        "Times the camera entered a state, by reason",
        most.items(),
        ("camera", "state", "reason"),
    )


# ---- gateways ------------------------------------------------------------------------------------


def _now(living: list[Published]) -> Iterator[Metric]:
    """Gauges of running gateways; one that has ended has none."""
    gauges: tuple[tuple[str, str, Callable[[Published], float]], ...] = (
        ("clients", "Connected clients", lambda it: it.facts.clients),
        ("deliveries_pending", "Results that wait to be sent to a client", lambda it: it.pending),
        (
            "loop_lag_worst_seconds",
            "The greatest recent delay of the gateway's event loop",
            lambda it: it.facts.lag_s,
        ),
    )
    for name, text, value in gauges:
        yield prometheus.gauge(name, text, [(_id(it), value(it)) for it in living], ("gateway",))


def _deliveries(gateways: list[GatewayFacts]) -> Iterator[Metric]:
    by_gateway = ("gateway",)

    def per_gateway(field: str) -> Samples:
        return [((str(facts.id),), getattr(facts, field)) for facts in gateways]

    yield prometheus.counter(
        "deliveries_offered",
        "Results offered, summed over all clients",
        per_gateway("offered"),
        by_gateway,
    )
    yield prometheus.counter("deliveries_sent", "Results sent", per_gateway("sent"), by_gateway)
    yield prometheus.counter(
        "deliveries_missed",
        "Results that were not sent to a client",
        [
            ((str(facts.id), cause), facts.missed_by.get(cause, 0))
            for facts in gateways
            for cause in CAUSES
        ],
        ("gateway", "cause"),
    )
    yield prometheus.counter(
        "sent_bytes", "Bytes of messages sent to clients", per_gateway("bytes"), by_gateway
    )


def _ends(gateways: list[GatewayFacts]) -> Iterator[Metric]:
    ends: dict[tuple[str, str], int] = {}
    for facts in gateways:
        for code, count in facts.closed_by.items():
            shown = OTHER if code.isdecimal() and code not in ENDS else code
            key = str(facts.id), shown
            ends[key] = ends.get(key, 0) + count
    yield prometheus.counter(
        "closes", "Ended connections, by close code or reason", ends.items(), ("gateway", "code")
    )


def _bus(state: StateRecord | None, gateways: list[GatewayFacts]) -> Iterator[Metric]:
    readers = [("gateway", str(row.id), row.foreign, row.stale) for row in gateways]
    if state is not None:
        readers.append(("pool", "", state.foreign, state.stale))
    labels = ("process", "role")
    yield prometheus.counter(
        "bus_foreign",
        "Dropped messages that were not framefan's",
        [((process, role), foreign) for process, role, foreign, _ in readers],
        labels,
    )
    yield prometheus.counter(
        "bus_stale",
        "Dropped records of an earlier epoch or seq",
        [((process, role), stale) for process, role, _, stale in readers],
        labels,
    )
    yield prometheus.counter(
        "bus_gaps",
        "Records that the bus lost before they reached a gateway",
        [((str(row.id),), row.bus_gaps) for row in gateways],
        ("gateway",),
    )


# ---- processes -----------------------------------------------------------------------------------


def _listed(state: StateRecord | None, own: GatewayFacts) -> list[Process]:
    """All processes; `own`: the facts of this gateway, which knows its own pid."""
    if state is None:
        return [Process("gateway", str(own.id), own.pid, 0)]
    gateways = {row.id: Process("gateway", str(row.id), row.pid, row.restarts)
                for row in state.gateways}  # fmt: skip
    this = gateways.get(own.id, Process("gateway", str(own.id), own.pid, 0))
    return [
        Process("supervisor", "", state.supervisor.pid, state.supervisor.restarts),
        Process("pool", "", state.pool.pid, state.pool.restarts),
        *(
            Process("capture", name, camera.pid, camera.restarts)
            for name, camera in state.cameras.items()
        ),
        *(Process("worker", str(row.id), row.pid, row.restarts) for row in state.workers),
        *(gateways | {own.id: this._replace(pid=own.pid)}).values(),
    ]


def _processes(listed: list[Process]) -> Iterator[Metric]:
    labels = ("process", "role")
    yield prometheus.counter(
        "process_restarts",
        "Times the process was restarted after it died",
        [((row.process, row.role), row.restarts) for row in listed if row.process != "supervisor"],
        labels,
    )
    sizes = [((row.process, row.role), host.resident_bytes(row.pid)) for row in listed]
    yield prometheus.gauge(
        "process_resident_bytes",
        "Resident memory of the process, shared frames included",
        [(values, size) for values, size in sizes if size is not None],
        labels,
    )
