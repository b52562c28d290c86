"""E2Pose as published: a backbone, a feature pyramid, and a head that predicts one pose per cell.

Source: Tobeta et al., "E2Pose: Fully Convolutional Networks for End-to-End Multi-Person Pose Estimation", IROS 2022,
and the layer names of the published graphs. docs/models/sizes.md lists what the publication states.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from e2pose.models.backbones.build import BACKBONES
from e2pose.models.config import NetworkConfig
from e2pose.models.head import PoseHead, Prediction
from e2pose.models.pyramid import FeaturePyramid

MEAN_RGB = (123.675, 116.28, 103.53)
STD_RGB = (58.395, 57.12, 57.375)
"""Mean and standard deviation of ImageNet in 0..255, as expected by torchvision's weights."""


class E2Pose(nn.Module):
    """The published network: RGB images in, one candidate pose per cell of five pyramid levels out.

    Args:
        config: The layers; `config.refinement` is ignored here, see `e2pose.models.refined`.
        num_keypoints: K, the number of keypoints of the schema.
        one_to_many: Add the second person score, which only training uses.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: NetworkConfig, num_keypoints: int, *, one_to_many: bool = False) -> None:
        super().__init__()
        self.config = config
        self.backbone = BACKBONES[config.backbone]()
        self.pyramid = FeaturePyramid(self.backbone.channels, config.strides, config.width)
        self.head = PoseHead(config.width, num_keypoints, config.head_depth, config.strides, one_to_many=one_to_many)
        self.register_buffer("mean", torch.tensor(MEAN_RGB).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD_RGB).view(1, 3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Prediction:
        """Predicts the candidates of letterboxed RGB images, uint8 (B, 3, H, W), H and W multiples of 32."""
        feature_maps, _ = self.backbone(self.normalise(pixels))
        levels = self.pyramid(feature_maps)
        prediction: Prediction = self.head(levels, input_size_hw=(pixels.shape[2], pixels.shape[3]))
        return prediction

    def normalise(self, pixels: Tensor) -> Tensor:
        """Scales RGB values of 0..255 to the mean and deviation of ImageNet."""
        return (pixels.float() - self.mean) / self.std

    def pretrained_modules(self) -> list[nn.Module]:
        """Returns the parts that usually start from the weights of another network."""
        return [self.backbone]
