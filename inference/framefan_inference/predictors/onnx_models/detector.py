"""A detector in an ONNX file as a predictor: letterbox, run, decode, boxes of the frame."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from framefan.base import logs
from framefan.errors import StartError
from framefan_inference.predictors.onnx_models import backends, file, heads, labels, letterbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from framefan.settings.predictor_ref import OnnxOptions

MOST = 8
NUMBERS: dict[int, tuple[type[np.generic], float]] = {
    1: (np.float32, 1 / 255),
    10: (np.float16, 1 / 255),
    2: (np.uint8, 1.0),
}
"""Kinds of an input's numbers that framefan can give, and what a pixel is multiplied by."""
_USUAL_SIZE = (640, 640)


class OnnxDetector:
    def __init__(self, options: OnnxOptions) -> None:
        self._options = options
        self.labels: dict[int, str] = {}
        self.max_batch = 1

    def setup(self, device: str) -> None:
        """Load, and predict once on an empty picture. Raises StartError."""
        options = self._options
        said = file.read(options.path)
        named = labels.read(options.labels) if options.labels else None
        self.labels = named.names if named else said.names
        _check(options.path, said)
        self._size = _size(options, said)
        self._numbers, self._scale = NUMBERS[said.kind]
        self._backend = backends.load(options.path, device, options.backend)
        if len(said.shape) == 4 and said.shape[0] is None:
            self.max_batch = MOST
        blank = np.zeros((self._size[1], self._size[0], 3), np.uint8)
        output = self._outputs([blank])
        if named:
            self._kind = labels.kind_of(output.shape, named, len(said.names))
        else:
            self._kind = heads.kind_of(output.shape, len(said.names))
        heads.check_scores(output[0], self._kind)
        logs.info(
            f"model {Path(options.path).name}",
            runs_on=self._backend.name,
            input="{}x{}".format(*self._size),
            classes=len(self.labels) or "unnamed",
        )

    def predict(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Rows x1, y1, x2, y2, confidence, class `float32[n, 6]`, in pixels of the frame."""
        return self.predict_batch([image])[0]

    def predict_batch(self, images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        canvases, fits = zip(*(letterbox.fit(image, self._size) for image in images), strict=True)
        outputs = self._outputs(canvases)
        return [
            self._rows(output, fit, image.shape)
            for output, fit, image in zip(outputs, fits, images, strict=True)
        ]

    def _outputs(self, canvases: Sequence[NDArray[np.uint8]]) -> NDArray[Any]:
        blob = cv2.dnn.blobFromImages(list(canvases), self._scale, swapRB=True)
        return np.asarray(self._backend.run(np.asarray(blob, self._numbers)), np.float32)

    def _rows(
        self, output: NDArray[Any], fit: letterbox.Fit, shape: tuple[int, ...]
    ) -> NDArray[np.float32]:
        rows = heads.decode(output, self._kind, self._options.conf, self._options.iou)
        rows[:, :4] = fit.back(rows[:, :4], shape[1], shape[0])
        return rows


def _check(path: str, said: file.OnnxFile) -> None:
    """Raises StartError for a model that is no detector of pictures with one output."""
    own = "run it in a predictor of your own"
    if said.task not in ("", "detect"):
        why = f"its file says that its task is {said.task}"
        raise StartError(f"{path} is no detector", why, f"export a detector, or {own}")
    for what, names in (("inputs", said.inputs), ("outputs", said.outputs)):
        if len(names) > 1:
            raise StartError(
                f"{path} has {len(names)} {what}: {', '.join(names)}",
                "framefan gives one picture and reads one output of boxes and scores",
                f"export it as a detector, or {own}",
            )
    if said.kind not in NUMBERS:
        raise StartError(
            f"{path} takes an input of another kind of number (ONNX data type {said.kind})",
            "framefan gives float32, float16 or uint8",
            f"export it with such an input, or {own}",
        )


def _size(options: OnnxOptions, said: file.OnnxFile) -> tuple[int, int]:
    """Width and height of the input. Raises StartError for an input that framefan cannot fill."""
    if len(said.shape) != 4 or said.shape[1] not in (3, None):
        text = "x".join(str(side or "?") for side in said.shape)
        raise StartError(
            f"{options.path} takes an input of shape {text}",
            "framefan gives 1x3xHEIGHTxWIDTH, RGB from 0 to 1",
            "export it with such an input, or run it in a predictor of your own",
        )
    if said.shape[0] not in (1, None):
        raise StartError(
            f"{options.path} takes exactly {said.shape[0]} pictures at once",
            "as many are seldom there: a model takes one, or any number",
            "export it with a batch of 1, or with a free one",
        )
    height, width = said.shape[2:]
    if options.size is None:
        return (width or _USUAL_SIZE[0], height or _USUAL_SIZE[1])
    fixed = (width or options.size[0], height or options.size[1])
    if fixed != options.size:
        raise StartError(
            "{} takes pictures of {}x{} only".format(options.path, *fixed),
            "size={}x{} was asked for".format(*options.size),
            "leave size= out, or export the model with free sides",
        )
    return options.size
