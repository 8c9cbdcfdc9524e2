"""The metrics of a run in Prometheus' text form, made from the state table when they are asked for.

docs/metrics.md lists them. Nothing is counted here: the pool's table and what all gateways have
counted (whole.py) are turned into samples. Loaded at the first request for them, since
prometheus_client takes a while to import.
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
from framefan.ipc.records import PICTURES
from framefan.settings.states import STATES
from framefan_gateway.http import prometheus
from framefan_gateway.latency import LAG_BOUNDS, STAGE_BOUNDS, STAGES, Histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from framefan.ipc.records import CameraFacts, GatewayFacts, StateRecord, WorkerFacts
    from framefan_gateway.http.prometheus import Samples
    from framefan_gateway.intake import Intake
    from framefan_gateway.whole import Published, Whole

WORKER_STATES = ("starting", "ready", "busy", "backoff", "failed", "stopping")
SUPERSEDED = ("newer", "no_worker", "no_slot", "max_fps", "removed", "circuit")
LOST = ("late", "worker_died", "predict_timeout", "no_outcome", "stopped")
ENDS = {"1000", "1001", "1002", "1003", "1005", "1006", "1007", "1008", "1009", "1011", "1013"}
ENDS |= {"4400", "4401", "4408", "4409"}
"""The close codes that are told each by itself: a client may close with any of thousands."""
OTHER = "other"


class Process(NamedTuple):
    """One of the run's processes, as its table names it."""

    process: str
    role: str
    pid: int
    restarts: int


class Metrics:
    """Renders what the pool's table and the gateways' counts are at that moment."""

    def __init__(self, whole: Whole, intake: Intake) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Run(whole, intake))

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
    def __init__(self, whole: Whole, intake: Intake) -> None:
        self._whole = whole
        self._intake = intake
        self._build = _build()  # reads files: once

    def collect(self) -> Iterator[Metric]:
        state, gateways, now = self._intake.state, self._whole.gateways(), clock.now()
        living = [each for each in gateways if each.living]
        counted = sorted((each.facts for each in gateways), key=attrgetter("id"))
        yield self._build
        if state is not None:
            yield prometheus.gauge(
                "table_age_seconds",
                "Since the gateway had the pool's last state table",
                [(_id(each), now - each.table_at) for each in living if each.table_at > -math.inf],
                ("gateway",),
            )
            yield from _frames(state.cameras)
            yield from _outcomes(state.cameras)
            yield from _previews(state.cameras)
            yield from _states(state.cameras, state.workers)
        yield _changes(gateways, state)
        yield from _now(living)
        yield from _deliveries(counted)
        yield from _ends(counted)
        yield from _bus(state, counted)
        yield from _processes(_listed(state, gateways[0].facts))
        yield from _stages(gateways, state)
        yield prometheus.histogram(
            "loop_lag_seconds",
            "How late the gateway's loop ran what was due",
            [(_id(each), Histogram.of(LAG_BOUNDS, each.lag)) for each in gateways],
            ("gateway",),
        )


# ---- what runs -----------------------------------------------------------------------------------


def _build() -> Metric:
    version, python = importlib.metadata.version("framefan"), platform.python_version()
    facts = {"version": version, "python": python}
    return InfoMetricFamily("framefan_build", "What runs", value=facts)


def _id(gateway: Published) -> tuple[str]:
    return (str(gateway.facts.id),)


def _is_known(camera: str, state: StateRecord | None) -> bool:
    """A gateway may still have counts of a camera that is gone."""
    return state is None or camera in state.cameras


def _stages(gateways: list[Published], state: StateRecord | None) -> Iterator[Metric]:
    """One family in as many pieces as there are cameras: it is by far the largest."""
    for camera in dict.fromkeys(camera for each in gateways for camera in each.stages):
        if not _is_known(camera, state):
            continue
        yield prometheus.histogram(
            "stage_seconds",
            "Grab to predict, in predict, predict's end to delivery, and the whole",
            [
                ((*_id(each), camera, stage), Histogram.of(STAGE_BOUNDS, counted))
                for each in gateways
                for stage, counted in zip(STAGES, each.stages.get(camera, ()), strict=False)
            ],
            ("gateway", "camera", "stage"),
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
        yield prometheus.counter(f"frames_{field}", text, _per_camera(cameras, field), by_camera)
    yield prometheus.counter(
        "frames_superseded",
        "Frames that no worker was given",
        _per_cause(cameras, "superseded_by", SUPERSEDED),
        ("camera", "cause"),
    )
    gauges = (("waiting", "Frames that wait for a worker"), ("running", "Frames at a worker"))
    for field, text in gauges:
        yield prometheus.gauge(f"frames_{field}", text, _per_camera(cameras, field), by_camera)


def _outcomes(cameras: dict[str, CameraFacts]) -> Iterator[Metric]:
    kinds = (("result", "results"), ("error", "errors"), ("lost", "lost"))
    yield prometheus.counter(
        "outcomes",
        "What became of the frames given to workers",
        [
            ((name, kind), getattr(facts, field))
            for name, facts in cameras.items()
            for kind, field in kinds
        ],
        ("camera", "kind"),
    )
    yield prometheus.counter(
        "outcomes_lost",
        "Frames given to workers that have no result",
        _per_cause(cameras, "lost_by", LOST),
        ("camera", "cause"),
    )


def _previews(cameras: dict[str, CameraFacts]) -> Iterator[Metric]:
    yield prometheus.counter(
        "previews",
        "Pictures made for those who watch",
        _per_cause(cameras, "previews", PICTURES),
        ("camera", "picture"),
    )
    yield prometheus.counter(
        "preview_cpu_seconds",
        "CPU time of workers for them",
        _per_camera(cameras, "preview_cpu_s"),
        ("camera",),
    )


def _states(cameras: dict[str, CameraFacts], workers: list[WorkerFacts]) -> Iterator[Metric]:
    yield prometheus.gauge(
        "camera_state",
        "1 for the state that the camera is in",
        [
            ((name, state), state == facts.state)
            for name, facts in cameras.items()
            for state in dict.fromkeys((*STATES, facts.state))
        ],
        ("camera", "state"),
    )
    yield prometheus.gauge(
        "camera_errors_in_row",
        "Frames on which predict failed since the last result",
        _per_camera(cameras, "errors_in_row"),
        ("camera",),
    )
    states = [worker.state for worker in workers]
    yield prometheus.gauge(
        "workers",
        "Workers by state",
        [((state,), states.count(state)) for state in dict.fromkeys((*WORKER_STATES, *states))],
        ("state",),
    )
    yield prometheus.gauge(
        "worker_busy_ratio",
        "Share of the last seconds spent in predict",
        [((str(worker.id),), worker.busy) for worker in workers],
        ("worker",),
    )


def _changes(gateways: list[Published], state: StateRecord | None) -> Metric:
    """Each gateway hears of each change: one that was not there for some has counted fewer."""
    most: dict[tuple[str, str, str], int] = {}
    for each in gateways:
        for camera, into, reason, count in each.changes:
            if _is_known(camera, state):
                key = camera, into, reason
                most[key] = max(most.get(key, 0), count)
    return prometheus.counter(
        "camera_state_changes",
        "Times the camera came into a state, by reason",
        most.items(),
        ("camera", "state", "reason"),
    )


# ---- gateways ------------------------------------------------------------------------------------


def _now(living: list[Published]) -> Iterator[Metric]:
    """What is so at this moment: a gateway that is gone has none of it."""
    gauges: tuple[tuple[str, str, Callable[[Published], float]], ...] = (
        ("clients", "Clients that are connected", lambda it: it.facts.clients),
        ("deliveries_pending", "Results that wait for a client's line", lambda it: it.pending),
        (
            "loop_lag_worst_seconds",
            "How late the gateway's loop was at worst, lately",
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
        "Results that were due, over all clients",
        per_gateway("offered"),
        by_gateway,
    )
    yield prometheus.counter("deliveries_sent", "Results sent", per_gateway("sent"), by_gateway)
    yield prometheus.counter(
        "deliveries_missed",
        "Results that a client was not sent",
        [
            ((str(facts.id), cause), facts.missed_by.get(cause, 0))
            for facts in gateways
            for cause in CAUSES
        ],
        ("gateway", "cause"),
    )
    yield prometheus.counter(
        "sent_bytes", "Bytes given to clients' lines", per_gateway("bytes"), by_gateway
    )


def _ends(gateways: list[GatewayFacts]) -> Iterator[Metric]:
    ends: dict[tuple[str, str], int] = {}
    for facts in gateways:
        for code, count in facts.closed_by.items():
            shown = OTHER if code.isdecimal() and code not in ENDS else code
            key = str(facts.id), shown
            ends[key] = ends.get(key, 0) + count
    yield prometheus.counter(
        "closes", "Clients gone, by close code or reason", ends.items(), ("gateway", "code")
    )


def _bus(state: StateRecord | None, gateways: list[GatewayFacts]) -> Iterator[Metric]:
    readers = [("gateway", str(row.id), row.foreign, row.stale) for row in gateways]
    if state is not None:
        readers.append(("pool", "", state.foreign, state.stale))
    labels = ("process", "role")
    yield prometheus.counter(
        "bus_foreign",
        "Messages that were none of ours: dropped",
        [((process, role), foreign) for process, role, foreign, _ in readers],
        labels,
    )
    yield prometheus.counter(
        "bus_stale",
        "Records of what was settled before: dropped",
        [((process, role), stale) for process, role, _, stale in readers],
        labels,
    )
    yield prometheus.counter(
        "bus_gaps",
        "Records that the bus lost on their way to a gateway",
        [((str(row.id),), row.bus_gaps) for row in gateways],
        ("gateway",),
    )


# ---- processes -----------------------------------------------------------------------------------


def _listed(state: StateRecord | None, own: GatewayFacts) -> list[Process]:
    """`own`: of the gateway that is asked, whose pid no table needs to tell."""
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
        "Times it was started anew after it died",
        [((row.process, row.role), row.restarts) for row in listed if row.process != "supervisor"],
        labels,
    )
    sizes = [((row.process, row.role), host.resident_bytes(row.pid)) for row in listed]
    yield prometheus.gauge(
        "process_resident_bytes",
        "Memory that it has in RAM, shared frames included",
        [(values, size) for values, size in sizes if size is not None],
        labels,
    )
