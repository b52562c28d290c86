"""Small networks with random weights: candidates differ in score and position, and batch norms have statistics."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from torch import nn

from e2pose.core.schema import load_schema
from e2pose.core.spec import ModelSpec
from e2pose.export import fold
from e2pose.export import onnx as onnx_export
from e2pose.export.fold import Precision
from e2pose.export.onnx import export_onnx
from e2pose.models.backbones.mobilenetv2 import MobileNetV2
from e2pose.models.build import build_network
from e2pose.models.config import FineRefinementConfig, NetworkConfig, RefinementConfig
from e2pose.models.paper import E2Pose
from e2pose.models.pyramid import FeaturePyramid
from e2pose.models.refined import RefinedE2Pose

SPEC = ModelSpec("small", (64, 96), "letterbox", load_schema("coco"))


class _TwoLayers(MobileNetV2):
    """A backbone that is traced quickly."""

    channels = {32: 8}  # noqa: RUF012

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.conv1 = nn.Conv2d(3, 8, 8, 8, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, 4, 4, groups=8)

    def forward(self, x):
        maps = {32: self.conv2(self.bn1(self.conv1(x)).relu())}
        return maps, maps


def two_layer_network() -> E2Pose:
    """Returns a new copy of a fixed network as published, with a backbone of two layers."""
    return copy.deepcopy(_two_layer_network())


def small_network() -> RefinedE2Pose:
    """Returns a new copy of a fixed narrow network with coarse and fine refinement on MobileNetV2."""
    return copy.deepcopy(_small_network())


@cache
def _two_layer_network() -> E2Pose:
    with _fixed_seed():
        config = NetworkConfig(strides=(32, 64), width=8)
        network = build_network(config, len(SPEC.schema))
        network.backbone = _TwoLayers()
        network.pyramid = FeaturePyramid(network.backbone.channels, config.strides, config.width)
        return randomise_weights(network)


@cache
def _small_network() -> RefinedE2Pose:
    with _fixed_seed():
        refinement = RefinementConfig(steps=2, fine=FineRefinementConfig(steps=1))
        config = NetworkConfig(strides=(16, 32, 64), width=8, refinement=refinement)
        network = randomise_weights(build_network(config, len(SPEC.schema)))
    network.fine_refinement.coarse.weight.data *= 0.1
    network.fine_refinement.output.weight.data *= 0.1  # the last offsets are small, as in trained networks
    return network


def randomise_weights(network: E2Pose) -> E2Pose:
    """Gives a network random weights and batch norms with statistics, as after a training."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            module.momentum = 0.5
    network.train()
    with torch.no_grad():
        network(torch.randint(0, 256, (8, 3, *SPEC.input_size_hw), dtype=torch.uint8))
        network.head.output.weight *= 0.3
        network.head.output.bias[0] = -1
        if isinstance(network, RefinedE2Pose):
            network.coarse_refinement.output.weight *= 0.1
    return network.eval()


@contextmanager
def halve_all_kernels() -> Iterator[None]:
    """Makes "f16" apply to small kernels too."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (fold, onnx_export):
            patch.setattr(module, "MAX_F32_KERNEL_SIZE", 0)
        yield


@cache
def two_layer_onnx(precision: Precision) -> bytes:
    """Returns the two-layer network as an ONNX file; cached, because tracing takes seconds."""
    with TemporaryDirectory() as folder, halve_all_kernels():
        path = Path(folder) / "model.onnx"
        export_onnx(two_layer_network(), SPEC, path, precision=precision)
        return path.read_bytes()


@contextmanager
def _fixed_seed() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def noise(count: int, size_hw: tuple[int, int] = SPEC.input_size_hw) -> np.ndarray:
    """Returns RGB images (count, H, W, 3) of uniform noise."""
    return np.random.default_rng(0).integers(0, 256, (count, *size_hw, 3), dtype=np.uint8)
