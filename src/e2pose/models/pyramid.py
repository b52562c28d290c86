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
from torch.nn import functional

from e2pose.models.fine import FINE_CHANNELS, FINE_STRIDE
from e2pose.models.large_kernel import LargeKernelBlock

_COARSEST_OF_BACKBONE = 32


class FeaturePyramid(nn.Module):
    """Maps of equal width at the given strides.

    Args:
        channels: Channels of the backbone's maps by stride.
        strides: Strides of the levels from fine to coarse, each twice the one before; those above 32 are made by
            further stride-2 convolutions.
        width: Channels of every level.
        fine: Whether fine features enter the finest level, where further layers bring everything together, and from
            there the coarser ones.
        context: Blocks of large kernels among those layers.
    """

    def __init__(
        self, channels: Mapping[int, int], strides: Sequence[int], width: int, *, fine: bool = False, context: int = 0
    ) -> None:
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
        self.fine: nn.Conv2d | None = None
        self.again = nn.ModuleDict()
        self.context = nn.Sequential(*(LargeKernelBlock(width) for _ in range(context if fine else 0)))
        self.blend: nn.Sequential | None = None
        if fine:
            last = nn.BatchNorm2d(width)
            nn.init.zeros_(last.weight)
            self.blend = nn.Sequential(
                *(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3, 1, 1, bias=False)),
                *(nn.BatchNorm2d(width), nn.ReLU(inplace=True), nn.Conv2d(width, width, 3, 1, 1, bias=False)),
                last,
            )
            side = self.strides[0] // FINE_STRIDE
            self.fine = nn.Conv2d(FINE_CHANNELS, width, side, side, bias=False)
            nn.init.zeros_(self.fine.weight)
            for s in self.strides[1:]:
                halving = nn.Conv2d(width, width, 3, 2, 1, bias=False)
                nn.init.zeros_(halving.weight)
                self.again[str(s)] = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), halving)

    def forward(
        self, maps: Mapping[int, Tensor], fine: Tensor | None = None, added: Mapping[int, Tensor] | None = None
    ) -> list[Tensor]:
        """Turns the backbone's maps by stride into levels (B, width, H / stride, W / stride), from fine to coarse.

        Args:
            maps: The backbone's maps by stride.
            fine: (B, FINE_CHANNELS, H / 4, W / 4), the fine features, if the pyramid takes them.
            added: By stride, what else enters levels, in their shape.
        """
        levels: list[Tensor] = []
        for stride in self.strides:
            name = str(stride)
            levels.append(
                self.lateral[name](maps[stride]) if name in self.lateral else _halve(self.down[name], levels[-1])
            )
        if self.fine is not None and fine is not None:
            entering = _patches(self.fine, fine)
            levels[0] = levels[0] + entering[:, :, : levels[0].shape[2], : levels[0].shape[3]]
        for stride, more in (added or {}).items():
            levels[self.strides.index(stride)] = levels[self.strides.index(stride)] + more
        for index in range(len(levels) - 1, 0, -1):
            below = levels[index - 1]
            coarse = self.up[str(self.strides[index])](levels[index])
            levels[index - 1] = below + coarse[:, :, : below.shape[2], : below.shape[3]]
        if self.blend is not None:
            levels[0] = self.context(levels[0] + self.blend(levels[0]))
        for index, layers in enumerate(self.again.values(), start=1):
            levels[index] = levels[index] + _halve(layers, levels[index - 1])
        return levels


def _halve(layers: nn.Module, level: Tensor) -> Tensor:
    """What layers with a convolution of stride 2 make of a level.

    Where a map is one pixel wide, torch 2.13 on a CPU leaves parts of the weights' gradient in bf16 unwritten.
    """
    if level.shape[3] > 1:
        return cast(Tensor, layers(level))
    with torch.autocast(level.device.type, enabled=False):
        return cast(Tensor, layers(level.float()))


def _patches(layer: nn.Conv2d, fine: Tensor) -> Tensor:
    """What a convolution of square patches side by side gives.

    With few channels torch 2.13 gets it wrong in bf16 on a CPU with AMX; there it is one of single pixels.
    """
    if fine.dtype == torch.float32:
        return cast(Tensor, layer(fine))
    kernel = layer.weight.flatten(1)[:, :, None, None]
    return functional.conv2d(functional.pixel_unshuffle(fine, layer.kernel_size[0]), kernel)
