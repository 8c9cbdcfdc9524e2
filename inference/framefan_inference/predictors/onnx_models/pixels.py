"""Converts images to a model's input: its size, its data type, and the values of pixels.

No file contains the range of the values or the order of the channels. The default is RGB from 0 to
1, or from 0 to 255 if the input is uint8. The layout of the outputs may imply another input, and
the option `input=` overrides both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from msgspec import Struct

from framefan.errors import StartError
from framefan.settings.onnx_values import ORDERS, RANGES
from framefan_inference.predictors.onnx_models.several import SIZES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from framefan.settings.predictor_ref import OnnxOptions
    from framefan_inference.predictors.onnx_models.file import OnnxFile, Tensor

NUMBERS: dict[int, type[np.generic]] = {
    1: np.float32,
    2: np.uint8,
    6: np.int32,
    7: np.int64,
    10: np.float16,
    11: np.float64,
}
"""Data types by their number in TensorProto.DataType."""
_OF_PICTURES = (np.float32, np.uint8, np.float16)
_USUAL_SIDE = 640
_MEANS, _DEVIATIONS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the images of ImageNet, RGB from 0 to 1."""
_OWN = "or run it in a predictor of your own (docs/predictors.md)"


class Pixels(Struct, frozen=True):
    """How images become the input of a model."""

    numbers: type[np.generic]
    range: str
    order: str
    channels: int = 3
    is_last: bool = False
    """Whether the channels are the last dimension instead of the second."""

    def blob(self, canvases: Sequence[NDArray[np.uint8]]) -> NDArray[Any]:
        """The input `[N, C, H, W]` or `[N, H, W, C]` from BGR images `uint8[H, W, 3]`."""
        if self.channels == 1:
            canvases = [cv2.cvtColor(each, cv2.COLOR_BGR2GRAY) for each in canvases]  # type: ignore[misc]
        scale = {"255": 1.0, "signed": 1 / 127.5}.get(self.range, 1 / 255)
        swap = self.order == "rgb" and self.channels == 3
        blob: Any = cv2.dnn.blobFromImages(list(canvases), scale, swapRB=swap)
        if self.range == "signed":
            blob -= 1
        elif self.range == "imagenet":
            blob -= self._by_channel(_MEANS)
            blob /= self._by_channel(_DEVIATIONS)
        if self.is_last:
            blob = np.ascontiguousarray(blob.transpose(0, 2, 3, 1))
        return np.asarray(blob, self.numbers)

    def _by_channel(self, values: tuple[float, ...]) -> NDArray[np.float32]:
        ordered = values if self.order == "rgb" else values[::-1]
        return np.array(ordered, np.float32).reshape(3, 1, 1)

    def __str__(self) -> str:
        place = "NHWC" if self.is_last else "NCHW"
        colours = self.order.upper() if self.channels == 3 else "grey"
        ranges = {"1": "0 to 1", "255": "0 to 255", "signed": "-1 to 1", "imagenet": "ImageNet's"}
        return f"{np.dtype(self.numbers).name} {place}, {colours} {ranges[self.range]}"


def pixels(options: OnnxOptions, picture: Tensor, usual: tuple[str, ...]) -> Pixels:
    """`usual`: the range and order that the layout of the outputs implies. Raises StartError."""
    numbers = NUMBERS[picture.kind]
    said = options.input
    fallback = ("255" if numbers == np.uint8 else "1", "rgb")
    found = [
        next((word for word in (*said, *usual, *fallback) if word in words), "")
        for words in (RANGES, ORDERS)
    ]
    channels, is_last = _channels(picture)
    if numbers == np.uint8 and found[0] != "255":
        raise StartError(
            f"{options.path} takes whole numbers from 0 to 255",
            f"input={','.join(said)} sets another range",
            "leave input= out, or set only the channel order with it",
        )
    if channels == 1 and found[0] == "imagenet":
        raise StartError(
            f"{options.path} takes greyscale images",
            "input=imagenet needs three channels",
            "leave input= out",
        )
    return Pixels(numbers, found[0], found[1], channels, is_last)


def _channels(picture: Tensor) -> tuple[int, bool]:
    """The number of channels, and whether they are the last dimension."""
    _, second, _, last = picture.shape
    is_last = second not in (1, 3) and last in (1, 3)
    return (last if is_last else second) or 3, is_last


def sides(picture: Tensor) -> tuple[int | None, int | None]:
    """Width and height of the input; None for a dynamic dimension."""
    _, is_last = _channels(picture)
    height, width = picture.shape[1:3] if is_last else picture.shape[2:4]
    return width, height


def size(options: OnnxOptions, file: OnnxFile) -> tuple[int, int]:
    """Width and height of the input. Raises StartError if `size=` does not fit it."""
    width, height = sides(file.picture)
    wanted = options.size or file.said.size or (_USUAL_SIDE, _USUAL_SIDE)
    fixed = (width or wanted[0], height or wanted[1])
    if options.size and fixed != options.size:
        raise StartError(
            "{} takes only images of {}x{}".format(options.path, *fixed),
            "the option is size={}x{}".format(*options.size),
            "leave size= out, or export the model with dynamic sides",
        )
    return fixed


def check(path: str, file: OnnxFile) -> None:
    """Raises StartError if framefan cannot provide an input."""
    picture = file.picture
    text = "x".join(str(side or "?") for side in picture.shape)
    if len(picture.shape) != 4 or _channels(picture)[0] not in (1, 3):
        raise StartError(
            f"{path} takes an input of shape {text}",
            "framefan provides 1x3xHEIGHTxWIDTH or 1xHEIGHTxWIDTHx3, or 1 channel for greyscale",
            f"export it with such an input, {_OWN}",
        )
    if picture.shape[0] not in (1, None):
        raise StartError(
            f"{path} has a fixed batch of {picture.shape[0]} images",
            "framefan supports a batch of 1 or a dynamic batch",
            "export it with a batch of 1, or with a dynamic batch",
        )
    if NUMBERS.get(picture.kind) not in _OF_PICTURES:
        raise StartError(
            f"{path} takes an input of an unsupported data type (ONNX data type {picture.kind})",
            "framefan provides float32, float16 or uint8",
            f"export it with such an input, {_OWN}",
        )
    names = [each.name for each in file.inputs]
    unknown = [
        each.name
        for each in file.inputs
        if each is not picture and (each.name not in SIZES or each.kind not in NUMBERS)
    ]
    if unknown:
        raise StartError(
            f"{path} has {len(names)} inputs: {', '.join(names)}",
            f"framefan provides an image and, by name, {' and '.join(SIZES)}; "
            f"it cannot provide {', '.join(unknown)}",
            f"export it with the image as its only input, {_OWN}",
        )
