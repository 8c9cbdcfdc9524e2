"""What is said to and by a camera in the pool."""

from __future__ import annotations

from typing import Any

from framefan.ipc.messages import HelloCapture, Ready, SourceStatus
from framefan.settings.run import CameraSettings
from framefan.settings.secret import SourceText

SETTINGS = CameraSettings(name="cam", source=SourceText("demo"), stalled_s=2.0)


def hello(pid: int, frame: int = 0, began: int = 0) -> HelloCapture:
    return HelloCapture("cam", pid, frame, began)


def ready(frame: int = 0, size: tuple[int, int] = (640, 480), **counts: int) -> Ready:
    totals = {"captured": 1, "bad": 0, "no_slot": 0} | counts
    return Ready(1, 0, frame, 100.0, 5.0, *size, **totals)


def said(state: str, reason: str = "", **facts: Any) -> SourceStatus:
    return SourceStatus(state, reason, **facts)


FROZEN = said("frozen", "same_picture", message="nothing moves")
LARGER, LARGEST = (1280, 720), (1920, 1080)


def told(record: Any) -> tuple[str, str] | None:
    return None if record is None else (record.state, record.reason)
