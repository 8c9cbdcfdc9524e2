"""Random weights that see something: scores, boxes and angles that differ from place to place.

A network with fresh weights gives the same score everywhere, so that whatever a decoder does, it
looks right or keeps nothing. So its normalisations are fitted to a few real pictures, and each last
layer of its head is scaled until its numbers have a spread. The classes' biases are then moved
until as many places as are wanted reach the least confidence.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torch import nn

from benchmarks.real.references import padded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

PLACES = 40
"""Of each picture, so many boxes reach the least confidence before the suppression."""
SPREAD = 1.0
"""Standard deviation of logits."""


def batch(paths: Iterable[Path], side: int) -> torch.Tensor:
    """Each picture stretched, and on grey: `float32[2 N, 3, side, side]`, RGB from 0 to 1."""
    read = [cv2.imread(str(path)) for path in paths]
    images = [cv2.resize(image, (side, side)) for image in read]
    images += [padded(image, side, side)[0] for image in read]
    array = np.stack(images)[..., ::-1].transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(array)).float() / 255


@torch.no_grad()
def fit_normalisations(model: nn.Module, pictures: torch.Tensor) -> None:
    """Set means and variances to those of these pictures."""
    layers = [each for each in model.modules() if isinstance(each, nn.BatchNorm2d)]
    for each in layers:
        each.reset_running_stats()
        each.momentum = None
    model.train()
    for turned in (pictures, pictures.flip(3)):
        model(turned)
    model.eval()


@torch.no_grad()
def outputs_of(layers: list[nn.Module], run: Callable[[], Any]) -> list[torch.Tensor]:
    """What each layer gave last while `run` ran."""
    kept: dict[int, torch.Tensor] = {}
    hooks = [
        each.register_forward_hook(lambda _, __, out, n=n: kept.__setitem__(n, out.detach()))
        for n, each in enumerate(layers)
    ]
    run()
    for hook in hooks:
        hook.remove()
    return [kept[n] for n in range(len(layers))]


@torch.no_grad()
def spread(
    layers: list[Any], run: Callable[[], Any], *, middle: float = 0.0, deviation: float = 1.0
) -> None:
    """Scale last layers so that each channel has this mean and deviation over the pictures."""
    for layer, out in zip(layers, outputs_of(layers, run), strict=True):
        axis = 1 if layer.weight.dim() == 4 else -1
        rest = [side for side in range(out.dim()) if side != axis % out.dim()]
        mean, own = out.mean(rest), out.std(rest).clamp_min(1e-6)
        if layer.bias is None:
            layer.bias = nn.Parameter(torch.zeros_like(mean))
        gain = deviation / own
        layer.weight.mul_(gain.reshape(-1, *[1] * (layer.weight.dim() - 1)))
        layer.bias.copy_((layer.bias - mean) * gain + middle)


@torch.no_grad()
def move_scores(
    layers: list[Any], run: Callable[[], Any], pictures: int, conf: float, places: int = PLACES
) -> None:
    """Move the biases of the classes until `places` of each picture reach `conf`."""
    best = []
    for layer, out in zip(layers, outputs_of(layers, run), strict=True):
        axis = 1 if layer.weight.dim() == 4 else -1
        best.append(out.amax(axis).reshape(pictures, -1))
    ordered = torch.cat(best, 1).sort(1, descending=True).values
    level = ordered[:, min(places, ordered.shape[1] - 1)].mean()
    for layer in layers:
        layer.bias.add_(math.log(conf / (1 - conf)) - float(level))
