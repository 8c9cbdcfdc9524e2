"""What a predictor REF on the command line means: its forms, and the built-in ones by name.

`onnx:PATH[?conf=0.25&iou=0.45&...]` names a model in an ONNX file. `OnnxOptions` lists its options.
"""

from __future__ import annotations

import difflib
import re
from typing import Any, Literal
from urllib.parse import parse_qsl

from msgspec import Struct

from framefan.errors import UsageError
from framefan.settings import onnx_values
from framefan.settings.source_spec import parse_size

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

FORMS = "a built-in name, package.module:Name, path/to/file.py:Name or onnx:PATH"
_OPTIONS = ("conf", "iou", "labels", "size", "backend", *onnx_values.READERS)
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
    """Less sure detections are left out."""
    iou: float = 0.45
    """Of two boxes of a class that overlap by more, one stays."""
    labels: str = ""
    size: tuple[int, int] | None = None
    """Width and height of the input."""
    backend: str = ""
    """What runs the model; empty: onnxruntime where it is installed, else OpenCV."""
    classes: tuple[str, ...] = ()
    """Names or numbers of the classes to keep; empty: all."""
    task: str = ""
    """What the model does, or whose head it has, where the file does not tell."""
    input: tuple[str, ...] = ()
    """The range of the input's pixels, their means and their order, where they are not usual."""
    max_det: int = 300
    """The most boxes of a picture."""
    agnostic: bool = False
    """Boxes of different classes that overlap are one, too."""
    rect: bool | None = None
    """Whether an input with free sides gets a rectangle; None: where the model can."""
    threads: int = 0
    """0: the share of this worker."""
    stretch: bool | None = None
    """Whether the frame is stretched to the input's size; None: as its head was trained."""


def onnx_options(target: str) -> OnnxOptions:
    """The path and the options behind it. Raises UsageError."""
    path, _, query = target.partition("?")
    values: dict[str, Any] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in _OPTIONS:
            near = difflib.get_close_matches(key, _OPTIONS, 1)
            raise UsageError(
                f'onnx: has no option "{key}"',
                f"its options are {', '.join(_OPTIONS)}",
                f"did you mean {near[0]}=?" if near else "leave it out",
            )
        values[key] = _option(key, value)
    return OnnxOptions(path, **values)


def _option(key: str, value: str) -> Any:
    if key in onnx_values.READERS:
        read, form, example = onnx_values.READERS[key]
        try:
            return read(value)
        except ValueError:
            raise _bad_option(key, value, form, example) from None
    if key == "labels":
        return value
    if key == "backend":
        if value in _BACKENDS:
            return value
        raise _bad_option(key, value, f"there are {' and '.join(_BACKENDS)}", "backend=cv2")
    if key == "size":
        try:
            return parse_size(value)
        except UsageError:
            raise _bad_option(key, value, "a size is WIDTHxHEIGHT", "size=640x640") from None
    try:
        share = float(value)
    except ValueError:
        share = -1.0
    if 0 <= share <= 1:
        return share
    raise _bad_option(key, value, "it lies between 0 and 1", f"{key}=0.5")


def _bad_option(key: str, value: str, why: str, example: str) -> UsageError:
    return UsageError(f'onnx: cannot use {key}="{value}"', why, f"write it as in {example}")


def parse(text: str) -> Reference:
    """By its form alone, nothing is imported or opened. Raises UsageError."""
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
        f"a predictor is {FORMS}; built in: {', '.join(BUILTIN)}",
        _advice(text),
    )


def _advice(text: str) -> str:
    if near := difflib.get_close_matches(text, BUILTIN, 1):
        return f"did you mean --predictor {near[0]}?"
    if text.endswith(".py"):
        return f"name the function or class in it: --predictor {text}:predict"
    return "see `framefan predictors` for what is built in"
