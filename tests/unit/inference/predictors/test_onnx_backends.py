"""What runs a model: devices by name, threads that do not spin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest

from framefan.errors import StartError
from framefan_inference.predictors import threads
from framefan_inference.predictors.onnx_models import backends

SHAPES = str(Path(__file__).parents[4] / "examples" / "shapes" / "shapes.onnx")
ALL = list(backends.PROVIDERS.values())
CPU, CUDA, TENSORRT, OPENVINO = (
    backends.PROVIDERS[name] for name in ("cpu", "cuda", "tensorrt", "openvino")
)


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("", [CPU]),
        ("cpu", [CPU]),
        ("cuda", [(CUDA, {"device_id": 0}), CPU]),
        ("cuda:1", [(CUDA, {"device_id": 1}), CPU]),
        ("tensorrt:1", [(TENSORRT, {"device_id": 1}), (CUDA, {"device_id": 1}), CPU]),
        ("openvino", [(OPENVINO, {"device_type": "CPU"}), CPU]),
        ("openvino:gpu", [(OPENVINO, {"device_type": "GPU"}), CPU]),
    ],
)
def test_a_device_is_a_provider_by_name(device: str, expected: list[Any]) -> None:
    assert backends.providers(device, ALL) == expected


@pytest.mark.parametrize("device", ["tpu", "cuda:x", "cpu:1", "cuda:-1"])
def test_what_is_no_device_names_those_there_are(device: str) -> None:
    with pytest.raises(StartError) as raised:
        backends.providers(device, ALL)
    assert device in raised.value.what
    assert "cpu, cuda, tensorrt, openvino" in raised.value.why


@pytest.mark.parametrize("device", ["cuda", "tensorrt", "openvino"])
def test_one_that_this_onnxruntime_lacks_is_refused(device: str) -> None:
    with pytest.raises(StartError) as raised:
        backends.providers(device, [CPU, "AzureExecutionProvider"])
    assert f"built without {backends.PROVIDERS[device]}" in raised.value.why
    assert raised.value.why.endswith("available: cpu")


class Session:
    """Stands for onnxruntime's, which goes on with the CPU where its provider does not start."""

    made: Any = None

    def __init__(self, _: str, options: Any, providers: Any) -> None:
        Session.made = options

    def get_providers(self) -> list[str]:
        return [CPU]


def test_a_provider_that_does_not_start_is_no_silent_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ALL)
    with pytest.raises(StartError, match='the device "cuda" is not available') as raised:
        backends.load(SHAPES, "cuda")
    assert "could not start its CUDAExecutionProvider" in raised.value.why


@pytest.mark.parametrize(("asked", "expected"), [(0, 3), (2, 2)])
def test_threads_are_this_workers_share_and_do_not_spin(
    asked: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(threads, "here", lambda: 3)
    backends.load(SHAPES, "", count=asked)
    options = Session.made
    assert options.intra_op_num_threads == expected
    assert options.inter_op_num_threads == 1
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_opencv_uses_as_many_threads_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    monkeypatch.setattr(cv2, "setNumThreads", told.append)
    monkeypatch.setattr(cv2, "getNumThreads", lambda: told[-1] if told else 7)
    backend = backends.load(SHAPES, "", "cv2", ["found"], count=3)
    for _ in range(2):
        backend.run({"images": np.zeros((1, 3, 192, 320), np.float32)})
    assert told == [3]


def test_a_model_that_does_not_load_names_the_other_backend(tmp_path: Path) -> None:
    junk = tmp_path / "junk.onnx"
    junk.write_bytes(b"\x08\x08")
    with pytest.raises(StartError) as raised:
        backends.load(str(junk), "", "cv2")
    assert "framefan[onnx]" in raised.value.fix
