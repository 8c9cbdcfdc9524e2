"""A chain as a predictor: a detector, and `on_crops` on what it found (framefan/predictors.py).

1. The detector predicts on the pictures, one or a batch.
2. What it returned must be detections. They are checked as any result is, since crops are cut by
   their boxes.
3. Each chosen detection is cut out of its picture. The crops of all pictures are one call.
4. The answers are merged into the detections, picture by picture.

What goes wrong with one picture is the error of that picture: `predict_batch` then holds a
ResultError in its place. What `on_crops` raises is passed on; the worker then tries the pictures of
a batch one by one.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import cv2
import numpy as np

from framefan.base import clock, logs, userfile
from framefan.errors import FramefanError, StartError
from framefan.ipc.records import Detection
from framefan_inference.predictors import results
from framefan_inference.predictors.chain_answers import merge
from framefan_inference.predictors.frame import Frame
from framefan_inference.predictors.result_error import ResultError, counted, named

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from framefan.predictors import Chain

_BYTES = 1 << 20
"""The most bytes of detections here; the worker's own limit comes after it."""
_MADE_UP = 64
"""The side of the crop that is tried where nothing is found."""


class _Detector(Protocol):
    """What is used of a loaded predictor (predictor.py)."""

    stateful: bool
    place: str

    @property
    def notices(self) -> list[tuple[str, str]]: ...
    @property
    def max_batch(self) -> int: ...
    @property
    def labels(self) -> Any: ...
    def setup(self, device: str = "") -> bool: ...
    def predict(self, image: Any, frame: Frame) -> Any: ...
    def predict_batch(self, images: Sequence[Any], frames: Sequence[Frame]) -> list[Any]: ...
    def about(self, jpeg: bytes) -> dict[str, str]: ...
    def close(self) -> None: ...


class _Crop(NamedTuple):
    number: int
    """Of its detection."""
    left: int
    top: int
    image: NDArray[np.uint8]


class Chained:
    def __init__(self, chain: Chain, detector: _Detector, on_crops: Any) -> None:
        """`detector` is a loaded predictor, `on_crops` a function or an object."""
        self._chain = chain
        self._detector = detector
        self._on_crops = on_crops
        self._place = userfile.place(on_crops)
        self._left_out: set[str] = set()
        self.stateful = self._detector.stateful or bool(getattr(on_crops, "stateful", False))

    @property
    def notices(self) -> list[tuple[str, str]]:
        return self._detector.notices

    @property
    def max_batch(self) -> int:
        return self._detector.max_batch

    def setup(self, device: str) -> bool:
        """Set up both; returns whether one of them takes the device."""
        uses_device = self._detector.setup(device)
        setup = getattr(self._on_crops, "setup", None)
        if not callable(setup):
            return uses_device
        if "device" in inspect.signature(setup).parameters:
            setup(device=device)
            return True
        setup()
        return uses_device

    def predict(self, image: Any, frame: Frame) -> list[Detection]:
        """Detections, merged with what `on_crops` returned. Raises ResultError, and what the user's
        code raises.
        """
        (found,) = self._look([image], [self._detector.predict(image, frame)])
        if isinstance(found, ResultError):
            raise found
        return found

    def predict_batch(
        self, images: Sequence[Any], frame: Sequence[Frame]
    ) -> list[list[Detection] | ResultError]:
        return self._look(images, self._detector.predict_batch(images, frame))

    def close(self) -> None:
        self._detector.close()
        close = getattr(self._on_crops, "close", None)
        if callable(close):
            close()

    # ---- the second stage ----------------------------------------------------------------------

    def _look(
        self, images: Sequence[Any], returned: Sequence[Any]
    ) -> list[list[Detection] | ResultError]:
        found, crops = [], []
        for image, each in zip(images, returned, strict=True):
            detections, cut = self._cut(image, each)
            found.append(detections)
            crops.append(cut)
        answers = iter(self._ask(found, crops))
        return [
            detections
            if isinstance(detections, ResultError)
            else self._merged(detections, cut, [next(answers) for _ in cut])
            for detections, cut in zip(found, crops, strict=True)
        ]

    def _cut(self, image: Any, returned: Any) -> tuple[list[Detection] | ResultError, list[_Crop]]:
        """The detections of a picture and the crops of the chosen ones, or why there are none."""
        try:
            found = results.detections_in(
                returned, self._detector.labels, _BYTES, image.shape[1::-1], self._tell_left_out
            )
            if found is None:
                raise ResultError(
                    "unsupported",
                    f"the detector of a chain returned {named(returned)} that holds no "
                    "detections, by which crops are cut",
                )
            return found, [
                crop for number in self._chosen(found) if (crop := self._crop(image, found, number))
            ]
        except ResultError as error:
            return ResultError(error.kind, error.message + self._detector.place), []

    def _chosen(self, found: Sequence[Detection]) -> list[int]:
        labels = self._chain.labels
        chosen = [n for n, each in enumerate(found) if labels is None or each.label in labels]
        chosen.sort(key=lambda n: -found[n].confidence)
        return sorted(chosen[: self._chain.max_crops])

    def _crop(self, image: Any, found: Sequence[Detection], number: int) -> _Crop | None:
        """None for a box that is too small. Raises ResultError for one without a pixel."""
        height, width = image.shape[:2]
        x1, y1, x2, y2 = found[number].box
        inside = min(x2, width) - max(x1, 0), min(y2, height) - max(y1, 0)
        if min(inside) <= 0 or min(inside) < self._chain.min_size:
            if self._chain.min_size:
                return None
            raise ResultError(
                "bad_detection",
                f'the box of the detection "{found[number].label}" has no pixel inside the picture '
                f"of {width}x{height}, so there is no crop of it: "
                f"{', '.join(f'{each:.10g}' for each in found[number].box)}; "
                "chain(..., min_size=1) leaves out such boxes",
            )
        across, down = self._chain.margin * (x2 - x1), self._chain.margin * (y2 - y1)
        left, top = max(0, math.floor(x1 - across)), max(0, math.floor(y1 - down))
        right, bottom = min(width, math.ceil(x2 + across)), min(height, math.ceil(y2 + down))
        return _Crop(number, left, top, image[top:bottom, left:right].copy())

    def _ask(
        self, found: Sequence[list[Detection] | ResultError], crops: Sequence[list[_Crop]]
    ) -> list[Any]:
        """An answer for each crop; with a wrong number of them, the error for each."""
        images = [crop.image for cut in crops for crop in cut]
        if not images:
            return []
        about = [
            detections[crop.number]
            for detections, cut in zip(found, crops, strict=True)
            if not isinstance(detections, ResultError)
            for crop in cut
        ]
        answers = self._on_crops(images, about)
        if not isinstance(answers, list | tuple) or len(answers) != len(images):
            is_list = isinstance(answers, list | tuple)
            told = counted(len(answers), "result") if is_list else named(answers)
            why = (
                f"on_crops returned {told} for {counted(len(images), 'crop')}: it must return a "
                "list with one item for each crop, in their order; None leaves a detection as it is"
            )
            error = ResultError("wrong_count", why + self._place)
            return [error] * len(images)
        return list(answers)

    def _merged(
        self, found: list[Detection], crops: Sequence[_Crop], answers: Sequence[Any]
    ) -> list[Detection] | ResultError:
        merged: list[Detection | None] = list(found)
        try:
            for crop, answer in zip(crops, answers, strict=True):
                merged[crop.number] = merge(found[crop.number], answer, crop.left, crop.top)
        except ResultError as error:
            place = "" if error.kind == "wrong_count" else self._place
            return ResultError(error.kind, error.message + place)
        return [each for each in merged if each is not None]

    def _tell_left_out(self, what: str) -> None:
        if what not in self._left_out:
            self._left_out.add(what)
            logs.warning(f"the detector of a chain returns {what}, which clients do not get")

    # ---- for people ----------------------------------------------------------------------------

    def about(self, jpeg: bytes) -> dict[str, str]:
        """What the detector is, and what `on_crops` made of a picture's crops.

        Where nothing is found, `on_crops` gets a grey crop. Raises StartError.
        """
        told = dict(self._detector.about(jpeg))
        data = np.frombuffer(jpeg, np.uint8)
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if jpeg else None
        try:
            told["on_crops"] = self._tried(None if picture is None else np.asarray(picture))
        except ResultError as error:
            raise _fails(error.message) from None
        except FramefanError:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's code may raise anything
            raise _fails(f"{type(error).__name__}: {userfile.told(error)}") from None
        return told

    def _tried(self, picture: Any) -> str:
        """Raises ResultError, and what the user's code raises."""
        found: list[Detection] = []
        crops: list[_Crop] = []
        where = "a picture of the first camera"
        if picture is not None:
            frame = Frame("", 0, clock.wall(), 0)
            seen, crops = self._cut(picture, self._detector.predict(picture, frame))
            if isinstance(seen, ResultError):
                raise seen
            found = seen
        if not crops:
            side = _MADE_UP
            label = (self._chain.labels or ("object",))[0]
            found = [Detection(label, 1.0, (0.0, 0.0, side, side))]
            crops = [_Crop(0, 0, 0, np.full((side, side, 3), 128, np.uint8))]
            where = f"a grey picture of {side}x{side}, as the detector found nothing to crop"
        began = clock.now()
        answers = self._ask([found], [crops])
        took_ms = 1000 * (clock.now() - began)
        merged = self._merged(found, crops, answers)
        if isinstance(merged, ResultError):
            raise merged
        cropped, shown = counted(len(crops), "crop"), ", ".join(map(repr, answers))[:200]
        return f"{cropped} of {where} in {took_ms:.3g} ms: {shown}"


def _fails(why: str) -> StartError:
    return StartError(
        "on_crops of the chain fails", why, "fix it: clients get an error for each such picture"
    )
