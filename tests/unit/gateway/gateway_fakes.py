"""Records as the pool makes them, for tests to put on the bus or straight into the intake."""

from __future__ import annotations

from typing import Any

import msgspec

from framefan.base import clock
from framefan.ipc.records import (
    CameraFacts,
    Detection,
    OutcomeRecord,
    Pid,
    PredictError,
    StateRecord,
    StatusRecord,
    WorkerFacts,
)

DETECTIONS = [Detection("person", 0.91, (10.5, 20.2, 110.0, 220.5), class_id=0, track_id=17)]


def outcome(seq: int, camera: str = "cam", **changes: Any) -> OutcomeRecord:
    kind = changes.pop("kind", "detections")
    payloads = {
        "detections": DETECTIONS,
        "value": {"count": 3},
        "error": PredictError("ValueError", "no"),
        "lost": "worker_died",
    }
    payload = changes.pop("payload", payloads[kind])
    now = clock.now()
    facts: dict[str, Any] = {
        "epoch": "k3f9",
        "n": seq,
        "kind": kind,
        "camera": camera,
        "seq": seq,
        "frame": seq * 2,
        "ts": clock.wall(),
        "captured_at": now - 0.017,
        "started_at": now - 0.015,
        "finished_at": now - 0.001,
        "width": 1280,
        "height": 720,
        "model": "motion",
        "worker": 2,
        "payload": msgspec.Raw(msgspec.msgpack.encode(payload)),
    }
    return OutcomeRecord(**(facts | changes))


def status(state: str, camera: str | None = "cam", **changes: Any) -> StatusRecord:
    facts: dict[str, Any] = {
        "epoch": "k3f9", "n": 0, "ts": 1.0, "subject": "camera", "camera": camera, "state": state,
    }  # fmt: skip
    return StatusRecord(**(facts | changes))


def state(cameras: dict[str, CameraFacts] | None = None, **changes: Any) -> StateRecord:
    facts: dict[str, Any] = {
        "epoch": "k3f9",
        "n": 0,
        "ts": clock.wall(),
        "version": "0",
        "name": "test",
        "run_dir": "/run",
        "results_endpoint": "ipc:///run/results",
        "url": "",
        "supervisor": Pid(1),
        "pool": Pid(2),
        "gateways": [],
        "workers": [WorkerFacts(id=1, state="ready")],
        "cameras": {"cam": CameraFacts(state="live", been_live=True)}
        if cameras is None
        else cameras,
    }
    return StateRecord(**(facts | changes))


def parts(topic: str, record: msgspec.Struct) -> list[bytes]:
    return [topic.encode(), msgspec.msgpack.encode(record)]
