"""Exports of the `ultralytics` package, with random weights: each family, task and option."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.real import places
from benchmarks.real.compare import CONF

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIDE = 320
DETECTORS = (
    *("yolov3-tiny", "yolov5n", "yolov6n", "yolov8n", "yolov9t", "yolov10n"),
    *("yolo11n", "yolo12n", "yolo26n"),
)
TASKS = ("seg", "pose", "obb", "cls")


@dataclass(frozen=True)
class Export:
    """`model`: as the package names its configuration. `options`: of `YOLO.export`."""

    name: str
    model: str
    options: dict[str, Any] = field(default_factory=dict)
    after: str = ""
    """`int8`: weights of 8 bits, which onnxruntime's own tool makes of the file."""

    @property
    def half(self) -> bool:
        return self.options.get("quantize") == 16


def all_of_them() -> list[Export]:
    plain = [Export(model, model) for model in DETECTORS]
    tasks = [
        Export(f"{family}-{task}", f"{family}-{task}")
        for family in ("yolov8n", "yolo11n", "yolo26n")
        for task in TASKS
    ]
    return [*plain, *tasks, *_options(), *_others()]


def _options() -> list[Export]:
    """The options of an export, each with the tasks whose output it changes."""
    made = [
        Export(f"{model}-nms", model, {"nms": True})
        for model in ("yolov8n", "yolov8n-seg", "yolov8n-pose", "yolov8n-obb", "yolo11n")
    ]
    made += [
        Export(f"{model}-dynamic", model, {"dynamic": True})
        for model in ("yolov8n", "yolo11n-seg", "yolo26n", "yolov8n-cls")
    ]
    made += [
        Export("yolov8n-nms-dynamic", "yolov8n", {"nms": True, "dynamic": True}),
        Export("yolo26n-end2end-dynamic", "yolo26n", {"nms": False, "dynamic": True}),
    ]
    made += [  # by the head that needs no suppression
        Export(f"{model}-end2end", model, {"nms": False})
        for model in ("yolo26n", "yolo26n-seg", "yolo26n-pose", "yolo26n-obb", "yolov10n")
    ]
    made += [Export(f"yolov8n-opset{number}", "yolov8n", {"opset": number}) for number in (12, 20)]
    made += [
        Export("yolov8n-unsimplified", "yolov8n", {"simplify": False}),
        Export("yolov8n-wide", "yolov8n", {"imgsz": (192, 320)}),
        Export("yolov8n-batch4", "yolov8n", {"batch": 4}),
    ]
    made += [  # of YOLO11 and 26 with random weights, one bit of the input moves boxes by pixels
        Export(f"{model}-half", model, {"quantize": 16})
        for model in ("yolov8n", "yolov8n-seg", "yolov8n-pose", "yolov8n-obb", "yolo11n-cls")
    ]
    made += [Export(f"{model}-int8", model, {}, "int8") for model in ("yolov8n", "yolo11n-seg")]
    return made


def _others() -> list[Export]:
    return [
        Export("rtdetr", "yolov8n-rtdetr"),
        Export("rtdetr-dynamic", "yolov8n-rtdetr", {"dynamic": True}),
        Export("yolo26n-semantic", "yolo26n-sem"),
        Export("yolo26n-depth", "yolo26n-depth"),
    ]


def make(export: Export, target: Path) -> None:
    """Write the ONNX file. Raises whatever the package raises."""
    model = _calibrated(export.model)
    made = model.export(
        **({"format": "onnx", "imgsz": SIDE, "verbose": False, "device": "cpu"} | export.options)
    )
    partial = target.with_suffix(".partial")
    if export.after == "int8":
        _quantised(made, partial)
    else:
        shutil.copy(made, partial)
    partial.rename(target)


def weights(model: str) -> Path:
    """The calibrated weights as the package saves them; made where they are not there yet."""
    path = places.MODELS / "weights" / f"{model}.pt"
    if not path.exists():
        import torch
        from ultralytics import RTDETR, YOLO

        path.parent.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(1)
        made = (RTDETR if "rtdetr" in model else YOLO)(f"{model}.yaml")
        calibrate_head(made.model)
        made.save(path)
    return path


def _calibrated(model: str) -> Any:
    from ultralytics import RTDETR, YOLO

    return (RTDETR if "rtdetr" in model else YOLO)(str(weights(model)))


def calibrate_head(model: Any) -> None:
    from benchmarks.real import calibrate

    paths = list(places.pictures().values())
    pictures = calibrate.batch(paths, SIDE)
    calibrate.fit_normalisations(model, pictures)
    head = model.model[-1]

    def run() -> Any:
        return model(pictures)

    match type(head).__name__:
        case "Classify":
            calibrate.spread([head.linear], run, deviation=0.5)
        case "RTDETRDecoder":
            _calibrate_detr(head, run, len(pictures))
        case name if hasattr(head, "cv3"):
            assert name
            _calibrate_yolo(head, run, len(pictures))


def _calibrate_yolo(head: Any, run: Callable[[], Any], pictures: int) -> None:
    from benchmarks.real import calibrate

    for prefix in ("", "one2one_"):
        boxes, scores = (_last(getattr(head, prefix + part, None)) for part in ("cv2", "cv3"))
        if not boxes:
            continue
        is_plain = getattr(head, "reg_max", 16) == 1
        # Plain distances must stay above 0: of a trained network they do.
        calibrate.spread(boxes, run, **({"middle": 3.0, "deviation": 0.2} if is_plain else {}))
        calibrate.spread(scores, run, deviation=calibrate.SPREAD)
        calibrate.move_scores(scores, run, pictures, CONF)
        if more := _last(getattr(head, prefix + "cv4", None)):
            calibrate.spread(more, run)


def _last(layers: Any) -> list[Any]:
    """The last convolution of each scale."""
    import torch

    found = []
    for each in layers if layers is not None else ():
        convolutions = [one for one in each.modules() if isinstance(one, torch.nn.Conv2d)]
        found.append(convolutions[-1])
    return found


def _calibrate_detr(head: Any, run: Callable[[], Any], pictures: int) -> None:
    from benchmarks.real import calibrate

    calibrate.spread([head.enc_score_head], run)
    scores = [head.dec_score_head[-1]]
    calibrate.spread(scores, run, deviation=calibrate.SPREAD)
    calibrate.move_scores(scores, run, pictures, CONF)
    calibrate.spread([head.dec_bbox_head[-1].layers[-1]], run)


def _quantised(made: str, target: Path) -> None:
    """Weights of 8 bits, as onnxruntime's own tool makes them without calibration data."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(made, target, weight_type=QuantType.QUInt8)
    _copy_metadata(made, target)


def _copy_metadata(made: str, target: Path) -> None:
    import onnx

    model, said = onnx.load(target), onnx.load(made).metadata_props
    onnx.helper.set_model_props(model, {each.key: each.value for each in said})
    onnx.save(model, target)
