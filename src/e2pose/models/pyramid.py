"""The feature pyramid: coarse levels contribute context, fine levels contribute position.

Source: Tobeta et al., "E2Pose", IROS 2022, and the layer names of the published graphs. Convolutions of stride 2 extend
the backbone to coarser levels; then each level passes batch norm, activation, a convolution and a pixel shuffle to the
next finer level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

_COARSEST_OF_BACKBONE = 32


class FeaturePyramid(nn.Module):
    """Levels of equal width at the given strides.

    Args:
        channels: Channels of the backbone's maps by stride.
        strides: Strides of the levels from fine to coarse, each twice the previous one.
        width: Channels of every level.
    """

    def __init__(self, channels: Mapping[int, int], strides: Sequence[int], width: int) -> None:
        super().__init__()
        self.strides = tuple(strides)
        self.lateral = nn.ModuleDict()
        self.down = nn.ModuleDict()
        self.up = nn.ModuleDict()
        for stride in strides:
            if stride <= _COARSEST_OF_BACKBONE:
                self.lateral[str(stride)] = nn.Conv2d(channels[stride], width, 1)
            else:
                self.down[str(stride)] = nn.Sequential(
                    nn.Conv2d(width, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
                )
        for stride in strides[1:]:
            self.up[str(stride)] = upsampling(width, width)

    def forward(self, feature_maps: Mapping[int, Tensor]) -> list[Tensor]:
        """Turns the backbone's maps by stride into levels (B, width, H / stride, W / stride), from fine to coarse."""
        return self.top_down(self.bottom_up(feature_maps))

    def bottom_up(self, feature_maps: Mapping[int, Tensor]) -> list[Tensor]:
        """Projects the backbone's maps to the levels' width and extends them by coarser levels."""
        levels: list[Tensor] = []
        for stride in self.strides:
            name = str(stride)
            if name in self.lateral:
                levels.append(self.lateral[name](feature_maps[stride]))
            else:
                levels.append(apply_strided(self.down[name], levels[-1]))
        return levels

    def top_down(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Adds each level to the next finer one, from coarse to fine."""
        merged = [levels[-1]]
        for stride, finer in zip(self.strides[:0:-1], levels[-2::-1], strict=True):
            merged.append(finer + crop_like(self.up[str(stride)](merged[-1]), finer))
        return merged[::-1]


def upsampling(inputs: int, outputs: int) -> nn.Sequential:
    """Returns layers that double the resolution of a map: batch norm, activation, convolution and pixel shuffle."""
    return nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, 4 * outputs, 1), nn.PixelShuffle(2))


def crop_like(level: Tensor, other: Tensor) -> Tensor:
    """Crops a map to the size of another one at the right and bottom: upsampling makes odd sizes one larger."""
    return level[:, :, : other.shape[2], : other.shape[3]]


def apply_strided(layers: nn.Module, level: Tensor) -> Tensor:
    """Applies layers with a convolution of stride 2 to a level.

    For a level that is one cell wide, torch 2.13 on a CPU leaves parts of the weights' gradient in bf16 unwritten, so
    it is computed in float32.
    """
    if level.shape[3] > 1:
        return cast(Tensor, layers(level))
    with torch.autocast(level.device.type, enabled=False):
        return cast(Tensor, layers(level.float()))
