"""What a predictor REF on the command line means: its forms, and the built-in ones by name."""

from __future__ import annotations

import difflib
import re
from typing import Literal

from msgspec import Struct

from framefan.errors import UsageError

BUILTIN = {
    "motion": "boxes around whatever moves; learns the background of each camera by itself",
    "qr": "QR codes, each labelled with the text in it",
    "aruco": "ArUco markers of 4x4 cells, each labelled with its number",
    "health": "whether a camera is out of focus, too dark, too bright or has been moved",
}
"""Name and description; framefan_inference.builtin.NAME holds the predictor."""

FORMS = "a built-in name, package.module:Name, path/to/file.py:Name or onnx:PATH"
_NAME = r"[A-Za-z_]\w*"
_MODULE = re.compile(rf"({_NAME}(?:\.{_NAME})*):({_NAME})")
_FILE = re.compile(rf"(.+\.py):({_NAME})")
_ONNX = re.compile(r"onnx:(.+)")


class Reference(Struct, frozen=True):
    kind: Literal["builtin", "module", "file", "onnx"]
    target: str
    """The built-in's name, the module, or the path."""
    attribute: str = ""


def parse(text: str) -> Reference:
    """By its form alone, nothing is imported or opened. Raises UsageError."""
    if text in BUILTIN:
        return Reference("builtin", text)
    if found := _ONNX.fullmatch(text):
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
