"""The half-resolution branch: the same backbone on the image at half its size.

Persons who fill a large input are there as large as on a small input. The maps of both resolutions meet in one pyramid,
so each person is still predicted once.

Source: Adelson et al., "Pyramid methods in image processing", RCA Engineer, 1984.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional

from e2pose.models.fine_features import FINE_CHANNELS, FINE_STRIDE
from e2pose.models.refinement import COARSE_CHANNELS, FINE_REFINEMENT_CHANNELS


class HalfResolutionBranch(nn.Module):
    """Projects maps of the smaller image onto the pyramid levels and the coarse refinement; initially to zero.

    A map of stride 16 of the smaller image has stride 32 on the input.

    Args:
        channels: Channels of the backbone's maps by stride.
        strides: Strides of the levels from fine to coarse.
        width: Channels of the levels.
    """

    def __init__(self, channels: Mapping[int, int], strides: Sequence[int], width: int) -> None:
        super().__init__()
        self.levels = nn.ModuleDict(
            {str(s): nn.Conv2d(channels[s // 2], width, 1, bias=False) for s in strides if s // 2 in channels}
        )
        self.side = strides[0] // (2 * FINE_STRIDE)
        self.fine = nn.Conv2d(FINE_CHANNELS * self.side**2, width, 1, bias=False)
        self.refinement = nn.Conv2d(FINE_REFINEMENT_CHANNELS, COARSE_CHANNELS, 1, bias=False)
        for layer in (*self.levels.values(), self.fine, self.refinement):
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]

    def forward(
        self, feature_maps: Mapping[int, Tensor], fine_features: Tensor, refinement_features: Tensor
    ) -> tuple[dict[int, Tensor], Tensor]:
        """Computes what is added to the pyramid levels and to the features of the coarse refinement.

        Args:
            feature_maps: The backbone's maps of the smaller image by stride.
            fine_features: (B, FINE_CHANNELS, H / 8, W / 8), those of the smaller image.
            refinement_features: (B, FINE_REFINEMENT_CHANNELS, H / 8, W / 8), computed from them.

        Returns:
            Maps for the levels by their strides on the input, and (B, COARSE_CHANNELS, H / 8, W / 8).
        """
        levels = {int(name): layer(feature_maps[int(name) // 2]) for name, layer in self.levels.items()}
        finest = min(levels)
        levels[finest] = levels[finest] + self.fine(functional.pixel_unshuffle(fine_features, self.side))
        return levels, self.refinement(refinement_features)
