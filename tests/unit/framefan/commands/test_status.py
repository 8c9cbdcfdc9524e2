"""What `framefan status` shows of a table."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from framefan.commands import status
from framefan.ipc.records import (
    CameraFacts,
    GatewayFacts,
    Pid,
    PredictorFacts,
    StateRecord,
    WorkerFacts,
)


@pytest.fixture
def state() -> StateRecord:
    cameras = {
        "down": CameraFacts(
            state="backoff", reason="refused", message="nobody listens", next_try_s=12.4
        ),
        "still": CameraFacts(state="frozen", reason="same_picture", width=640, height=360),
        "fine": CameraFacts(state="live", fps=25.0, captured=100),
        "odd": CameraFacts(state="backoff", reason="[red]\x1b[2J", next_try_s=1.0),
        "slow": CameraFacts(state="live", fps=0.033, captured=5),
    }
    return StateRecord(
        epoch="e1", n=0, ts=0.0, version="0", name="default", run_dir="/run", url="",
        results_endpoint="", supervisor=Pid(1), pool=Pid(2), gateways=[GatewayFacts(id=1)],
        workers=[WorkerFacts(id=1, state="backoff", reason="died")], cameras=cameras,
    )  # fmt: skip


def shown(lines: list[str]) -> list[str]:
    return [" ".join(line.split()) for line in lines]


def test_a_camera_that_is_down_says_why_and_when_it_is_tried_next(state: StateRecord) -> None:
    _, down, still, fine, odd, slow = shown(status._cameras(state, None))
    assert down.startswith("down backoff - 0.0 0")
    assert still.startswith("still frozen 640x360")
    assert fine.startswith("fine live - 25.0 100")
    assert odd.startswith("odd backoff")
    assert slow.startswith("slow live - 0.033 5")
    down, still, odd = status.troubles(state)
    assert down == "  down: refused, nobody listens; next try in 12 s"
    assert still == "  still: same_picture"
    assert "[red]" in odd
    assert "\x1b" not in odd


def test_a_live_camera_whose_circuit_is_open_says_so(state: StateRecord) -> None:
    state.cameras = {
        "door": CameraFacts(state="live", circuit="open", circuit_message="3 workers died"),
        "fine": CameraFacts(state="live"),
    }
    assert status.troubles(state) == ["  door: its frames are left out, 3 workers died"]


def test_workers_and_gateways_have_their_rows(state: StateRecord) -> None:
    assert shown(status._workers(state, None))[-1].startswith("1 backoff")
    assert status._worker_troubles(state) == ["  1: died"]
    assert shown(status._gateways(state, None))[-1].startswith("1 ready")


def test_rows_name_their_predictor_if_there_are_several(state: StateRecord) -> None:
    state.predictors = {"people": PredictorFacts()}
    state.workers[0].predictor_name = state.cameras["fine"].predictor_name = "people"
    for table in (status._workers(state, None), status._cameras(state, None)):
        assert "predictor" not in table[0].split()
    state.predictors["plates"] = PredictorFacts()
    head, row = shown(status._workers(state, None))
    assert head.startswith("worker predictor state")
    assert row.startswith("1 people backoff")
    rows = shown(status._cameras(state, None))
    assert rows[0].startswith("camera state predictor")
    assert rows[3].startswith("fine live people - 25.0 100")


@pytest.mark.parametrize("width", [80, 100, None])
def test_names_are_shortened_before_numbers_and_reasons(
    state: StateRecord, width: int | None
) -> None:
    why = "the camera ended the stream, or accepts a connection and closes it: " + "x" * 90
    name = "the-camera-above-the-loading-bay-at-the-northern-gate"
    state.cameras = {
        name: CameraFacts(
            state="connecting", reason="closed", message=why, width=1920, height=1080, fps=29.9,
            captured=1_234_567, results=1_111_111, errors=123_456, lost=99, superseded=7_654_321,
        ),
        "人" * 30: CameraFacts(state="live", errors_in_row=2, last_error="KeyError: " + why),
    }  # fmt: skip
    lines = status.tables(state, width)
    row = lines[2].split()
    assert row[1:] == [
        *["connecting", "1920x1080", "29.9", "1234567", "1111111", "123456", "99", "7654321"]
    ]
    assert row[0] == name if width is None else name.startswith(row[0].removesuffix(".."))
    assert any(why in line and "KeyError" in line for line in lines)
    assert any(f"closed, {why}" in line for line in lines)
    if width:
        assert all(cell_len(line) <= width for line in lines if not line.startswith("  "))
    else:
        assert any("人" * 30 in line for line in lines)
