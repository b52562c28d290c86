"""Refinement of keypoints by offset maps, beyond the published network.

A cell at the centre of a person predicts the far ankle roughly; a cell at the ankle predicts it precisely. Sources:
Papandreou et al., "PersonLab", ECCV 2018, section 3.1 (offsets on a fine map refine long offsets); Geng et al.,
"Bottom-Up Human Pose Estimation via Disentangled Keypoint Regression", CVPR 2021 (each keypoint needs features from its
own place).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from e2pose.models.fine_features import FINE_CHANNELS, separable_conv
from e2pose.models.head import Side, as_point
from e2pose.models.large_kernel import LargeKernelBlock
from e2pose.models.pyramid import crop_like, upsampling

COARSE_CHANNELS = 96
FINE_REFINEMENT_CHANNELS = 2 * 96
_TOP_K = 100
"""Number of candidates that are refined outside of training: more persons are rare."""
_OFFSET_UNIT = 2.0
"""Offsets are predicted in units of this many strides."""


class CoarseRefinement(nn.Module):
    """An offset map of half the finest level's stride.

    For every cell and every keypoint, the map holds the offset from the cell to the nearest keypoint of this kind. Each
    step samples the map at the keypoint's position after the previous step.

    Args:
        channels: Channels of the backbone's map of this stride.
        width: Channels of the finest pyramid level.
        num_keypoints: K, the number of keypoints.
        stride: Stride of the map.
        fine: Whether features of the fine refinement are added.
        num_large_kernel_blocks: Number of large-kernel blocks.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        num_keypoints: int,
        stride: int,
        *,
        fine: bool = False,
        num_large_kernel_blocks: int = 0,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.lateral = nn.Conv2d(channels, COARSE_CHANNELS, 1)
        self.up = upsampling(width, COARSE_CHANNELS)
        self.fine: nn.Conv2d | None = None
        if fine:
            self.fine = nn.Conv2d(FINE_REFINEMENT_CHANNELS, COARSE_CHANNELS, 1, bias=False)
            nn.init.zeros_(self.fine.weight)
        self.norm = nn.Sequential(nn.BatchNorm2d(COARSE_CHANNELS), nn.ReLU(inplace=True))
        self.tower = nn.Sequential(
            nn.Conv2d(COARSE_CHANNELS, COARSE_CHANNELS, 3, 1, 1, bias=False),
            nn.BatchNorm2d(COARSE_CHANNELS),
            nn.ReLU(inplace=True),
            nn.Conv2d(COARSE_CHANNELS, COARSE_CHANNELS, 3, 1, 1, bias=False),
            nn.BatchNorm2d(COARSE_CHANNELS),
        )
        self.large_kernel_blocks = nn.Sequential(
            *(LargeKernelBlock(COARSE_CHANNELS) for _ in range(num_large_kernel_blocks))
        )
        self.output = _offset_layer(COARSE_CHANNELS, num_keypoints)

    def extract(
        self, feature_map: Tensor, finest: Tensor, fine: Tensor | None = None, half_resolution: Tensor | None = None
    ) -> Tensor:
        """Computes the features of the offset map, (B, COARSE_CHANNELS, h, w).

        Args:
            feature_map: (B, channels, h, w), the backbone's map of this stride.
            finest: (B, width, h / 2, w / 2), the finest pyramid level.
            fine: (B, FINE_REFINEMENT_CHANNELS, 2 * h, 2 * w), the features of the fine refinement.
            half_resolution: (B, COARSE_CHANNELS, h, w), from the half-resolution branch.
        """
        lateral = self.lateral(feature_map)
        total = lateral + crop_like(self.up(finest), lateral)
        if self.fine is not None and fine is not None:
            total = total + crop_like(self.fine(functional.max_pool2d(fine, 2, ceil_mode=True)), lateral)
        if half_resolution is not None:
            total = total + half_resolution
        features = self.norm(total)
        return cast(Tensor, self.large_kernel_blocks((features + self.tower(features)).relu()))

    def forward(self, features: Tensor) -> Tensor:
        """Returns the offset map (B, 2 * K, h, w) of the extracted features."""
        return cast(Tensor, self.output(features))


class FineRefinement(nn.Module):
    """An offset map of stride 4, which adds detail to the coarse one.

    Two towers process the fine features, like in MoveNet, where one predicts whether a keypoint is in the cell and the
    other its offset from the cell's centre.

    Args:
        num_keypoints: K, the number of keypoints.
    """

    def __init__(self, num_keypoints: int) -> None:
        super().__init__()
        self.towers = nn.ModuleList(separable_conv(FINE_CHANNELS, FINE_REFINEMENT_CHANNELS // 2) for _ in range(2))
        self.output = _offset_layer(FINE_REFINEMENT_CHANNELS, num_keypoints)
        self.coarse = nn.Conv2d(COARSE_CHANNELS, 2 * num_keypoints, 1, bias=False)
        nn.init.zeros_(self.coarse.weight)

    def extract(self, fine_features: Tensor) -> Tensor:
        """Computes the features of the offset map, (B, FINE_REFINEMENT_CHANNELS, H / 4, W / 4)."""
        return torch.cat([tower(fine_features) for tower in self.towers], dim=1)

    def forward(self, features: Tensor, coarse_features: Tensor) -> Tensor:
        """Returns the offset map (B, 2 * K, H / 4, W / 4).

        Args:
            features: (B, FINE_REFINEMENT_CHANNELS, H / 4, W / 4), the extracted features.
            coarse_features: (B, COARSE_CHANNELS, H / 8, W / 8), those of the coarse refinement.
        """
        coarse = self.coarse(coarse_features)
        larger = functional.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
        return cast(Tensor, self.output(features)) + crop_like(larger, features)


def select_top_k(person_logits: Tensor, num_keypoints: int) -> Tensor:
    """Selects the candidates that are refined outside of training, by person score.

    Args:
        person_logits: (B, M).
        num_keypoints: K, the number of keypoints.

    Returns:
        (B, n, K, 2), the indices of the hundred best candidates, or of all if there are fewer, for `gather` and
        `scatter`.
    """
    count = torch.sym_min(_TOP_K, person_logits.shape[1])  # type: ignore[no-untyped-call]
    index = person_logits.topk(count, dim=1, sorted=False).indices
    return index[:, :, None, None].expand(-1, -1, num_keypoints, 2)


def apply_offsets(
    offset_map: Tensor, keypoints: Tensor, stride: int, input_size_hw: tuple[Side, Side], steps: int
) -> list[Tensor]:
    """Samples an offset map at keypoints and moves them by the offsets, repeatedly.

    Args:
        offset_map: (B, 2 * K, h, w), in units of `_OFFSET_UNIT` strides.
        keypoints: (B, M, K, 2), (x, y) as fractions of the input size.
        stride: Stride of the map in input pixels.
        input_size_hw: Height and width of the network's input in pixels.
        steps: Number of repetitions.

    Returns:
        The keypoints after each step. No gradient passes from one step to the previous one.
    """
    height, width = input_size_hw
    unit = _OFFSET_UNIT * stride / as_point(width, height, offset_map.device)
    num_candidates, num_keypoints = keypoints.shape[1:3]
    maps = offset_map.float().reshape(-1, 2, *offset_map.shape[2:])  # (B * K, 2, h, w)
    refined = []
    for _ in range(steps):
        keypoints = keypoints.detach()
        grid = (2 * keypoints - 1).transpose(1, 2).reshape(-1, num_candidates, 1, 2)
        offsets = functional.grid_sample(maps, grid, padding_mode="border", align_corners=False)
        keypoints = keypoints + unit * offsets.reshape(-1, num_keypoints, 2, num_candidates).permute(0, 3, 1, 2)
        refined.append(keypoints)
    return refined


def _offset_layer(channels: int, num_keypoints: int) -> nn.Conv2d:
    """Returns the last layer of an offset map, which predicts nearly no offsets initially."""
    layer = nn.Conv2d(channels, 2 * num_keypoints, 1)
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer
