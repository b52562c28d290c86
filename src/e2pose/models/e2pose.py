"""E2Pose: everybody's keypoints in one pass of one convolutional network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from e2pose.models.backbones.mobilenetv2 import MobileNetV2
from e2pose.models.backbones.resnet import ResNet
from e2pose.models.config import NetworkConfig
from e2pose.models.fine import FINE_STRIDE, FineFeatures
from e2pose.models.half_size import HalfSize
from e2pose.models.head import PoseHead, Prediction
from e2pose.models.pyramid import FeaturePyramid
from e2pose.models.refine import FineRefiner, KeypointRefiner, follow, top_candidates

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
        half_size: HalfSize | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone
        self.pyramid = pyramid
        self.head = head
        self.refiner = refiner
        self.fine = fine
        self.fine_refiner = fine_refiner
        self.half_size = half_size
        self.register_buffer("mean", torch.tensor(MEAN_RGB).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD_RGB).view(1, 3, 1, 1), persistent=False)

    def pretrained(self) -> list[nn.Module]:
        """The parts that usually start from weights of another network."""
        return [self.backbone, *([self.fine] if self.fine else [])]

    def forward(self, pixels: Tensor) -> Prediction:
        """Predicts the candidates of RGB canvases, uint8 (B, 3, H, W), H and W multiples of 32."""
        input_size_hw = (pixels.shape[2], pixels.shape[3])
        picture = (pixels.float() - self.mean) / self.std
        maps, fine, seen = self._look(picture)
        added, told = None, None
        if self.half_size:
            added, told = self.half_size(*self._look(functional.avg_pool2d(picture, 2)))
        levels = self.pyramid(maps, fine, added)
        parts = [
            self.head(level, stride, input_size_hw) for level, stride in zip(levels, self.pyramid.strides, strict=True)
        ]
        intermediate_keypoints = [torch.cat([part.keypoints for part in parts], dim=1)]
        person_logits = torch.cat([part.person_logits for part in parts], dim=1)
        corrections = []
        if self.refiner:
            coarse = self.refiner.look(maps[self.refiner.stride], levels[0], seen, told)
            corrections.append(self.refiner(coarse))
            chosen = None if self.training else top_candidates(person_logits, self.head.keypoints)
            refined = follow(
                corrections[-1],
                _picked(intermediate_keypoints[0], chosen),
                self.refiner.stride,
                input_size_hw,
                self.refiner.steps,
            )
            if self.fine_refiner and seen is not None:
                corrections.append(self.fine_refiner(seen, coarse))
                refined += follow(corrections[-1], refined[-1], FINE_STRIDE, input_size_hw, self.fine_refiner.steps)
            intermediate_keypoints += (
                refined if chosen is None else [intermediate_keypoints[0].scatter(1, chosen, step) for step in refined]
            )
        return Prediction(
            person_logits=person_logits,
            keypoint_logits=torch.cat([part.keypoint_logits for part in parts], dim=1),
            keypoints=intermediate_keypoints[-1],
            centers=torch.cat([part.centers for part in parts], dim=1),
            intermediate_keypoints=tuple(intermediate_keypoints[:-1]),
            corrections=tuple(corrections),
            one_to_many_logits=_joined([part.one_to_many_logits for part in parts]),
        )

    def _look(self, picture: Tensor) -> tuple[dict[int, Tensor], Tensor | None, Tensor | None]:
        """The backbone's maps, the fine features and what the fine refiner sees in them."""
        maps, entries = self.backbone(picture)
        fine = self.fine(entries) if self.fine else None
        return maps, fine, self.fine_refiner.look(fine) if self.fine_refiner and fine is not None else None


def _picked(keypoints: Tensor, chosen: Tensor | None) -> Tensor:
    """The keypoints of the chosen candidates, or of all."""
    return keypoints if chosen is None else keypoints.gather(1, chosen)


def _joined(parts: list[Tensor | None]) -> Tensor | None:
    given = [part for part in parts if part is not None]
    return torch.cat(given, dim=1) if given else None
