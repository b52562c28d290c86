"""Small networks with weights that matter: candidates differ in score and place, and batch norms are not idle."""

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
from e2pose.models.config import NetworkConfig
from e2pose.models.e2pose import E2Pose
from e2pose.models.head import PoseHead
from e2pose.models.pyramid import FeaturePyramid

SPEC = ModelSpec("small", (64, 96), "letterbox", load_schema("coco"))


class TwoLayers(MobileNetV2):
    """A backbone that is traced in no time."""

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
    """A new copy of always the same network with a backbone of two layers."""
    return copy.deepcopy(_two_layer_network())


def small_network() -> E2Pose:
    """A new copy of always the same network with a narrow head on MobileNetV2."""
    return copy.deepcopy(_small_network())


@cache
def _two_layer_network() -> E2Pose:
    with _same_numbers():
        config = NetworkConfig(strides=(32, 64), width=8)
        backbone = TwoLayers()
        pyramid = FeaturePyramid(backbone.channels, config.strides, config.width)
        head = PoseHead(config.width, len(SPEC.schema), config.head_depth, config.strides)
        return livened(E2Pose(config, backbone, pyramid, head))


@cache
def _small_network() -> E2Pose:
    with _same_numbers():
        config = NetworkConfig.model_validate(
            {"strides": (16, 32, 64), "width": 8, "refinement": {"steps": 2, "fine": {"steps": 1}}}
        )
        network = livened(build_network(config, len(SPEC.schema)))
    network.fine_refiner.coarse.weight.data *= 0.1
    network.fine_refiner.output.weight.data *= 0.1  # the last corrections are small, as after a training
    return network


def livened(network: E2Pose) -> E2Pose:
    """The network with random weights and with statistics of its batch norms as after a training."""
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
        if network.refiner:
            network.refiner.output.weight *= 0.1
    return network.eval()


@contextmanager
def small_kernels_are_halved_too() -> Iterator[None]:
    """Lets "f16" mean for small networks what it means for large ones."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (fold, onnx_export):
            patch.setattr(module, "HALVED_ABOVE", 0)
        yield


@cache
def two_layer_onnx(precision: Precision) -> bytes:
    """The network of two layers as an ONNX file; tracing takes seconds, so it is done once."""
    with TemporaryDirectory() as folder, small_kernels_are_halved_too():
        path = Path(folder) / "model.onnx"
        export_onnx(two_layer_network(), SPEC, path, precision=precision)
        return path.read_bytes()


@contextmanager
def _same_numbers() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def noise(count: int, size_hw: tuple[int, int] = SPEC.input_size_hw) -> np.ndarray:
    """RGB pictures."""
    return np.random.default_rng(0).integers(0, 256, (count, *size_hw, 3), dtype=np.uint8)
