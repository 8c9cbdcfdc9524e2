"""Train a detector of the demo scene's shapes from the scene's own truth, and write shapes.onnx.

    pip install -e '.[train]'
    python examples/shapes/train.py [--steps 600] [--out examples/shapes/shapes.onnx]

A small anchor-free network, in the manner of FCOS (Tian et al., 2019): each cell of one grid of
stride 8 says what kind of shape its centre lies in, and how far the four sides of that shape's box
are away. Classes learn by focal loss (Lin et al., 2017), boxes by GIoU (Rezatofighi et al., 2019).
The exported model takes float32[1, 3, 192, 320], RGB from 0 to 1, and gives float32[1, 4 + kinds,
cells]: centre, width and height of each cell's box in pixels of the input, then a confidence for
each kind. That is the head of YOLOv8, so `onnx:` reads it without knowing this model.

Pictures are drawn as they are needed: every one is new, so there is nothing to learn by heart.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional

from framefan_capture.sources.scene import COLOURS, Scene

KINDS = [*COLOURS, "qr", "aruco"]
WIDTH, HEIGHT, STRIDE = 320, 192, 8
ACROSS, DOWN = WIDTH // STRIDE, HEIGHT // STRIDE
SIZES = [(1280, 720), (1280, 720), (1280, 720), (640, 360), (640, 480), (1920, 1080), (960, 720)]
FIRST_SEED = 1_000_000
"""Seeds from here on are for training; those below are never seen."""
PAD = 114
"""Grey level around a picture of another shape: what `onnx:` pads with, too."""
BATCH = 24


class Shapes(nn.Module):
    """Three halvings, then four layers that see 79 pixels around each cell's centre."""

    def __init__(self) -> None:
        super().__init__()
        widths = [3, 16, 32, 48, 48, 48, 48]
        strides = [2, 2, 2, 1, 1, 1]
        layers: list[nn.Module] = []
        for before, after, stride in zip(widths, widths[1:], strides, strict=False):
            layers += [
                nn.Conv2d(before, after, 3, stride, 1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]
        self.body = nn.Sequential(*layers)
        self.kinds = nn.Conv2d(widths[-1], len(KINDS), 1)
        self.sides = nn.Conv2d(widths[-1], 4, 1)
        nn.init.constant_(self.kinds.bias, -4.0)  # at the start nothing is seen anywhere
        rows, columns = torch.meshgrid(torch.arange(DOWN), torch.arange(ACROSS), indexing="ij")
        centres = (torch.stack([columns, rows]).float() + 0.5) * STRIDE
        self.register_buffer("centres", centres.reshape(1, 2, -1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits `[B, kinds, cells]`, and boxes x1, y1, x2, y2 `[B, 4, cells]` in pixels."""
        seen = self.body(images)
        logits = self.kinds(seen).flatten(2)
        sides = functional.softplus(self.sides(seen).flatten(2)) * STRIDE
        boxes = torch.cat([self.centres - sides[:, :2], self.centres + sides[:, 2:]], 1)
        return logits, boxes


class Exported(nn.Module):
    """The network with the head that `onnx:` reads."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        self.shapes = shapes

    def forward(self, images: Tensor) -> Tensor:
        logits, boxes = self.shapes(images)
        low, high = boxes[:, :2], boxes[:, 2:]
        return torch.cat([(low + high) / 2, high - low, logits.sigmoid()], 1)


# ---- pictures and what is in them --------------------------------------------------------------


def example(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`float32[3, H, W]` RGB, boxes `float32[n, 4]` in its pixels, kinds `int64[n]`."""
    width, height = SIZES[rng.integers(len(SIZES))]
    scene = Scene(width, height, FIRST_SEED + int(rng.integers(1 << 30)))
    frame = int(rng.integers(100_000))
    picture = np.empty((height, width, 3), np.uint8)
    scene.draw(frame, picture)
    scale = min(WIDTH / width, HEIGHT / height)
    inner = round(width * scale), round(height * scale)
    left, top = (WIDTH - inner[0]) // 2, (HEIGHT - inner[1]) // 2
    image = np.full((HEIGHT, WIDTH, 3), PAD, np.uint8)
    ways = [cv2.INTER_LINEAR, cv2.INTER_AREA]
    small = cv2.resize(picture, inner, interpolation=ways[rng.integers(2)])
    image[top : top + inner[1], left : left + inner[0]] = small
    truth = scene.truth(frame)
    boxes = np.array([shape.box for shape in truth], np.float32) * scale + [left, top, left, top]
    light = np.float32(rng.uniform(0.8, 1.2) / 255)
    noise = rng.normal(0, rng.uniform(0, 0.02), image.shape).astype(np.float32)
    planes = np.clip(image[..., ::-1] * light + noise, 0, 1).transpose(2, 0, 1)
    kinds = np.array([KINDS.index(shape.kind) for shape in truth])
    return planes.astype(np.float32), boxes.astype(np.float32), kinds


def targets(boxes: Tensor, kinds: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """For each cell the kind it stands in, or -1, and the box: those about the middle of a box."""
    middle = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    reach = ((boxes[:, 2:] - boxes[:, :2]) / 4).clamp(min=STRIDE)[:, None]
    near = ((centres.T[None] - middle).abs() <= reach).all(2)
    kind = torch.full((centres.shape[1],), -1)
    box = torch.zeros(centres.shape[1], 4)
    for index in range(len(boxes)):
        kind[near[index]] = kinds[index]
        box[near[index]] = boxes[index]
    return kind, box


# ---- learning ----------------------------------------------------------------------------------


def focal(logits: Tensor, wanted: Tensor) -> Tensor:
    sure = logits.sigmoid()
    wrong = torch.where(wanted > 0, 1 - sure, sure)
    weight = torch.where(wanted > 0, 0.25, 0.75) * wrong**2
    return (
        weight * functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    ).sum()


def giou(one: Tensor, other: Tensor) -> Tensor:
    """Of boxes `[n, 4]`, pair by pair."""

    def area(box: Tensor) -> Tensor:
        sides = (box[:, 2:] - box[:, :2]).clamp(min=0)
        return sides[:, 0] * sides[:, 1]

    both = area(
        torch.cat([torch.max(one[:, :2], other[:, :2]), torch.min(one[:, 2:], other[:, 2:])], 1)
    )
    hull = area(
        torch.cat([torch.min(one[:, :2], other[:, :2]), torch.max(one[:, 2:], other[:, 2:])], 1)
    )
    union = area(one) + area(other) - both
    return both / union - (hull - union) / hull


def step(network: Shapes, rng: np.random.Generator) -> Tensor:
    pictures, boxes, kinds = zip(*(example(rng) for _ in range(BATCH)), strict=True)
    logits, found = network(torch.from_numpy(np.stack(pictures)))
    kind, box = zip(
        *(
            targets(torch.from_numpy(b), torch.from_numpy(k), network.centres[0])
            for b, k in zip(boxes, kinds, strict=True)
        ),
        strict=True,
    )
    kind, box = torch.stack(kind), torch.stack(box)
    there = kind >= 0
    wanted = functional.one_hot(kind.clamp(min=0), len(KINDS)) * there[..., None]
    count = max(1, int(there.sum()))
    of_kinds = focal(logits, wanted.transpose(1, 2).float()) / count
    of_boxes = (1 - giou(found.transpose(1, 2)[there], box[there])).sum() / count
    return of_kinds + 2 * of_boxes


def train(steps: int) -> Shapes:
    torch.manual_seed(1)
    rng = np.random.default_rng(1)
    network = Shapes()
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=1e-4)
    pace = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    began = time.monotonic()
    for number in range(1, steps + 1):
        loss = step(network, rng)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        pace.step()
        if number % 50 == 0 or number == steps:
            took_s = time.monotonic() - began
            print(f"step {number} of {steps}: loss {loss.item():.3f}, {took_s:.0f} s", flush=True)
    return network.eval()


def export(network: Shapes, path: Path) -> None:
    images = torch.zeros(1, 3, HEIGHT, WIDTH)
    torch.onnx.export(
        Exported(network).eval(),
        (images,),
        str(path),
        input_names=["images"],
        output_names=["found"],
        opset_version=17,
        dynamo=False,
    )
    model = onnx.load(path)
    names = model.metadata_props.add()
    names.key, names.value = "names", str(dict(enumerate(KINDS)))
    onnx.checker.check_model(model)
    onnx.save(model, path)
    print(f"{path}: {path.stat().st_size:,} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("shapes.onnx"))
    arguments = parser.parse_args()
    export(train(arguments.steps), arguments.out)


if __name__ == "__main__":
    main()
