"""What runs a model: onnxruntime where it is installed (extra `onnx`), else OpenCV's dnn."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np

from framefan.errors import StartError
from framefan_inference.predictors import threads

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Backend(Protocol):
    name: str

    def run(self, blob: NDArray[Any]) -> NDArray[Any]:
        """The output for `[N, 3, H, W]`, of the kind of number that the model takes."""


def load(path: str, device: str, name: str = "") -> Backend:
    """`device`: cpu, cuda or cuda:N; empty for the backend's own choice. Raises StartError."""
    has_runtime = importlib.util.find_spec("onnxruntime") is not None
    if name == "onnxruntime" and not has_runtime:
        raise StartError(
            "onnxruntime is not installed",
            "backend=onnxruntime asks for it",
            "pip install onnxruntime, or leave backend= out",
        )
    try:
        if name == "cv2" or not has_runtime:
            return OpenCV(path, device)
        return OnnxRuntime(path, device)
    except StartError:
        raise
    except Exception as error:  # onnxruntime's errors have no other base in common
        raise StartError(
            f"{path} cannot be loaded",
            " ".join(str(error).split())[:300],
            "check that it is a detector exported to ONNX with an opset that is supported",
        ) from error


def _number(device: str) -> int:
    """Of a CUDA device. Raises StartError for what names none."""
    kind, _, number = device.partition(":")
    if kind != "cuda" or (number and not number.isdecimal()):
        raise no_device(device, ["cpu", "cuda", "cuda:N"], "a device is one of those")
    return int(number or 0)


def no_device(device: str, there: list[str], why: str) -> StartError:
    return StartError(
        f'the device "{device}" is not there',
        f"{why}; available: {', '.join(there)}",
        "name one of those with --device, or leave it out",
    )


class OnnxRuntime:
    name = "onnxruntime"

    def __init__(self, path: str, device: str) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads.here()  # it reads no variable of its own
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = ort.InferenceSession(path, options, providers=self._providers(ort, device))
        self._input = self._session.get_inputs()[0].name

    @staticmethod
    def _providers(ort: Any, device: str) -> list[Any]:
        if device in ("", "cpu"):
            return ["CPUExecutionProvider"]
        number = _number(device)
        if "CUDAExecutionProvider" not in ort.get_available_providers():
            raise no_device(device, ["cpu"], "this onnxruntime is built without CUDA")
        return [("CUDAExecutionProvider", {"device_id": number}), "CPUExecutionProvider"]

    def run(self, blob: NDArray[Any]) -> NDArray[Any]:
        output: NDArray[Any] = self._session.run(None, {self._input: blob})[0]
        return output


class OpenCV:
    name = "cv2.dnn"

    def __init__(self, path: str, device: str) -> None:
        self._net = cv2.dnn.readNetFromONNX(path)
        if device not in ("", "cpu"):
            number = _number(device)
            there = [f"cuda:{each}" for each in range(cv2.cuda.getCudaEnabledDeviceCount())]
            if number >= len(there):
                raise no_device(device, ["cpu", *there], "this OpenCV sees no more")
            cv2.cuda.setDevice(number)
            self._net.setPreferableBackend(cv2.dnn.DNN_BACKEND_CUDA)
            self._net.setPreferableTarget(cv2.dnn.DNN_TARGET_CUDA)

    def run(self, blob: NDArray[Any]) -> NDArray[Any]:
        self._net.setInput(blob)
        return np.asarray(self._net.forward())
