"""Settings: frozen, complete over the wire, and each child sees only what it may."""

from __future__ import annotations

import msgspec
import pytest

from framefan.ipc import processes
from framefan.ipc.messages import FromSupervisor, Start
from framefan.settings.run import CameraSettings, Limits, Settings
from framefan.settings.secret import Secret, SourceText

SECRET = "hunter2"
SETTINGS = Settings(
    cameras=(
        CameraSettings(
            name="front", source=SourceText(f"rtsp://admin:{SECRET}@a/live?key={SECRET}")
        ),
        CameraSettings(name="back", source=SourceText(f"http://admin:{SECRET}@b/mjpg")),
    ),
    token=Secret(SECRET),
    run_dir="/run/x",
)


def seen(stage: processes.Stage, role: str = "") -> Settings:
    return processes.settings_for(stage, role, SETTINGS)


def test_a_capture_sees_its_own_camera_and_nothing_else() -> None:
    settings = seen(processes.CAPTURE, "front")
    assert [camera.name for camera in settings.cameras] == ["front"]
    assert SECRET in settings.cameras[0].source.reveal()
    assert not settings.token


@pytest.mark.parametrize("stage", [processes.POOL, processes.WORKER])
def test_pool_and_workers_see_no_secret(stage: processes.Stage) -> None:
    assert SECRET.encode() not in msgspec.msgpack.encode(seen(stage))
    assert len(seen(stage).cameras) == 2


def test_the_gateway_sees_the_token_and_no_address() -> None:
    settings = seen(processes.GATEWAY)
    assert settings.token.reveal() == SECRET
    assert all(SECRET not in camera.source.reveal() for camera in settings.cameras)


def test_every_stage_but_capture_is_kept_from_sources() -> None:
    assert [stage.name for stage in processes.STAGES if stage.sees_sources] == ["capture"]
    assert [stage.name for stage in processes.STAGES if stage.sees_token] == ["gateway"]


def test_they_arrive_as_they_were_sent() -> None:
    sent = Start(SETTINGS, "front", 5)
    got = msgspec.msgpack.decode(msgspec.msgpack.encode(sent), type=FromSupervisor)
    assert got == sent


def test_they_are_frozen_and_know_their_keys() -> None:
    with pytest.raises(AttributeError):
        SETTINGS.port = 1  # type: ignore[misc]
    with pytest.raises(msgspec.ValidationError, match="nix"):
        msgspec.convert({"nix": 1}, Limits)


def test_derived_facts() -> None:
    assert SETTINGS.camera("back").source.reveal().endswith("/mjpg")
    with pytest.raises(StopIteration):
        SETTINGS.camera("nowhere")
    assert Settings(workers=4).slots == 7
    assert SETTINGS.path("pool") == "/run/x/pool"
    assert SETTINGS.results_endpoint == "ipc:///run/x/results"
    assert SETTINGS.outcomes_endpoint == "ipc:///run/x/outcomes"
