"""What a reload does to the cameras, and the lines that people read of it: pure functions."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framefan.ipc.messages import Reloaded
from framefan.settings.run import CameraSettings, Limits, Settings
from framefan.settings.secret import Secret, SourceText
from framefan.supervisor.reload import lines
from framefan.supervisor.reload_plan import plan


def camera(name: str, source: str = "demo", **fields: object) -> CameraSettings:
    return CameraSettings(name=name, source=SourceText(source), **fields)


def settings(*cameras: CameraSettings, **fields: object) -> Settings:
    return Settings(cameras=cameras, **fields)


CAMERAS = st.builds(
    camera, st.sampled_from("abcd"), st.sampled_from(["demo", "0"]), max_fps=st.sampled_from([0, 5])
)
FLEETS = st.lists(CAMERAS, unique_by=lambda each: each.name).map(lambda each: settings(*each))


@given(FLEETS, FLEETS)
def test_following_the_plan_makes_the_old_cameras_the_new_ones(
    old: Settings, new: Settings
) -> None:
    made = plan(old, new)
    cameras = {each.name: each for each in old.cameras}
    for name in made.removed:
        del cameras[name]
    for name in made.added:
        assert name not in cameras
    for name in made.added + made.changed:
        cameras[name] = new.camera(name)
    assert cameras == {each.name: each for each in new.cameras}
    names = [*made.added, *made.changed, *made.removed, *made.kept]
    assert len(names) == len(set(names))
    assert plan(new, new).kept == [each.name for each in new.cameras]


@pytest.mark.parametrize("field", [f for f in CameraSettings.__struct_fields__ if f != "name"])
def test_any_field_makes_a_camera_another(field: str) -> None:
    other = {"source": SourceText("0"), "mode": "every", "max_size": "9x9", "transport": "udp"}
    value = other.get(field, 7.0)
    changed = msgspec.structs.replace(camera("a"), **{field: value})
    assert plan(settings(camera("a")), settings(changed)).changed == ["a"]


def test_what_is_no_camera_is_named_with_its_key_in_the_file() -> None:
    old = settings(camera("a"), token=Secret("one"), origins=("http://a",))
    new = settings(
        camera("a"),
        workers=4,
        token=Secret("two"),
        duration_s=1.5,
        limits=Limits(predict_s=3),
    )
    notes = plan(old, new).notes
    assert notes == [
        "the token changed: takes effect at the next start",
        "origin changed from http://a to none: takes effect at the next start",
        "duration changed from 0 to 1.5: takes effect at the next start",
        "limits.predict_s changed from 10 to 3: takes effect at the next start",
    ]


def test_a_renamed_camera_is_explained() -> None:
    made = plan(settings(camera("front", "0")), settings(camera("door", "0")))
    assert (made.added, made.removed) == (["door"], ["front"])
    assert "door has the source that front had" in made.notes[0]


def test_the_lines_for_people() -> None:
    done = Reloaded(["a"], ["b"], ["c", "d"], ["e"], ["workers changed"])
    assert lines(done) == [
        "added    a",
        "changed  b",
        "removed  c",
        "removed  d",
        "note     workers changed",
    ]
    assert lines(Reloaded([], [], [], ["e"], [])) == ["nothing changed"]
    applied = {"workers": ("2", "3"), "predictor": ("motion", "a.py:b")}
    assert lines(Reloaded([], [], [], [], ["a note"], applied, ["gateways did not: x"])) == [
        "changed  workers 2 -> 3",
        "changed  predictor motion -> a.py:b",
        "failed   gateways did not: x",
        "note     a note",
    ]
