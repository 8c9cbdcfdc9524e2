"""Predictors that return the objects of real libraries, as their users return them.

Weights are random, but fitted so that something is seen. Each class says what a client should get
by `expected`, which reads the library's own attributes and nothing of framefan's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.real import references, ultralytics_models
from benchmarks.real.compare import CONF, IOU

NAMES = {number: f"thing {number}" for number in range(91)}
Expected = Any
"""Detections as in compare.py, with a `label` and perhaps a `track`; or `{"classes": ...}`."""


class _Yolo:
    """`YOLO(...)(image)` returns a list of one `Results`."""

    model = ""

    def setup(self) -> None:
        import torch
        from ultralytics import YOLO

        torch.set_num_threads(1)
        self.yolo = YOLO(str(ultralytics_models.weights(self.model)))
        if self.model != Classify.model:
            count = len(self.yolo.model.names)  # it reads columns by how many there are
            self.yolo.model.names = {number: NAMES[number] for number in range(count)}

    def results(self, image: Any) -> Any:
        size = ultralytics_models.SIDE
        return self.yolo(image, conf=CONF, iou=IOU, imgsz=size, verbose=False, device="cpu")

    def predict(self, image: Any) -> Any:
        return self.results(image)

    def expected(self, image: Any) -> Expected:
        (result,) = self.results(image)
        found = references.of_result(result, cut=False)
        if isinstance(found, list):
            for n, each in enumerate(found):
                each["label"] = result.names[each["class"]]
                if result.masks is not None:  # all parts of it, joined by lines
                    each["mask"] = result.masks.xy[n].tolist()
        return found


class Detect(_Yolo):
    model = "yolo11n"


class EndToEnd(_Yolo):
    model = "yolo26n"


class Segment(_Yolo):
    model = "yolo11n-seg"


class Pose(_Yolo):
    model = "yolo11n-pose"


class Turned(_Yolo):
    model = "yolo11n-obb"


class Classify(_Yolo):
    model = "yolo11n-cls"


class Results(Detect):
    """The `Results` itself, out of its list."""

    def predict(self, image: Any) -> Any:
        return self.results(image)[0]


class Boxes(Detect):
    """`Results.boxes`, which knows no names."""

    labels = NAMES

    def predict(self, image: Any) -> Any:
        return self.results(image)[0].boxes


class Tensor(Boxes):
    """`Results.boxes.data`, a tensor `(N, 6)`."""

    def predict(self, image: Any) -> Any:
        return self.results(image)[0].boxes.data


class TurnedBoxes(Turned):
    """`Results.obb`."""

    labels = NAMES

    def predict(self, image: Any) -> Any:
        return self.results(image)[0].obb


class Tracked(Detect):
    """`YOLO(...).track(image)`, whose boxes have ids, on one picture again and again."""

    def results(self, image: Any) -> Any:
        size = ultralytics_models.SIDE
        options = {"conf": CONF, "iou": IOU, "imgsz": size, "verbose": False, "device": "cpu"}
        return self.yolo.track(image, persist=True, **options)

    def expected(self, image: Any) -> Expected:
        (result,) = self.results(image)
        found = references.of_result(result)
        for n, each in enumerate(found):
            each["label"] = result.names[each["class"]]
            each["has_track"] = result.boxes.id is not None
            assert n < len(result.boxes)
        return found


# ---- torchvision ---------------------------------------------------------------------------------


class Torchvision:
    """A dict of `boxes`, `scores`, `labels`; the names are those of the predictor."""

    kind = "fasterrcnn_mobilenet_v3_large_320_fpn"
    labels = NAMES

    def setup(self) -> None:
        import torch
        from torchvision.models import detection

        torch.manual_seed(5)
        torch.set_num_threads(1)
        options = {"weights": None, "weights_backbone": None, "box_score_thresh": 0.0}
        options["box_detections_per_img"] = 8
        self.net = getattr(detection, self.kind)(**options, min_size=240, max_size=320).eval()

    def predict(self, image: Any) -> Any:
        import torch

        pixels = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1).float() / 255
        with torch.inference_mode():
            return self.net([pixels])[0]

    def expected(self, image: Any) -> Expected:
        found = self.predict(image)
        rows = zip(*(found[key].tolist() for key in ("boxes", "scores", "labels")), strict=True)
        made = [
            {"box": box, "score": score, "class": number, "label": self.labels[number]}
            for box, score, number in rows
        ]
        for n, each in enumerate(made):
            if "masks" in found:
                each["mask"] = _largest((found["masks"][n, 0] > 0.5).numpy())
            if "keypoints" in found:
                each["points"] = found["keypoints"][n].tolist()
        return made


class TorchvisionMasks(Torchvision):
    kind = "maskrcnn_resnet50_fpn"


class TorchvisionPoints(Torchvision):
    kind = "keypointrcnn_resnet50_fpn"


def _largest(bitmap: Any) -> list[list[int]]:
    import cv2

    outlines, _ = cv2.findContours(
        bitmap.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    found: list[list[int]] = (
        max(outlines, key=cv2.contourArea).reshape(-1, 2).tolist() if outlines else []
    )
    return found


# ---- supervision ---------------------------------------------------------------------------------


class Supervision(Detect):
    """`sv.Detections.from_ultralytics`."""

    def predict(self, image: Any) -> Any:
        import supervision

        return supervision.Detections.from_ultralytics(self.results(image)[0])

    def expected(self, image: Any) -> Expected:
        found = self.predict(image)
        names = found.data["class_name"]
        made = [
            {"box": box, "score": float(score), "class": int(number), "label": str(name)}
            for box, score, number, name in zip(
                found.xyxy.tolist(), found.confidence, found.class_id, names, strict=True
            )
        ]
        for n, each in enumerate(made):
            if found.mask is not None:
                each["mask"] = _largest(np.asarray(found.mask[n]))
            if "xyxyxyxy" in found.data:
                each["corners"] = found.data["xyxyxyxy"][n].tolist()
        return made


class SupervisionMasks(Supervision):
    model = Segment.model


class SupervisionTurned(Supervision):
    model = Turned.model


KINDS: dict[str, tuple[type, str]] = {
    "YOLO(...)(image)": (Detect, "list of one Results, boxes"),
    "YOLO(...)(image), end to end": (EndToEnd, "list of one Results of YOLO26, boxes"),
    "YOLO(...)(image), segment": (Segment, "list of one Results, boxes and masks"),
    "YOLO(...)(image), pose": (Pose, "list of one Results, boxes and keypoints"),
    "YOLO(...)(image), obb": (Turned, "list of one Results, obb"),
    "YOLO(...)(image), classify": (Classify, "list of one Results, probs"),
    "YOLO(...).track(image)": (Tracked, "list of one Results, boxes with id"),
    "Results": (Results, "ultralytics.engine.results.Results"),
    "Results.boxes": (Boxes, "ultralytics.engine.results.Boxes"),
    "Results.boxes.data": (Tensor, "torch.Tensor (N, 6)"),
    "Results.obb": (TurnedBoxes, "ultralytics.engine.results.OBB"),
    "Faster R-CNN": (Torchvision, "torchvision's dict"),
    "Mask R-CNN": (TorchvisionMasks, "torchvision's dict with masks"),
    "Keypoint R-CNN": (TorchvisionPoints, "torchvision's dict with keypoints"),
    "Detections": (Supervision, "supervision.Detections"),
    "Detections, masks": (SupervisionMasks, "supervision.Detections with mask"),
    "Detections, obb": (SupervisionTurned, "supervision.Detections with xyxyxyxy"),
}


class InTurn:
    """All kinds in turn, by the number of the result: every client sees each of them."""

    labels = NAMES

    def setup(self) -> None:
        self.made = [kind() for kind, _ in KINDS.values()]
        for each in self.made:
            each.setup()

    def predict(self, image: Any, frame: Any) -> Any:
        return self.made[frame.seq % len(self.made)].predict(image)
