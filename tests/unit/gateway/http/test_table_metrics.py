"""Metrics of the pool's table where a run has several predictors."""

from __future__ import annotations

from test_metrics import Run, total, value

from framefan.ipc.records import CameraFacts, PredictorFacts, WorkerFacts
from framefan_gateway.http import table_metrics


def test_workers_have_the_label_of_their_predictor_if_there_are_several() -> None:
    workers = [
        WorkerFacts(id=1, state="busy", busy=0.5, predictor_name="people"),
        WorkerFacts(id=2, state="backoff", predictor_name="plates"),
        WorkerFacts(id=3, state="ready", predictor_name="plates"),
    ]
    cameras = {"front": CameraFacts(predictor_name="plates")}
    two = {"people": PredictorFacts(workers=1), "plates": PredictorFacts(workers=2)}
    samples = Run(cameras, workers=workers, predictors=two).samples()
    for predictor, counts in {"people": {"busy": 1}, "plates": {"backoff": 1, "ready": 1}}.items():
        for each in table_metrics.WORKER_STATES:
            found = value(samples, "workers", state=each, predictor=predictor)
            assert found == counts.get(each, 0)
    assert value(samples, "worker_busy_ratio", worker="1", predictor="people") == 0.5
    assert value(samples, "camera_predictor", camera="front", predictor="plates") == 1
    one = Run(cameras, workers=workers[1:], predictors={"plates": two["plates"]}).samples()
    assert value(one, "workers", state="ready") == 1
    assert value(one, "worker_busy_ratio", worker="2") == 0
    assert not total(one, "camera_predictor")
