"""What a client asks for when it comes back, and what it may say of what it got."""

from __future__ import annotations

from msgspec import convert
from scripted_gateway import result, resumed

from framefan.client.position import Position, Positions
from framefan.client.recovery import SINCE_BYTES, Recovery
from framefan.ipc.protocol import Result, Resumed


def positions(*cameras: str) -> Positions:
    found = Positions()
    for camera in cameras:
        found.take(convert(result(7, camera), Result))
    return found


def told(camera: str, recovered: bool) -> Resumed:
    return convert(resumed(7, recovered, camera), Resumed)


def test_all_have_to_be_recovered_and_told() -> None:
    recovery = Recovery(positions("a", "b"), True)
    assert recovery.recovered is None
    since = recovery.asks(None)
    assert since == {"a": Position("e1", 7), "b": Position("e1", 7)}
    recovery.opened(since, None)
    recovery.told(told("a", True))
    assert recovery.recovered is None
    recovery.told(told("b", True))
    assert recovery.recovered is True
    recovery.opened(recovery.asks(None), None)
    assert recovery.recovered is None
    recovery.told(told("a", False))
    recovery.told(told("b", True))
    assert recovery.recovered is False


def test_only_cameras_that_are_asked_for_count() -> None:
    recovery = Recovery(positions("a", "b"), True)
    since = recovery.asks(["b"])
    assert set(since) == {"b"}
    recovery.opened(since, ["b"])
    recovery.told(told("b", True))
    assert recovery.recovered is True


def test_who_had_nothing_yet_has_nothing_to_recover() -> None:
    recovery = Recovery(positions(), True)
    recovery.opened(recovery.asks(None), None)
    assert recovery.recovered is None


def test_who_does_not_resume_does_not_recover() -> None:
    recovery = Recovery(positions("a"), False)
    assert recovery.asks(None) == {}
    recovery.opened({}, None)
    assert recovery.recovered is False


def test_what_does_not_fit_is_not_recovered() -> None:
    recovery = Recovery(positions(*(f"camera-{index}" for index in range(1000))), True)
    since = recovery.asks(None)
    assert 100 < len(since) < 1000
    assert sum(len(f"{camera}:e1:7,") for camera in since) <= SINCE_BYTES
    recovery.opened(since, None)
    for camera in since:
        recovery.told(told(camera, True))
    assert recovery.recovered is False
