"""The feature pyramid: coarse maps see whole people, fine maps see where they are, and both meet on every level.

Source: Tobeta et al., "E2Pose", IROS 2022, and the layer names of the published graphs: stride-2 convolutions go on
from the backbone, then each level passes batch norm, activation, a convolution and a pixel shuffle up to the next
finer one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

_COARSEST_OF_BACKBONE = 32


class FeaturePyramid(nn.Module):
    """Maps of equal width at the given strides.

    Args:
        channels: Channels of the backbone's maps by stride.
        strides: Strides of the levels from fine to coarse, each twice the one before; those above 32 are made by
            further stride-2 convolutions.
        width: Channels of every level.
    """

    def __init__(self, channels: Mapping[int, int], strides: Sequence[int], width: int) -> None:
        super().__init__()
        self.strides = tuple(strides)
        self.lateral = nn.ModuleDict(
            {str(s): nn.Conv2d(channels[s], width, 1) for s in self.strides if s <= _COARSEST_OF_BACKBONE}
        )
        self.down = nn.ModuleDict(
            {
                str(s): nn.Sequential(
                    nn.Conv2d(width, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
                )
                for s in self.strides
                if s > _COARSEST_OF_BACKBONE
            }
        )
        self.up = nn.ModuleDict(
            {
                str(s): nn.Sequential(
                    nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 4 * width, 1), nn.PixelShuffle(2)
                )
                for s in self.strides[1:]
            }
        )

    def forward(self, maps: Mapping[int, Tensor]) -> list[Tensor]:
        """Turns the backbone's maps by stride into levels (B, width, H / stride, W / stride), from fine to coarse."""
        levels: list[Tensor] = []
        for stride in self.strides:
            name = str(stride)
            levels.append(self.lateral[name](maps[stride]) if name in self.lateral else self._halve(name, levels[-1]))
        for index in range(len(levels) - 1, 0, -1):
            fine = levels[index - 1]
            coarse = self.up[str(self.strides[index])](levels[index])
            levels[index - 1] = fine + coarse[:, :, : fine.shape[2], : fine.shape[3]]
        return levels

    def _halve(self, name: str, level: Tensor) -> Tensor:
        """The next coarser level.

        Where a map is one pixel wide, torch 2.13 on a CPU leaves parts of the weights' gradient in bf16 unwritten.
        """
        if level.shape[3] > 1:
            return cast(Tensor, self.down[name](level))
        with torch.autocast(level.device.type, enabled=False):
            return cast(Tensor, self.down[name](level.float()))
