"""Metrics from the pool's state table: cameras, frames, outcomes and workers.

docs/metrics.md lists them.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from framefan.ipc.records import PICTURES
from framefan.settings.states import STATES, STILL
from framefan_gateway.http import prometheus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from framefan.ipc.records import CameraFacts, StateRecord, WorkerFacts
    from framefan_gateway.http.prometheus import Samples

WORKER_STATES = ("starting", "ready", "busy", "backoff", "failed", "stopping")
SUPERSEDED = ("newer", "no_worker", "no_slot", "max_fps", "removed", "circuit", STILL)
LOST = ("late", "worker_died", "predict_timeout", "no_outcome", "stopped")


def of_table(state: StateRecord) -> Iterator[Metric]:
    """All metrics of the table, one family after the other."""
    yield from _frames(state.cameras)
    yield from _outcomes(state.cameras)
    yield from _previews(state.cameras)
    yield from _states(state)


def _per_camera(cameras: dict[str, CameraFacts], field: str) -> Samples:
    return [((name,), getattr(facts, field)) for name, facts in cameras.items()]


def _per_cause(cameras: dict[str, CameraFacts], field: str, known: tuple[str, ...]) -> Samples:
    """By cause, with 0 for unseen causes: a rate misses the first step of a new counter."""
    return [
        ((name, cause), count)
        for name, facts in cameras.items()
        for cause, count in (dict.fromkeys(known, 0) | getattr(facts, field)).items()
    ]


def _frames(cameras: dict[str, CameraFacts]) -> Iterator[Metric]:
    by_camera = ("camera",)
    counters = (
        ("captured", "Frames captured"),
        ("leased", "Frames given to a worker"),
        ("bad", "Frames that could not be decoded"),
    )
    for field, text in counters:
        yield prometheus.counter(f"frames_{field}", text, _per_camera(cameras, field), by_camera)
    yield prometheus.counter(
        "frames_superseded",
        "Frames that were not given to a worker",
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
        "Outcomes of the frames given to workers",
        [
            ((name, kind), getattr(facts, field))
            for name, facts in cameras.items()
            for kind, field in kinds
        ],
        ("camera", "kind"),
    )
    yield prometheus.counter(
        "outcomes_lost",
        "Frames given to workers without a result or error",
        _per_cause(cameras, "lost_by", LOST),
        ("camera", "cause"),
    )


def _previews(cameras: dict[str, CameraFacts]) -> Iterator[Metric]:
    yield prometheus.counter(
        "previews",
        "Pictures encoded for clients",
        _per_cause(cameras, "previews", PICTURES),
        ("camera", "picture"),
    )
    yield prometheus.counter(
        "preview_cpu_seconds",
        "CPU time of workers for encoding pictures",
        _per_camera(cameras, "preview_cpu_s"),
        ("camera",),
    )


def _states(state: StateRecord) -> Iterator[Metric]:
    cameras = state.cameras
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
    yield from _workers(state)


def _workers(state: StateRecord) -> Iterator[Metric]:
    """Labelled by predictor if there are several."""
    named = ("predictor",) if state.has_several else ()

    def values(worker: WorkerFacts, value: str) -> tuple[str, ...]:
        return (value, worker.predictor_name) if named else (value,)

    counted = Counter(values(worker, worker.state) for worker in state.workers)
    states = dict.fromkeys((*WORKER_STATES, *(worker.state for worker in state.workers)))
    names: list[tuple[str, ...]] = [(name,) for name in state.predictors] if named else [()]
    yield prometheus.gauge(
        "workers",
        "Workers by state",
        [((each, *name), counted[each, *name]) for name in names for each in states],
        ("state", *named),
    )
    yield prometheus.gauge(
        "worker_busy_ratio",
        "Share of the last seconds spent in predict",
        [(values(worker, str(worker.id)), worker.busy) for worker in state.workers],
        ("worker", *named),
    )
    if named:
        yield prometheus.gauge(
            "camera_predictor",
            "1 for the predictor that gets the camera's frames",
            [((name, facts.predictor_name), 1) for name, facts in state.cameras.items()],
            ("camera", "predictor"),
        )
