"""A second look at the picture at half its size, where people who fill a large canvas are as large as on a small one.

Source: Adelson et al., "Pyramid methods in image processing", RCA Engineer, 1984. What the same backbone sees in both
sizes comes together in one pyramid, so that a person is still found once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional

from e2pose.models.fine import FINE_CHANNELS, FINE_STRIDE


class HalfSize(nn.Module):
    """Brings what is seen in the smaller picture to the levels and to the first refiner; nothing at first.

    A map of stride 16 of the smaller picture is one of stride 32 of the canvas.

    Args:
        channels: Channels of the backbone's maps by stride.
        strides: Strides of the levels from fine to coarse.
        width: Channels of the levels.
        seen_channels: Channels of what the fine refiner sees.
        refiner_channels: Channels of what the first refiner sees.
    """

    def __init__(
        self,
        channels: Mapping[int, int],
        strides: Sequence[int],
        width: int,
        seen_channels: int,
        refiner_channels: int,
    ) -> None:
        super().__init__()
        self.levels = nn.ModuleDict(
            {str(s): nn.Conv2d(channels[s // 2], width, 1, bias=False) for s in strides if s // 2 in channels}
        )
        self.side = strides[0] // (2 * FINE_STRIDE)
        self.fine = nn.Conv2d(FINE_CHANNELS * self.side**2, width, 1, bias=False)
        self.refiner = nn.Conv2d(seen_channels, refiner_channels, 1, bias=False)
        for layer in (*self.levels.values(), self.fine, self.refiner):
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]

    def forward(self, maps: Mapping[int, Tensor], fine: Tensor, seen: Tensor) -> tuple[dict[int, Tensor], Tensor]:
        """What is to be added to the levels, by their strides on the canvas, and to what the first refiner sees.

        Args:
            maps: The backbone's maps of the smaller picture by stride.
            fine: (B, FINE_CHANNELS, H / 8, W / 8), its fine features.
            seen: (B, seen_channels, H / 8, W / 8), what the fine refiner sees in them.
        """
        added = {int(name): layer(maps[int(name) // 2]) for name, layer in self.levels.items()}
        finest = min(added)
        added[finest] = added[finest] + self.fine(functional.pixel_unshuffle(fine, self.side))
        return added, self.refiner(seen)
