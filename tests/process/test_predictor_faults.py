"""What a WebSocket client sees of a predictor that does everything wrong: errors that name it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from faults import limits, sabotage
from faulty import CASES
from runs import Run, assert_balanced
from waiting import SCALE
from websockets.sync.client import connect

FAULTY = f"{Path(__file__).parent / 'faulty.py'}:predict"
SOURCE = "cam=demo?size=320x240&fps=20"
NAMES = list(CASES)
FINE_WITH_A_COPY = ("keeps", "writes by force")
"""Once the predictor has kept an image it gets copies, which are its own."""


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def _told(run: Run, count: int) -> list[dict[str, Any]]:
    """So many results and errors, as a strict reader of JSON gets them."""
    found = []
    with connect(run.ws, proxy=None) as client:
        while len(found) < count:
            text = client.recv(timeout=20 * SCALE)
            message = json.loads(text, parse_constant=_refuse)
            if message["type"] in ("result", "error"):
                found.append(message)
    return found


def test_every_fault_becomes_an_error_that_names_it() -> None:
    with Run(SOURCE, "-p", FAULTY, "-w", "1", env=limits(state_every_s=0.2)) as run:
        worker = run.pid_of("worker")
        told = _told(run, 2 * len(NAMES) + 2)
        seen: dict[str, list[dict[str, Any]]] = {name: [] for name in NAMES}
        for message in told:
            seen[NAMES[message["seq"] % len(NAMES)]].append(message)
        assert all(seen.values()), [name for name, messages in seen.items() if not messages]
        for name, messages in seen.items():
            for message in messages:
                _check(name, message)
        assert run.pid_of("worker") == worker, "it died of one of them"
        facts = run.camera("cam")
        assert facts.lost == 0, facts
        assert facts.errors >= sum(bool(kind) for _, kind in CASES.values())
        assert run.log().count("kept the image") == 1, "told more than once"
        assert_balanced(run.fresh_state())


def _check(name: str, message: dict[str, Any]) -> None:
    kind = CASES[name][1]
    if message["type"] == "result" and (not kind or name in FINE_WITH_A_COPY):
        assert "result" in message or "detections" in message, (name, message)
        return
    assert kind, (name, message)
    assert message["type"] == "error", (name, message)
    assert message["error"]["kind"] == kind, (name, message)
    assert message["error"]["message"], name
    assert len(json.dumps(message)) < 4000, name
    assert math.isfinite(message["latency_ms"]["predict"])


KEEPER = f"{Path(__file__).parent / 'faulty.py'}:keeps_all"


def _changed(told: list[dict[str, Any]]) -> list[int]:
    """How many of the images it had kept the predictor found changed, frame by frame."""
    return [message["result"]["changed"] for message in told if message["type"] == "result"]


def test_a_predictor_that_keeps_an_image_is_told_once_and_gets_copies() -> None:
    with Run(SOURCE, "-p", KEEPER, "-w", "1") as run:
        told = _told(run, 30)
        assert len(_changed(told)) > 20
        assert not any(_changed(told)), "what it kept was written over"
        facts = run.camera("cam")
        assert facts.errors == 1, facts
        assert run.log().count("kept the image") == 1
        assert_balanced(run.fresh_state())


def test_without_counting_references_its_images_would_change(tmp_path: Path) -> None:
    broken = sabotage(
        tmp_path, "framefan_inference.worker", "import sys\nsys.getrefcount = lambda _: 2"
    )
    with Run(SOURCE, "-p", KEEPER, "-w", "1", env=broken) as run:
        assert any(_changed(_told(run, 30)))
