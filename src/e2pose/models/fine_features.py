"""Fine features: a light pyramid on the backbone that ends at stride 4, and its way into the levels.

Source: the feature extractor of MoveNet MultiPose Lightning as in its public graph (Google, Apache-2.0), a pyramid
after Lin et al., "Feature Pyramid Networks for Object Detection", CVPR 2017, with separable convolutions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from e2pose.models.large_kernel import LargeKernelBlock
from e2pose.models.pyramid import apply_strided, crop_like

FINE_STRIDE = 4
FINE_CHANNELS = 24

_EXPANDED_CHANNELS = 1280
"""Channels between the backbone's coarsest map and its lateral layer; this map describes the whole image."""

_WIDTHS = {32: 64, 16: 64, 8: 32, 4: FINE_CHANNELS}
"""Channels of each stride's map where it meets the coarser one."""


class FineFeatures(nn.Module):
    """A map of stride 4 that combines all maps of the backbone.

    Args:
        channels: Channels of the backbone's early maps by stride.
    """

    def __init__(self, channels: Mapping[int, int]) -> None:
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(channels[32], _EXPANDED_CHANNELS, 1), nn.ReLU6(inplace=True))
        inputs = {**channels, 32: _EXPANDED_CHANNELS}
        self.lateral = nn.ModuleDict({str(s): nn.Conv2d(inputs[s], width, 1) for s, width in _WIDTHS.items()})
        self.merge = nn.ModuleDict(
            {str(s): separable_conv(_WIDTHS[s], _WIDTHS.get(s // 2, FINE_CHANNELS)) for s in _WIDTHS if s < 32}
        )

    def forward(self, early_maps: Mapping[int, Tensor]) -> Tensor:
        """Turns the backbone's early maps by stride into one map (B, FINE_CHANNELS, H / 4, W / 4)."""
        coarse = self.lateral["32"](self.expand(early_maps[32]))
        for stride in (16, 8, 4):
            lateral = self.lateral[str(stride)](early_maps[stride])
            coarse = self.merge[str(stride)](lateral + crop_like(_upsample(coarse), lateral))
        return cast(Tensor, coarse)


class FineFusion(nn.Module):
    """Adds fine features to the finest pyramid level and carries them to the coarser levels by a bottom-up path.

    Initially it leaves the levels as they are.

    Args:
        strides: Strides of the levels from fine to coarse.
        width: Channels of the levels.
        num_large_kernel_blocks: Number of large-kernel blocks on the finest level.
    """

    def __init__(self, strides: Sequence[int], width: int, num_large_kernel_blocks: int) -> None:
        super().__init__()
        last = nn.BatchNorm2d(width)
        nn.init.zeros_(last.weight)
        self.fusion = nn.Sequential(
            *(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3, 1, 1, bias=False)),
            *(nn.BatchNorm2d(width), nn.ReLU(inplace=True), nn.Conv2d(width, width, 3, 1, 1, bias=False)),
            last,
        )
        self.large_kernel_blocks = nn.Sequential(*(LargeKernelBlock(width) for _ in range(num_large_kernel_blocks)))
        side = strides[0] // FINE_STRIDE
        self.lateral = nn.Conv2d(FINE_CHANNELS, width, side, side, bias=False)
        nn.init.zeros_(self.lateral.weight)
        self.bottom_up = nn.ModuleDict()
        for stride in strides[1:]:
            conv = nn.Conv2d(width, width, 3, 2, 1, bias=False)
            nn.init.zeros_(conv.weight)
            self.bottom_up[str(stride)] = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), conv)

    def project(self, fine_features: Tensor, finest: Tensor) -> Tensor:
        """Returns the fine features (B, FINE_CHANNELS, H / 4, W / 4) in the shape of the finest level."""
        return crop_like(_apply_patch_conv(self.lateral, fine_features), finest)

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Passes the finest of the merged levels on to the coarser ones."""
        fused = [cast(Tensor, self.large_kernel_blocks(levels[0] + self.fusion(levels[0])))]
        for level, layers in zip(levels[1:], self.bottom_up.values(), strict=True):
            fused.append(level + apply_strided(layers, fused[-1]))
        return fused


def separable_conv(inputs: int, outputs: int) -> nn.Sequential:
    """Returns a depthwise 3x3 convolution followed by a 1x1 convolution, batch norm and activation."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, 1, 1, groups=inputs, bias=False),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _upsample(coarse: Tensor) -> Tensor:
    """Doubles the resolution of a map and shifts it up and left by one of the new cells, like MoveNet."""
    large = functional.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
    return functional.pad(large[:, :, 1:, 1:], (0, 1, 0, 1), mode="replicate")


def _apply_patch_conv(conv: nn.Conv2d, features: Tensor) -> Tensor:
    """Applies a convolution whose stride equals its kernel size.

    With few channels, torch 2.13 computes it wrongly in bf16 on a CPU with AMX, so other types than float32 take a 1x1
    convolution of the unshuffled pixels.
    """
    if features.dtype == torch.float32:
        return cast(Tensor, conv(features))
    kernel = conv.weight.flatten(1)[:, :, None, None]
    return functional.conv2d(functional.pixel_unshuffle(features, conv.kernel_size[0]), kernel)
