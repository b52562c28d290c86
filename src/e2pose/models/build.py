"""From a short description to a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from e2pose.core.errors import ModelError
from e2pose.models.backbones.mobilenetv2 import MobileNetV2
from e2pose.models.backbones.resnet import ResNet
from e2pose.models.e2pose import E2Pose
from e2pose.models.head import PoseHead
from e2pose.models.pyramid import FeaturePyramid

BACKBONES: dict[str, Callable[[], MobileNetV2 | ResNet]] = {
    "mobilenetv2": MobileNetV2,
    "resnet50": lambda: ResNet((3, 4, 6, 3)),
    "resnet101": lambda: ResNet((3, 4, 23, 3)),
    "resnet152": lambda: ResNet((3, 8, 36, 3)),
    "resnet50_v1": lambda: ResNet((3, 4, 6, 3), downsampling="conv1"),
    "resnet101_v1": lambda: ResNet((3, 4, 23, 3), downsampling="conv1"),
    "resnet152_v1": lambda: ResNet((3, 8, 36, 3), downsampling="conv1"),
}

PUBLISHED_STRIDES = (32, 64, 128, 256, 512)


@dataclass(frozen=True)
class NetworkConfig:
    """What a network is made of.

    Args:
        backbone: A key of `BACKBONES`.
        keypoints: Number of keypoints K.
        strides: Cell sizes of the levels in canvas pixels, from fine to coarse, each twice the one before. One
            candidate per cell; the default gives 341 candidates on a canvas of 512x512, as in the published models.
        width: Channels of pyramid and head.
        head_depth: Number of 3x3 convolutions in the head.

    Raises:
        ModelError: A value is not accepted.
    """

    backbone: str = "mobilenetv2"
    keypoints: int = 17
    strides: tuple[int, ...] = PUBLISHED_STRIDES
    width: int = 256
    head_depth: int = 1

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES:
            raise ModelError(f"there is no backbone '{self.backbone}'", f"choose one of: {', '.join(BACKBONES)}")
        doubled = all(coarse == 2 * fine for fine, coarse in zip(self.strides, self.strides[1:], strict=False))
        if not self.strides or self.strides[0] not in (4, 8, 16, 32) or self.strides[-1] < 32 or not doubled:
            raise ModelError(
                f"the strides must start at 4, 8, 16 or 32, double from level to level and reach 32, not {self.strides}"
            )
        if min(self.keypoints, self.width) < 1 or self.head_depth < 0:
            raise ModelError(f"keypoints, width and head depth must be positive, not {self}")


def build_network(config: NetworkConfig) -> E2Pose:
    """Builds a network with random weights."""
    backbone = BACKBONES[config.backbone]()
    return E2Pose(
        backbone=backbone,
        pyramid=FeaturePyramid(backbone.channels, config.strides, config.width),
        head=PoseHead(config.width, config.keypoints, config.head_depth),
    )


def load_backbone(network: E2Pose, path: Path) -> None:
    """Loads ImageNet weights in torchvision's naming into the backbone; layers that it does not have are left out.

    Args:
        network: Its backbone is changed.
        path: A `.pth` file with a state dict. It is read without running any code from it.

    Raises:
        ModelError: The file cannot be read or does not have all weights of the backbone.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        wanted = network.backbone.state_dict()
        network.backbone.load_state_dict({name: state[name] for name in wanted if name in state or _needed(name)})
    except Exception as error:  # torch raises many kinds for a bad file
        raise ModelError(
            f"cannot load the backbone's weights from '{path}': {error}",
            "the file must hold an ImageNet state dict with torchvision's names for this very backbone",
        ) from error


def _needed(name: str) -> bool:
    return not name.endswith("num_batches_tracked")  # very old files lack these counters, which nothing reads
