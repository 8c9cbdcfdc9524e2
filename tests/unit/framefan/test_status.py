"""What `framefan status` shows of a table."""

from __future__ import annotations

import pytest
from rich.console import Console

from framefan import status
from framefan.records import CameraFacts, GatewayFacts, Pid, StateRecord, WorkerFacts


@pytest.fixture
def state() -> StateRecord:
    cameras = {
        "down": CameraFacts(
            state="backoff", reason="refused", message="nobody listens", next_try_s=12.4
        ),
        "still": CameraFacts(state="frozen", reason="same_picture", width=640, height=360),
        "fine": CameraFacts(state="live", fps=25.0, captured=100),
        "odd": CameraFacts(state="backoff", reason="[red]\x1b[2J", next_try_s=1.0),
    }
    return StateRecord(
        epoch="e1", n=0, ts=0.0, version="0", name="default", run_dir="/run", url="",
        results_endpoint="", supervisor=Pid(1), pool=Pid(2), gateways=[GatewayFacts(id=1)],
        workers=[WorkerFacts(id=1, state="backoff", reason="died")], cameras=cameras,
    )  # fmt: skip


def shown(table: object) -> list[str]:
    console = Console(width=200, highlight=False)
    with console.capture() as capture:
        console.print(table)
    return [" ".join(line.split()) for line in capture.get().splitlines()]


def test_a_camera_that_is_down_says_why_and_when_it_is_tried_next(state: StateRecord) -> None:
    title, _, down, still, fine, odd = shown(status._cameras(state))
    assert title == "Cameras"
    assert down.startswith("down backoff - 0.0 0")
    assert still.startswith("still frozen 640x360")
    assert fine.startswith("fine live - 25.0 100")
    assert odd.startswith("odd backoff")
    down, still, odd = status.troubles(state)
    assert down == "  down: refused, nobody listens; next try in 12 s"
    assert still == "  still: same_picture"
    assert "[red]" in odd
    assert "\x1b" not in odd


def test_workers_and_gateways_have_their_rows(state: StateRecord) -> None:
    assert "backoff (died)" in shown(status._workers(state))[-1]
    assert shown(status._gateways(state))[-1].startswith("1 ready")
