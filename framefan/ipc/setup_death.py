"""The error for a predictor whose process dies before it is ready."""

from __future__ import annotations

import importlib.util

from framefan.errors import StartError, UsageError
from framefan.settings import predictor_ref

_INSTALL = "pip install 'framefan[onnx]'"
_ALONE = "import and call it by itself to see the whole error"


def told(reference: str, ending: str) -> StartError:
    """The error; `ending`: how the process ended, as text."""
    return StartError(
        f'the predictor "{reference}" ended its process while it was set up',
        ending,
        cure(reference),
    )


def cure(reference: str) -> str:
    """What the user can do about it."""
    try:
        parsed = predictor_ref.parse(reference)
        backend = predictor_ref.onnx_options(parsed.target).backend if parsed.kind == "onnx" else ""
    except UsageError:
        return _ALONE
    if parsed.kind != "onnx":
        return _ALONE
    has_runtime = importlib.util.find_spec("onnxruntime") is not None
    if backend == "cv2" or not has_runtime:
        without = "leave backend=cv2 out" if has_runtime else _INSTALL
        return f"{without}: OpenCV's dnn dies of some models that onnxruntime runs"
    return "export the model once more, or try another device or backend=cv2"
