"""Large-kernel blocks: a depthwise convolution with a large kernel, then 1x1 convolutions.

Source: Liu et al., "A ConvNet for the 2020s", CVPR 2022, section 2.5 and figure 4; with batch norms, which are folded
into the convolutions at export.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

_KERNEL = 7
_EXPANSION = 2


class LargeKernelBlock(nn.Module):
    """Adds context from three cells in each direction to a map; initially the identity.

    Args:
        channels: Channels of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        last = nn.BatchNorm2d(channels)
        nn.init.zeros_(last.weight)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, _KERNEL, 1, _KERNEL // 2, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, _EXPANSION * channels, 1, bias=False),
            nn.BatchNorm2d(_EXPANSION * channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(_EXPANSION * channels, channels, 1, bias=False),
            last,
        )

    def forward(self, level: Tensor) -> Tensor:
        """Returns a map of the same shape, (B, channels, h, w)."""
        return level + cast(Tensor, self.layers(level))
