"""Parses the predictor REF of the command line, and lists the built-in predictors.

`onnx:PATH[?conf=0.25&iou=0.45&...]` names a model in an ONNX file. `OnnxOptions` lists its options.
"""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

from framefan.errors import UsageError, did_you_mean
from framefan.settings import onnx_values, query
from framefan.settings.options import PREDICTOR_FORMS

BUILTIN = {
    "motion": "boxes around whatever moves; learns the background of each camera by itself",
    "qr": "QR codes, each labelled with the text in it",
    "aruco": "ArUco markers of 4x4 cells, each labelled with its number",
    "health": "whether a camera is out of focus, too dark, too bright or has been moved",
}
"""Name and description; framefan_inference.predictors.builtin.NAME holds the predictor."""
EXAMPLES = (
    "framefan run --predictor qr rtsp://camera/stream",
    "framefan run --predictor model.py:predict --reload front=rtsp://camera/stream",
    "framefan run --predictor 'onnx:yolo.onnx?conf=0.4' --track --workers 2 yard.mp4",
    "framefan once --predictor my.package:Detector picture.jpg",
)
"""Command lines for `framefan predictors`."""

_BACKENDS = ("cv2", "onnxruntime")
_NAME = r"[A-Za-z_]\w*"
_MODULE = re.compile(rf"({_NAME}(?:\.{_NAME})*):({_NAME})")
_FILE = re.compile(rf"(.+\.py):({_NAME})")
_ONNX = re.compile(r"onnx:(.+)")


class Reference(Struct, frozen=True):
    kind: Literal["builtin", "module", "file", "onnx"]
    target: str
    """The built-in's name, the module, or the path."""
    attribute: str = ""


class OnnxOptions(Struct, frozen=True):
    path: str
    conf: float = 0.25
    """Detections with less confidence are left out."""
    iou: float = 0.45
    """If two boxes of one class overlap by more, only one is kept."""
    labels: str = ""
    size: tuple[int, int] | None = None
    """Width and height of the input."""
    backend: str = ""
    """The engine that runs the model; empty: onnxruntime if installed, else OpenCV."""
    classes: tuple[str, ...] = ()
    """Names or numbers of the classes to keep; empty: all."""
    task: str = ""
    """The model's task or the layout of its output, if the file does not say."""
    input: tuple[str, ...] = ()
    """The range, means and order of the input's pixels, if they are unusual."""
    max_det: int = 300
    """The maximum number of boxes per frame."""
    agnostic: bool = False
    """Whether only one of overlapping boxes is kept even if their classes differ."""
    rect: bool | None = None
    """Whether an input with free sides gets a rectangle; None: where the model can."""
    threads: int = 0
    """Threads of the engine; 0: this worker's share of the cores."""
    stretch: bool | None = None
    """Whether the frame is stretched to the input's size; None: as in this layout's training."""


def onnx_options(target: str) -> OnnxOptions:
    """The path and the options that follow it. Raises UsageError."""
    path, values = query.read(target, "onnx:", _READERS, "onnx:yolo.onnx?conf=0.4&size=640x640")
    return OnnxOptions(path, **values)


def _backend(text: str) -> str:
    if text not in _BACKENDS:
        raise ValueError(text)
    return text


_SHARE = (query.number(float, 0, 1), "a number between 0 and 1")
_READERS: dict[str, tuple[query.Reader, str]] = {
    "conf": _SHARE,
    "iou": _SHARE,
    "labels": (str, "the path of a text file"),
    "size": (query.size(), "WIDTHxHEIGHT"),
    "backend": (_backend, f"one of {' and '.join(_BACKENDS)}"),
    **onnx_values.READERS,
}


def parse(text: str) -> Reference:
    """Parse a reference by its form; nothing is imported or opened. Raises UsageError."""
    if text in BUILTIN:
        return Reference("builtin", text)
    if found := _ONNX.fullmatch(text):
        onnx_options(found[1])
        return Reference("onnx", found[1])
    if found := _FILE.fullmatch(text):
        return Reference("file", found[1], found[2])
    if found := _MODULE.fullmatch(text):
        return Reference("module", found[1], found[2])
    raise UsageError(
        f'"{text}" is no predictor',
        f"a predictor is {PREDICTOR_FORMS}; built in: {', '.join(BUILTIN)}",
        _advice(text),
    )


def _advice(text: str) -> str:
    if meant := did_you_mean(text, BUILTIN):
        return meant
    if text.endswith(".py"):
        return f"name the function or class in it: {text}:predict"
    return "see `framefan predictors` for what is built in"
