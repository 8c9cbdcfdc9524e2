"""What a person says of a camera: each field checked, each mistake named, no secret shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from framefan.config.camera_settings import made_of
from framefan.errors import FramefanError, StartError, UsageError
from framefan.settings.run import CameraSettings

RTSP = "rtsp://admin:hunter2@cam.example/live?key=0123456789"


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


def camera(source: Any = RTSP, **fields: Any) -> CameraSettings:
    (made,) = made_of([{"name": "front", "source": source} | fields])
    return made


def refused(code: int, *words: str, source: Any = RTSP, **fields: Any) -> None:
    with pytest.raises(FramefanError) as raised:
        camera(source, **fields)
    error = raised.value
    assert isinstance(error, UsageError if code == 2 else StartError)
    text = "\n".join(error.lines())
    for word in words:
        assert word in text
    for secret in ("hunter2", "0123456789"):
        assert secret not in text
    assert len(error.lines()) == 3
    assert all("\n" not in line for line in error.lines())


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("rtsp://", "complete address"),
        ("rtsp://u:hunter2@host:99999/x", "complete address"),
        ("http://host:0/?key=0123456789", "complete address"),
        ("https:///path", "complete address"),
        ("demo?nonsense=1", '"nonsense"'),
        ("demo?fps=x", 'fps="x"'),
    ],
)
def test_a_source_with_a_typo_is_refused_before_anything_is_started(source: str, word: str) -> None:
    refused(2, word, source=source)


def test_all_fields_can_be_set() -> None:
    fields = {
        "mode": "live",
        "fast": True,
        "loop": True,
        "predictor": "people",
        "max_fps": 12.5,
        "max_size": "1280x720",
        "transport": "udp",
        "open_timeout_s": 3,
        "read_timeout_s": 4.0,
        "stalled_s": 1,
        "frozen_s": 0,
        "no_progress_s": 20,
        "backoff_first_s": 1,
        "backoff_cap_s": 5,
        "gate": "motion",
        "gate_keep_s": 0.5,
    }
    made = camera(**fields)
    assert {key: getattr(made, key) for key in fields} == fields
    assert set(fields) | {"name", "source"} == set(CameraSettings.__struct_fields__)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"max_fps": "ten"}, ("max_fps", "front", "'ten'")),
        ({"mode": "evry"}, ("mode", "evry", "it may be live or every")),
        ({"loop": 1}, ("loop",)),
        ({"transport": "quic"}, ("transport", "quic", "it may be tcp or udp")),
        ({"max_size": "large"}, ("large", "1280x720")),
        ({"max_size": "0x100"}, ("0x100",)),
        ({"max_size": 720}, ("max_size",)),
        ({"backoff_first_s": 9, "backoff_cap_s": 3}, ("backoff_cap_s", "9 or more")),
    ],
)
def test_values_of_another_kind_are_named(fields: dict[str, Any], words: tuple[str, ...]) -> None:
    refused(2, *words, **fields)


@pytest.mark.parametrize("source", ["demo", "0", "http://h/x.mjpg"])
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_only_rtsp_has_a_transport(source: str, transport: str) -> None:
    refused(2, "transport", "rtsp://", source=source, transport=transport)


# ---- the time without progress -----------------------------------------------------------------


def test_a_camera_with_patient_timeouts_is_not_killed_while_it_waits() -> None:
    assert camera().no_progress_s == 15
    assert camera(open_timeout_s=1).no_progress_s == 15
    assert camera(read_timeout_s=30).no_progress_s == 65
    assert camera(open_timeout_s=20, read_timeout_s=1).no_progress_s == 45


@pytest.mark.parametrize("given", [3, 60])
def test_a_time_too_short_for_the_timeouts_is_refused(given: float) -> None:
    refused(2, "no_progress_s", "65 s", read_timeout_s=30, no_progress_s=given)
    assert camera(read_timeout_s=30, no_progress_s=61).no_progress_s == 61


@pytest.mark.parametrize("source", ["demo", "0"])
def test_where_opencv_has_no_timeouts_they_limit_nothing(source: str) -> None:
    assert camera(source, no_progress_s=2).no_progress_s == 2
    assert camera(source, read_timeout_s=30).no_progress_s == 15


# ---- sources -----------------------------------------------------------------------------------


def test_what_is_played_fast_is_played_whole_unless_it_is_to_be_live() -> None:
    assert camera("demo", fast=True).mode == "every"
    assert camera("demo", fast=True, mode="live").mode == "live"
    assert camera("demo").mode == "live"
    assert camera(fast=True).mode == "live", "a stream does not wait"


def test_blanks_around_a_source_are_no_part_of_it() -> None:
    assert camera(f" {RTSP}\n").source.reveal() == RTSP
    refused(2, "looks like an address", source=f'"{RTSP}"')


def test_a_webcam_may_be_written_as_a_number() -> None:
    assert camera(0).source.reveal() == "0"


@pytest.mark.parametrize("source", [True, -1, 1.5, [RTSP], {"url": RTSP}])
def test_sources_that_are_no_text_are_refused_unseen(source: Any) -> None:
    refused(2, "source", "front", source=source)


def test_a_camera_without_a_source() -> None:
    with pytest.raises(UsageError, match="the camera front has no source"):
        made_of([{"name": "front"}])


def test_a_function_of_the_users() -> None:
    Path("my.py").write_text("def frames(): ...")
    made = camera("py:my.py:frames")
    assert made.source.reveal() == "py:my.py:frames"
    assert camera("py:my.py:frames", mode="every").mode == "every"
    refused(3, "other.py", source="py:other.py:frames")
    Path("folder.py").mkdir()
    refused(3, "folder.py", source="py:folder.py:frames")


@pytest.mark.parametrize(
    "source", ["py:", "py:my.py", "py:my:frames", "py:my.py:", "py:my.py:a.b", "py:my.py:1"]
)
def test_functions_that_are_malformed(source: str) -> None:
    refused(2, "py:", source=source)


def test_paths_are_the_users_own(monkeypatch, tmp_path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    (home / "my.py").write_text("x")
    (home / "a.mp4").write_text("x")
    assert camera("py:~/my.py:frames").source.reveal() == f"py:{home}/my.py:frames"
    assert camera("~/a.mp4").source.reveal() == f"{home}/a.mp4"
