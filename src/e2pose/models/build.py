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


def build_network(config: NetworkConfig, num_keypoints: int, *, one_to_many: bool = False) -> E2Pose:
    """Builds a network with random weights.

    Args:
        config: The layers of the network.
        num_keypoints: K, the number of keypoints of its schema.
        one_to_many: Add the second person score, which only training uses.

    Raises:
        ModelError: The strides do not suit the refinement.
    """
    backbone = BACKBONES[config.backbone]()
    refinement = config.refinement
    fine_refinement = refinement.fine if refinement else None
    if refinement and config.strides[0] not in ((8, 16) if fine_refinement else (8, 16, 32)):
        raise ModelError(
            f"strides that start at {config.strides[0]} do not suit the refinement",
            "start network.strides at 8 or 16, or at 32 without network.refinement.fine",
        )
    blocks = fine_refinement.num_large_kernel_blocks if fine_refinement else (0, 0)
    stride = config.strides[0] // 2
    refiner = (
        KeypointRefiner(
            backbone.channels[stride],
            config.width,
            num_keypoints,
            stride,
            refinement.steps,
            fine=fine_refinement is not None,
            context=blocks[1],
        )
        if refinement
        else None
    )
    return E2Pose(
        config=config,
        backbone=backbone,
        pyramid=FeaturePyramid(
            backbone.channels,
            config.strides,
            config.width,
            fine=fine_refinement is not None,
            context=blocks[0],
        ),
        head=PoseHead(
            config.width,
            num_keypoints,
            config.head_depth,
            config.strides,
            one_to_many=one_to_many,
        ),
        refiner=refiner,
        fine=FineFeatures(backbone.entry_channels) if fine_refinement else None,
        fine_refiner=FineRefiner(num_keypoints, fine_refinement.steps) if fine_refinement else None,
        half_size=HalfSize(backbone.channels, config.strides, config.width, SEEN_CHANNELS, REFINER_CHANNELS)
        if fine_refinement and fine_refinement.half_resolution_branch
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
