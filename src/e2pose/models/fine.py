"""Fine features: a light pyramid down to stride 4, for what has to be precise.

Source: the feature extractor of MoveNet MultiPose Lightning as its public graph has it (Google, Apache-2.0), a
pyramid after Lin et al., "Feature Pyramid Networks for Object Detection", CVPR 2017, with separable convolutions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn
from torch.nn import functional

FINE_STRIDE = 4
FINE_CHANNELS = 24

_WIDE = 1280
"""Channels in between on the way from the coarsest map, which has to say most: what is where in the whole picture."""

_WIDTHS = {32: 64, 16: 64, 8: 32, 4: FINE_CHANNELS}
"""Channels of each stride's map where it meets the coarser one."""


class FineFeatures(nn.Module):
    """A map of stride 4 that knows what all maps of the backbone know.

    Args:
        channels: Channels of the backbone's maps by stride.
    """

    def __init__(self, channels: Mapping[int, int]) -> None:
        super().__init__()
        self.wide = nn.Sequential(nn.Conv2d(channels[32], _WIDE, 1), nn.ReLU6(inplace=True))
        inputs = {**channels, 32: _WIDE}
        self.lateral = nn.ModuleDict({str(s): nn.Conv2d(inputs[s], width, 1) for s, width in _WIDTHS.items()})
        self.merge = nn.ModuleDict(
            {str(s): separable(_WIDTHS[s], _WIDTHS.get(s // 2, FINE_CHANNELS)) for s in _WIDTHS if s < 32}
        )

    def forward(self, maps: Mapping[int, Tensor]) -> Tensor:
        """Turns the backbone's maps by stride into one (B, FINE_CHANNELS, H / 4, W / 4)."""
        coarse = self.lateral["32"](self.wide(maps[32]))
        for stride in (16, 8, 4):
            lateral = self.lateral[str(stride)](maps[stride])
            coarse = self.merge[str(stride)](lateral + _doubled(coarse)[:, :, : lateral.shape[2], : lateral.shape[3]])
        return cast(Tensor, coarse)


def separable(inputs: int, outputs: int) -> nn.Sequential:
    """A 3x3 convolution of each channel by itself, then one of all channels at each place."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, 1, 1, groups=inputs, bias=False),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _doubled(coarse: Tensor) -> Tensor:
    """A map of twice the size, moved up and left by one of its pixels."""
    large = functional.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
    return functional.pad(large[:, :, 1:, 1:], (0, 1, 0, 1), mode="replicate")
