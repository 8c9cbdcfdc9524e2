"""Runs a model with onnxruntime if it is installed (extra `onnx`), else with OpenCV's dnn."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np

from framefan.errors import StartError
from framefan_inference.predictors import threads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
"""onnxruntime's execution providers, by the word before the colon of `--device`."""
SPINNING = "0"
"""Whether threads of onnxruntime spin while they wait, which costs CPU: "1" or "0"."""
INSTALL = "pip install 'framefan[onnx]'"


class Backend(Protocol):
    name: str
    runs_on: str
    """The library and the device, for people."""

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """The outputs in the order of the file. Raises whatever the library raises."""


def load(
    path: str,
    device: str,
    name: str = "",
    outputs: Sequence[str] = (),
    count: int = 0,
    varying: Sequence[str] = (),
) -> Backend:
    """Load the model. Raises StartError.

    `device`: cpu, cuda or cuda:N, tensorrt, openvino; empty: the backend's default.
    `name`: cv2 or onnxruntime; empty: onnxruntime if it is installed.
    `outputs`: names in the order of the file. `count`: threads; 0: this worker's share.
    `varying`: operators of the graph whose number of rows differs from picture to picture.
    """
    has_runtime = importlib.util.find_spec("onnxruntime") is not None
    if name == "onnxruntime" and not has_runtime:
        raise StartError(
            "onnxruntime is not installed",
            "backend=onnxruntime needs it",
            f"{INSTALL}, or leave backend= out",
        )
    count = count or threads.here()
    is_opencv = name == "cv2" or not has_runtime
    if is_opencv and varying:
        raise _varies(path, varying)
    try:
        if is_opencv:
            return OpenCV(path, device, outputs, count)
        return OnnxRuntime(path, device, count)
    except StartError:
        raise
    except Exception as error:  # onnxruntime's errors have no other base in common
        other = f"; OpenCV runs fewer models than onnxruntime: {INSTALL}" if is_opencv else ""
        raise StartError(
            f"{path} cannot be loaded",
            " ".join(str(error).split())[:300],
            f"check that it was exported with a supported opset{other}",
        ) from error


def _varies(path: str, operators: Sequence[str]) -> StartError:
    """OpenCV 5 plans room for the rows of its first picture: later ones lose boxes in silence, and
    one without any box ends the process by SIGFPE.
    """
    return StartError(
        f"OpenCV cannot run {path}",
        f"how many rows its graph has depends on the picture ({', '.join(operators)}), and OpenCV "
        "loses some of them",
        f"{INSTALL}, or export the model without nms=True",
    )


def no_device(device: str, there: Sequence[str], why: str) -> StartError:
    return StartError(
        f'the device "{device}" is not available',
        f"{why}; available: {', '.join(there)}",
        "set one of these with --device, or leave it out",
    )


def providers(device: str, available: Sequence[str]) -> list[Any]:
    """The execution providers for a device, the preferred one first. Raises StartError.

    `available`: the providers that this onnxruntime is built with.
    """
    kind, _, rest = (device or "cpu").partition(":")
    there = [word for word, provider in PROVIDERS.items() if provider in available]
    if kind not in PROVIDERS:
        raise no_device(device, there, f"a device is one of {', '.join(PROVIDERS)}")
    if kind not in there:
        raise no_device(device, there, f"this onnxruntime is built without {PROVIDERS[kind]}")
    if kind == "openvino":
        options: dict[str, Any] = {"device_type": rest.upper() or "CPU"}
    elif kind == "cpu" and not rest:
        return [PROVIDERS["cpu"]]
    elif kind != "cpu" and (not rest or rest.isdecimal()):
        options = {"device_id": int(rest or 0)}
    else:
        raise no_device(device, there, "only cuda: and tensorrt: take a GPU number")
    chain = ["tensorrt", "cuda"] if kind == "tensorrt" else [kind]
    found = [(PROVIDERS[each], options) for each in chain if each in there]
    return [*found, PROVIDERS["cpu"]]


class OnnxRuntime:
    name = "onnxruntime"

    def __init__(self, path: str, device: str, count: int) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = count  # onnxruntime reads no environment variable for it
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", SPINNING)
        options.log_severity_level = 4  # its exceptions contain what it would print
        wanted = providers(device, ort.get_available_providers())
        self._session = ort.InferenceSession(path, options, providers=wanted)
        first = wanted[0][0] if isinstance(wanted[0], tuple) else wanted[0]
        used = self._session.get_providers()
        if first not in used:  # onnxruntime falls back to the CPU silently
            there = [word for word, provider in PROVIDERS.items() if provider in used]
            raise no_device(device, there, f"onnxruntime could not start its {first}")
        self.runs_on = f"onnxruntime {ort.__version__}, {first}"

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        return [np.asarray(each) for each in self._session.run(None, dict(inputs))]


class OpenCV:
    name = "cv2.dnn"

    def __init__(self, path: str, device: str, outputs: Sequence[str], count: int) -> None:
        self._net = cv2.dnn.readNetFromONNX(path)
        self.runs_on = f"OpenCV {cv2.__version__}, {device or 'cpu'}"
        self._count = count
        self._outputs = self._names(path, outputs)
        if device not in ("", "cpu"):
            self._use(device)

    def _names(self, path: str, wanted: Sequence[str]) -> list[str]:
        """OpenCV's names of the outputs, in the file's order. Raises StartError."""
        there = list(self._net.getUnconnectedOutLayersNames())
        if len(there) == 1 or set(there) == set(wanted):
            return there if len(there) == 1 else list(wanted)
        found = [next((own for own in there if own.endswith(each)), "") for each in wanted]
        if all(found) and len(set(found)) == len(found):
            return found
        raise StartError(
            f"{path} has outputs to which OpenCV gives other names",
            f"in the file they are {', '.join(wanted)}, in OpenCV {', '.join(there)}",
            INSTALL,
        )

    def _use(self, device: str) -> None:
        kind, _, number = device.partition(":")
        there = [f"cuda:{each}" for each in range(cv2.cuda.getCudaEnabledDeviceCount())]
        if kind != "cuda" or (number and not number.isdecimal()):
            raise no_device(device, ["cpu", *there], "OpenCV runs on cpu, cuda or cuda:N")
        if int(number or 0) >= len(there):
            raise no_device(device, ["cpu", *there], "this OpenCV has no other device")
        cv2.cuda.setDevice(int(number or 0))
        self._net.setPreferableBackend(cv2.dnn.DNN_BACKEND_CUDA)
        self._net.setPreferableTarget(cv2.dnn.DNN_TARGET_CUDA)

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        if self._count and cv2.getNumThreads() != self._count:  # it applies to the whole process
            cv2.setNumThreads(self._count)
        if len(inputs) == 1:
            (blob,) = inputs.values()
            self._net.setInput(blob)
        else:
            for name, blob in inputs.items():
                self._net.setInput(blob, name)
        return [np.asarray(each) for each in self._net.forward(self._outputs)]
