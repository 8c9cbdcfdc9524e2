"""Track ids of all cameras: one numbering that nobody else's results change."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from pictures import Stamps, at

from framefan_inference.tracking.track_ids import TrackIds


def _sent(
    ids: TrackIds, payload: Any, camera: str = "cam", model: str = "m", ts: float = 1.0
) -> Any:
    raw = msgspec.Raw(msgspec.msgpack.encode(payload))
    return msgspec.msgpack.decode(ids.payload(camera, model, Stamps(ts), raw))


def test_payloads_get_ids_and_a_camera_that_left_gets_new_ones() -> None:
    ids = TrackIds(["cam", "other"])
    assert [_sent(ids, [at(100)])[0]["track_id"] for _ in range(2)] == [1, 1]
    assert _sent(ids, [at(100)], "other")[0]["track_id"] == 2, "no id of another camera"
    ids.forget("cam")
    assert _sent(ids, [at(100)])[0]["track_id"] == 3
    assert _sent(ids, "no detections") == "no detections"


def test_a_predictor_that_gives_ids_is_left_to_it() -> None:
    ids, own = TrackIds(["cam"]), at(100)
    own.track_id = 70
    assert _sent(ids, [own, at(300)]) == msgspec.json.decode(msgspec.json.encode([own, at(300)]))
    assert "track_id" not in _sent(ids, [at(300)])[0], "it numbers them itself"
    assert _sent(ids, [at(300)], model="new")[0]["track_id"] == 1, "a swapped predictor does not"


@given(st.permutations([*["a"] * 5, *["b"] * 5, *["late"] * 5, *["later"] * 5]))
def test_ids_of_a_camera_do_not_depend_on_when_the_others_results_come(order: list[str]) -> None:
    """Each result of a camera shows another thing."""
    ids, given_to = TrackIds(["a", "b"]), dict[str, list[int]]()
    for camera in order:
        seen = given_to.setdefault(camera, [])
        seen.append(_sent(ids, [at(300.0 * len(seen))], camera, ts=len(seen))[0]["track_id"])
    assert given_to["a"] == [1, 3, 5, 7, 9]
    assert given_to["b"] == [2, 4, 6, 8, 10]
    everybody = [number for numbers in given_to.values() for number in numbers]
    assert len(set(everybody)) == 20, "of cameras that join later, too"
