"""E2Pose: everybody's keypoints in one pass of one convolutional network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from e2pose.models.backbones.mobilenetv2 import MobileNetV2
from e2pose.models.backbones.resnet import ResNet
from e2pose.models.config import NetworkConfig
from e2pose.models.fine import FINE_STRIDE, FineFeatures
from e2pose.models.head import PoseHead, Prediction
from e2pose.models.pyramid import FeaturePyramid
from e2pose.models.refine import FineRefiner, KeypointRefiner, follow

MEAN_RGB = (123.675, 116.28, 103.53)
STD_RGB = (58.395, 57.12, 57.375)
"""Mean and deviation of ImageNet in 0..255, as torchvision's weights expect them."""


class E2Pose(nn.Module):
    """A backbone, a feature pyramid, a head and, beyond the original, fine features and refiners.

    Source: Tobeta et al., "E2Pose: Fully Convolutional Networks for End-to-End Multi-Person Pose Estimation",
    IROS 2022.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        config: NetworkConfig,
        backbone: MobileNetV2 | ResNet,
        pyramid: FeaturePyramid,
        head: PoseHead,
        *,
        refiner: KeypointRefiner | None = None,
        fine: FineFeatures | None = None,
        fine_refiner: FineRefiner | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone
        self.pyramid = pyramid
        self.head = head
        self.refiner = refiner
        self.fine = fine
        self.fine_refiner = fine_refiner
        self.register_buffer("mean", torch.tensor(MEAN_RGB).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD_RGB).view(1, 3, 1, 1), persistent=False)

    def pretrained(self) -> list[nn.Module]:
        """The parts that usually start from weights of another network."""
        return [self.backbone, *([self.fine] if self.fine else [])]

    def forward(self, pixels: Tensor) -> Prediction:
        """Predicts the candidates of RGB canvases, uint8 (B, 3, H, W), H and W multiples of 32."""
        canvas_hw = (pixels.shape[2], pixels.shape[3])
        maps, entries = self.backbone((pixels.float() - self.mean) / self.std)
        fine = self.fine(entries) if self.fine else None
        levels = self.pyramid(maps, fine)
        parts = [
            self.head(level, stride, canvas_hw) for level, stride in zip(levels, self.pyramid.strides, strict=True)
        ]
        drafts = [torch.cat([part.keypoints for part in parts], dim=1)]
        corrections = []
        seen = self.fine_refiner.look(fine) if self.fine_refiner and fine is not None else None
        if self.refiner:
            coarse = self.refiner.look(maps[self.refiner.stride], levels[0], seen)
            corrections.append(self.refiner(coarse))
            drafts += follow(corrections[-1], drafts[-1], self.refiner.stride, canvas_hw, self.refiner.steps)
            if self.fine_refiner and seen is not None:
                corrections.append(self.fine_refiner(seen, coarse))
                drafts += follow(corrections[-1], drafts[-1], FINE_STRIDE, canvas_hw, self.fine_refiner.steps)
        return Prediction(
            person_logits=torch.cat([part.person_logits for part in parts], dim=1),
            keypoint_logits=torch.cat([part.keypoint_logits for part in parts], dim=1),
            keypoints=drafts[-1],
            centers=torch.cat([part.centers for part in parts], dim=1),
            drafts=tuple(drafts[:-1]),
            corrections=tuple(corrections),
            many_logits=_joined([part.many_logits for part in parts]),
        )


def _joined(parts: list[Tensor | None]) -> Tensor | None:
    given = [part for part in parts if part is not None]
    return torch.cat(given, dim=1) if given else None
