"""Runs a model in an ONNX file as a predictor: letterbox, run, decode, map to the frame."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from msgspec import structs

from framefan.base import clock, logs
from framefan.errors import StartError
from framefan_inference.predictors import threads
from framefan_inference.predictors.onnx_models import (
    backends,
    choice,
    decode,
    evidence,
    file,
    instances,
    letterbox,
    pixels,
    several,
    suppress,
    validity,
)
from framefan_inference.predictors.onnx_models.layouts import Seen
from framefan_inference.predictors.onnx_models.validity import BadOutput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from framefan.settings.predictor_ref import OnnxOptions

MOST = 8
_STRIDE = 32
_WIDE = (9, 16)
"""The aspect ratio of most cameras: height and width."""
_TOP = 5
_NAMED = 8
_CALLS, _CALLS_S = 6, 2.0
"""How many calls are timed for `about`, and how long at most."""


class OnnxDetector:
    def __init__(self, options: OnnxOptions) -> None:
        self._options = options
        self.labels: dict[int, str] = {}
        self.max_batch = 1
        self.notices: list[tuple[str, str]] = []
        """Kind and text of notices for clients; complete after `setup`."""

    def setup(self, device: str) -> None:
        """Load the model, and run it on a generated image. Raises StartError."""
        options, self._device = self._options, device
        self._file = file.read(options.path)
        pixels.check(options.path, self._file)
        self._size = pixels.size(options, self._file)
        self._pixels = pixels.pixels(options, self._file.picture, ())
        self._backend = backends.load(
            options.path,
            device,
            options.backend,
            self._file.outputs,
            options.threads,
            self._file.varying,
        )
        self._recognise()
        self._is_rectangle = self._takes_rectangles()
        if self._file.picture.shape[0] is None and self._takes_two():
            self.max_batch = MOST
        if self._head.task == "segment" and self._head.masks is None:
            self._tell_no_masks()
        about = self.describe()
        logs.info(f"model {Path(options.path).name}", **about)

    def describe(self) -> dict[str, str]:
        """The model and its input, for people."""
        size = "{}x{}".format(*self._size)
        return {
            "head": str(self._head),
            "input": f"{size} {'or less, ' if self._is_rectangle else ''}{self._pixels}",
            "frame": self._place,
            "classes": self._classes(),
            "runs_on": self._backend.runs_on,
        }

    def _classes(self) -> str:
        """How many classes, and the first of their names."""
        names = [self.labels[number] for number in sorted(self.labels)]
        if not names:
            return f"{self._head.classes} without names" if self._head.classes else "unnamed"
        more = ", ..." if len(names) > _NAMED else ""
        return f"{len(names)}: {', '.join(names[:_NAMED])}{more}"

    def about(self, jpeg: bytes) -> dict[str, str]:
        """The same as `describe`; the highest scores in a picture, however low they are; and what
        a call takes.
        """
        told = {f"model {key}": text for key, text in self.describe().items()}
        image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
        picture = _made_up(self._size) if image is None else np.asarray(image, np.uint8)
        if image is not None:
            told["model sees"] = self._top(picture)
        if self._device in ("", "cpu"):
            told["model takes"] = self._times(picture)
        return told

    def _times(self, picture: NDArray[np.uint8]) -> str:
        """What a call takes with one thread, with this worker's share and with all cores."""
        options, own, used = self._options, threads.here(), self._backend
        counts = sorted({1, options.threads or own or 1, threads.share(1)})
        told = []
        for count in counts:
            self._backend = backends.load(
                options.path, self._device, options.backend, self._file.outputs, count
            )
            mine = " (what a worker uses)" if count == (options.threads or own) else ""
            many = "1 thread" if count == 1 else f"{count} threads"
            took_ms = 1000 * self._time(picture)
            told.append(f"{took_ms:.{0 if took_ms >= 100 else 1}f} ms with {many}{mine}")
        self._backend = used
        return ", ".join(told)

    def _time(self, picture: NDArray[np.uint8]) -> float:
        """Seconds of a call: the median of some after the first one, or the first if it is slow."""
        took: list[float] = []
        began = clock.now()
        while len(took) < _CALLS and clock.now() - began < _CALLS_S:
            since = clock.now()
            self.predict(picture)
            took.append(clock.now() - since)
        return median(took[1:] or took)

    def _top(self, picture: NDArray[np.uint8]) -> str:
        canvas = self._canvas([picture])
        most = self._size if self._is_rectangle else None
        outputs = self._run([letterbox.fit(picture, canvas, self._place, most)[0]])
        if self._head.layout == "classes":
            best = self._best_classes(outputs, 0)["classes"]
            return ", ".join(f"{each['label']} {each['confidence']:.2f}" for each in best)
        found = decode.decode(outputs, 0, self._head, canvas, 0.0)
        order = np.argsort(-found.scores, kind="stable")[:_TOP]
        pairs = zip(found.classes[order].astype(int), found.scores[order].tolist(), strict=True)
        told = ", ".join(f"{self.labels.get(int(n), str(n))} {score:.2f}" for n, score in pairs)
        return f"{told or 'nothing'} in a picture of the first camera; conf={self._options.conf:g}"

    def predict(self, image: NDArray[np.uint8]) -> Any:
        """Rows x1, y1, x2, y2, confidence, class `float32[n, 6]`, in pixels of the frame.

        With masks, key points or angles: a list of Detection. For a classifier: `{"classes":
        [...]}`, best first. Raises BadOutput.
        """
        return self.predict_batch([image])[0]

    def predict_batch(self, images: Sequence[NDArray[np.uint8]]) -> list[Any]:
        canvas = self._canvas(images)
        most = self._size if self._is_rectangle else None
        fitted = [letterbox.fit(image, canvas, self._place, most) for image in images]
        outputs = self._run([canvas for canvas, _ in fitted])
        if self._head.layout == "classes":
            return [self._best_classes(outputs, index) for index in range(len(images))]
        return [
            self._detections(outputs, index, fit, image.shape, canvas)
            for index, ((_, fit), image) in enumerate(zip(fitted, images, strict=True))
        ]

    # ---- set-up ------------------------------------------------------------------------------

    def _recognise(self) -> None:
        """Raises StartError."""
        options, said = self._options, self._file.said
        outputs = self._try([_made_up(self._size)])
        seen = Seen(
            outputs=outputs,
            names=self._file.outputs,
            canvas=self._size,
            inputs=tuple(each.name for each in self._file.inputs),
            said=said,
            asked=options.task,
            has_input=bool(options.input),
        )
        self._head, self.labels = choice.head_and_labels(seen, options.labels)
        self._wanted = choice.wanted(options.classes, self.labels, self._head.classes)
        if self._head.task == "pose":
            more = decode.more_as_given(outputs, 0, self._head, self._size)
            points = instances.shape_of_points(more, said.keypoints)
            self._head = structs.replace(self._head, keypoints=points)
        usual = self._head.place
        if options.stretch is not None and usual in ("middle", "corner", "stretched"):
            usual = "stretched" if options.stretch else "middle"
        self._place: letterbox.Place = usual
        self._pixels = pixels.pixels(options, self._file.picture, self._head.input)
        try:
            if self._head.layout == "classes":
                self._best_classes(outputs, 0)
            else:
                self._found(outputs, 0, self._size)
        except BadOutput as error:
            raise StartError(
                f"{options.path} gives impossible detections",
                str(error),
                "set its layout with task=, or decode it in a predictor of your own",
            ) from None

    def _takes_rectangles(self) -> bool:
        """Whether the input takes the aspect ratio of frames.

        Raises StartError if the option `rect=` requires it and it does not.
        """
        asked = self._options.rect
        free = None in pixels.sides(self._file.picture) and self._options.size is None
        if asked is False or self._place not in ("middle", "corner"):
            return False
        if free and all(side is None for side in pixels.sides(self._file.picture)):
            return self._try_rectangle(bool(asked))
        if asked:
            raise StartError(
                f"{self._options.path} does not support rect=1",
                "its input has a fixed size, or size= sets one",
                "export it with dynamic sides, or leave rect= and size= out",
            )
        return False

    def _try_rectangle(self, asked: bool) -> bool:
        canvas = letterbox.rectangle([_WIDE], self._size, self._stride)
        try:
            outputs = self._run([_made_up(canvas)])
            self._found(outputs, 0, canvas)
        except Exception as error:  # the backends' errors have no other base in common
            if asked:
                raise StartError(
                    f"{self._options.path} does not support rect=1",
                    " ".join(str(error).split())[:300],
                    "leave rect= out",
                ) from error
            logs.debug("the model supports only square inputs", why=str(error))
            return False
        return True

    def _takes_two(self) -> bool:
        """Whether batches work: some graphs declare a dynamic batch but contain a fixed one."""
        try:
            outputs = self._run([_made_up(self._size)] * 2)
            if self._head.layout == "classes":
                self._best_classes(outputs, 1)
            else:
                self._found(outputs, 1, self._size)
        except Exception as error:  # noqa: BLE001 - the backends' errors have no base in common
            logs.debug("the model does not support batches", why=str(error))
            return False
        return True

    @property
    def _stride(self) -> int:
        return max(self._file.said.stride, _STRIDE)

    def _try(self, canvases: Sequence[NDArray[np.uint8]]) -> list[NDArray[Any]]:
        """Raises StartError."""
        try:
            return self._run(canvases)
        except Exception as error:  # the backends' errors have no other base in common
            raise StartError(
                f"{self._options.path} cannot be run on an image",
                " ".join(str(error).split())[:300],
                f"try another backend ({backends.INSTALL}), or export the model again",
            ) from error

    def _tell_no_masks(self) -> None:
        text = (
            f"{Path(self._options.path).name} gives mask coefficients but no prototypes, so only "
            "boxes are sent; export the model with both outputs"
        )
        logs.warning(text)
        self.notices.append(("dropped_output", text))

    # ---- a frame -----------------------------------------------------------------------------

    def _canvas(self, images: Sequence[NDArray[np.uint8]]) -> tuple[int, int]:
        if not self._is_rectangle:
            return self._size
        return letterbox.rectangle([image.shape for image in images], self._size, self._stride)

    def _run(self, canvases: Sequence[NDArray[np.uint8]]) -> list[NDArray[Any]]:
        picture = self._file.picture
        canvas = canvases[0].shape[1], canvases[0].shape[0]
        rest = [each for each in self._file.inputs if each is not picture]
        kinds = [pixels.NUMBERS[each.kind] for each in rest]
        more = several.sizes([each.name for each in rest], kinds, canvas, len(canvases))
        outputs = self._backend.run({picture.name: self._pixels.blob(canvases), **more})
        return [
            each if each.dtype.kind in "iu" else np.asarray(each, np.float32) for each in outputs
        ]

    def _found(
        self, outputs: Sequence[NDArray[Any]], index: int, canvas: tuple[int, int]
    ) -> decode.Found:
        """Raises BadOutput."""
        if self._head.unit == "":
            self._decide_unit(decode.boxes_as_given(outputs, index, self._head, canvas))
        found = decode.decode(outputs, index, self._head, canvas, self._options.conf)
        found = validity.without_unsure(found)
        validity.check(found, self._head, canvas)
        validity.check_points(found, self._head)
        if self._wanted is not None:
            found = found.take(np.flatnonzero(np.isin(found.classes, self._wanted)))
        if self._head.overlaps:
            found = suppress.suppress(found, self._options.iou, self._options.agnostic)
        most = self._options.max_det
        return found.take(np.argsort(-found.scores, kind="stable")[:most])

    def _decide_unit(self, boxes: NDArray[Any]) -> None:
        """Decide the unit by the first boxes. Raises BadOutput if they are normalised."""
        if not np.any(boxes):
            return
        if evidence.are_pixels(boxes):
            self._head = structs.replace(self._head, unit="pixels")
            return
        raise BadOutput("boxes are between 0 and 1: set task=rtdetr if this is an RT-DETR")

    def _detections(
        self,
        outputs: Sequence[NDArray[Any]],
        index: int,
        fit: letterbox.Fit,
        shape: tuple[int, ...],
        canvas: tuple[int, int],
    ) -> Any:
        found = self._found(outputs, index, canvas)
        boxes = fit.back(suppress.upright(found), shape[1], shape[0])
        rows = np.column_stack([boxes, found.scores, found.classes]).astype(np.float32)
        frame = shape[1], shape[0]
        match self._head.task:
            case "segment" if self._head.masks is not None:
                masks = outputs[self._head.masks][index]
                outlines = instances.outlines(found, masks, self._head, canvas)
                more = instances.with_outlines(outlines, fit, frame)
            case "pose":
                more = instances.with_keypoints(found, self._head, fit, frame)
            case "obb":
                more = instances.with_angles(found, fit)
            case _:
                return rows
        return instances.detections(rows, self.labels, more)

    def _best_classes(self, outputs: Sequence[NDArray[Any]], index: int) -> dict[str, Any]:
        """Raises BadOutput."""
        scores = decode.probabilities(outputs[0][index], self._head)
        validity.check_scores(float(scores.min()), float(scores.max()), self._head)
        order = np.argsort(-scores, kind="stable")
        if self._wanted is not None:
            order = order[np.isin(order, self._wanted)]
        return {
            "classes": [
                {
                    "label": self.labels.get(number, str(number)),
                    "confidence": round(float(scores[number]), 4),
                    "class_id": number,
                }
                for number in order[:_TOP].tolist()
            ]
        }


def _made_up(size: tuple[int, int]) -> NDArray[np.uint8]:
    """A generated image `uint8[H, W, 3]` of blurred noise, always the same."""
    small = (max(2, size[1] // 16), max(2, size[0] // 16), 3)
    noise = np.random.default_rng(1).integers(0, 256, small, np.uint8)
    return np.asarray(cv2.resize(noise, size, interpolation=cv2.INTER_LINEAR), np.uint8)
