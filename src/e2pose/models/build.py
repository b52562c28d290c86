"""From a short description to a network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from e2pose.core.errors import ModelError
from e2pose.models.backbones.mobilenetv2 import MobileNetV2
from e2pose.models.backbones.resnet import ResNet
from e2pose.models.config import NetworkConfig
from e2pose.models.e2pose import E2Pose
from e2pose.models.fine import FineFeatures
from e2pose.models.half_size import HalfSize
from e2pose.models.head import PoseHead
from e2pose.models.pyramid import FeaturePyramid
from e2pose.models.refine import REFINER_CHANNELS, SEEN_CHANNELS, FineRefiner, KeypointRefiner

BACKBONES: dict[str, Callable[[], MobileNetV2 | ResNet]] = {
    "mobilenetv2": MobileNetV2,
    "mobilenetv2_150": lambda: MobileNetV2(multiplier=1.5),
    "resnet50": lambda: ResNet((3, 4, 6, 3)),
    "resnet101": lambda: ResNet((3, 4, 23, 3)),
    "resnet152": lambda: ResNet((3, 8, 36, 3)),
    "resnet50_v1": lambda: ResNet((3, 4, 6, 3), downsampling="conv1"),
    "resnet101_v1": lambda: ResNet((3, 4, 23, 3), downsampling="conv1"),
    "resnet152_v1": lambda: ResNet((3, 8, 36, 3), downsampling="conv1"),
}


def build_network(config: NetworkConfig) -> E2Pose:
    """Builds a network with random weights.

    Raises:
        ModelError: There is no such backbone.
    """
    if config.backbone not in BACKBONES:
        raise ModelError(f"there is no backbone '{config.backbone}'", f"choose one of: {', '.join(BACKBONES)}")
    backbone = BACKBONES[config.backbone]()
    fine = config.strides[0] // 2
    refiner = (
        KeypointRefiner(
            backbone.channels[fine],
            config.width,
            config.keypoints,
            fine,
            config.refinements,
            fine=config.fine_refinements > 0,
            context=config.context[1],
        )
        if config.refinements
        else None
    )
    return E2Pose(
        config=config,
        backbone=backbone,
        pyramid=FeaturePyramid(
            backbone.channels,
            config.strides,
            config.width,
            fine=config.fine_refinements > 0,
            context=config.context[0],
        ),
        head=PoseHead(
            config.width,
            config.keypoints,
            config.head_depth,
            config.strides,
            one_to_many=config.one_to_many,
        ),
        refiner=refiner,
        fine=FineFeatures(backbone.entry_channels) if config.fine_refinements else None,
        fine_refiner=FineRefiner(config.keypoints, config.fine_refinements) if config.fine_refinements else None,
        half_size=HalfSize(backbone.channels, config.strides, config.width, SEEN_CHANNELS, REFINER_CHANNELS)
        if config.half_size
        else None,
    )


def load_backbone(network: E2Pose, path: Path) -> None:
    """Loads ImageNet weights in torchvision's naming into the backbone; layers that it does not have are left out.

    Weights for the network's fine features are loaded too if the file has some, under the names that they have in the
    network.

    Args:
        network: Its backbone is changed, and its fine features.
        path: A `.pth` file with a state dict. It is read without running any code from it.

    Raises:
        ModelError: The file cannot be read or does not have all weights of the backbone.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        wanted = network.backbone.state_dict()
        network.backbone.load_state_dict({name: state[name] for name in wanted if name in state or _needed(name)})
        fine = {name: state[name] for name in network.state_dict() if name.startswith("fine") and name in state}
        network.load_state_dict(fine, strict=False)
    except Exception as error:  # torch raises many kinds for a bad file
        raise ModelError(
            f"cannot load the backbone's weights from '{path}': {error}",
            "the file must hold an ImageNet state dict with torchvision's names for this very backbone",
        ) from error


def _needed(name: str) -> bool:
    return not name.endswith("num_batches_tracked")  # very old files lack these counters, which nothing reads
