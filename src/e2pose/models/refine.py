"""The refiners: every keypoint looks at the picture around it and corrects itself.

A cell in the middle of a person knows roughly where the far ankle is; a cell at the ankle knows precisely. Sources:
Papandreou et al., "PersonLab", ECCV 2018, section 3.1 (offsets on a fine map correct offsets over a long way); Geng et
al., "Bottom-Up Human Pose Estimation via Disentangled Keypoint Regression", CVPR 2021 (each keypoint needs features
from where it is).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from e2pose.models.fine import FINE_CHANNELS, separable
from e2pose.models.head import Side, point
from e2pose.models.large_kernel import LargeKernelBlock

REFINER_CHANNELS = 96
SEEN_CHANNELS = 2 * 96
_REFINED = 100  # candidates; more people are not in a picture
_UNIT = 2.0  # corrections are predicted in units of so many strides


class KeypointRefiner(nn.Module):
    """A map of corrections, for the first steps.

    The map is twice as fine as the finest level. For every place and every kind of keypoint it holds the way to the
    keypoint of that kind, so that each step starts where the one before has arrived.

    Args:
        channels: Channels of the backbone's map of that stride.
        width: Channels of the finest level.
        keypoints: Number of keypoints K.
        stride: Stride of the map.
        steps: How often each keypoint is corrected.
        fine: Whether it is told what the fine refiner sees.
        context: Blocks of large kernels, if it is.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        keypoints: int,
        stride: int,
        steps: int,
        *,
        fine: bool = False,
        context: int = 0,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.steps = steps
        self.lateral = nn.Conv2d(channels, REFINER_CHANNELS, 1)
        self.up = nn.Sequential(
            nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 4 * REFINER_CHANNELS, 1), nn.PixelShuffle(2)
        )
        self.fine: nn.Conv2d | None = None
        if fine:
            self.fine = nn.Conv2d(SEEN_CHANNELS, REFINER_CHANNELS, 1, bias=False)
            nn.init.zeros_(self.fine.weight)
        self.enter = nn.Sequential(nn.BatchNorm2d(REFINER_CHANNELS), nn.ReLU(inplace=True))
        self.seed = nn.Sequential(
            nn.Conv2d(REFINER_CHANNELS, REFINER_CHANNELS, 3, 1, 1, bias=False),
            nn.BatchNorm2d(REFINER_CHANNELS),
            nn.ReLU(inplace=True),
            nn.Conv2d(REFINER_CHANNELS, REFINER_CHANNELS, 3, 1, 1, bias=False),
            nn.BatchNorm2d(REFINER_CHANNELS),
        )
        self.context = nn.Sequential(*(LargeKernelBlock(REFINER_CHANNELS) for _ in range(context if fine else 0)))
        self.output = _to_corrections(REFINER_CHANNELS, keypoints)

    def look(self, features: Tensor, level: Tensor, seen: Tensor | None = None, added: Tensor | None = None) -> Tensor:
        """What it sees, (B, 96, h, w).

        Args:
            features: (B, channels, h, w), the backbone's map.
            level: (B, width, h / 2, w / 2), the finest level.
            seen: (B, 192, 2 * h, 2 * w), what the fine refiner sees.
            added: (B, 96, h, w), what else enters.
        """
        lateral = self.lateral(features)
        total = lateral + self.up(level)[:, :, : lateral.shape[2], : lateral.shape[3]]
        if self.fine is not None and seen is not None:
            told = self.fine(functional.max_pool2d(seen, 2, ceil_mode=True))
            total = total + told[:, :, : lateral.shape[2], : lateral.shape[3]]
        if added is not None:
            total = total + added
        entered = self.enter(total)
        return cast(Tensor, self.context((entered + self.seed(entered)).relu()))

    def forward(self, seen: Tensor) -> Tensor:
        """The map of corrections (B, 2 * K, h, w), to be followed, from what it sees."""
        return cast(Tensor, self.output(seen))


class FineRefiner(nn.Module):
    """A second map of corrections, of stride 4, for the last steps: what is near can be seen precisely there.

    It looks at the fine features in two ways, since MoveNet does: for whether a keypoint is near, and for how far from
    the middle of its cell it is.

    Args:
        keypoints: Number of keypoints K.
        steps: How often each keypoint is corrected.
    """

    def __init__(self, keypoints: int, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.seeds = nn.ModuleList(separable(FINE_CHANNELS, SEEN_CHANNELS // 2) for _ in range(2))
        self.output = _to_corrections(SEEN_CHANNELS, keypoints)
        self.coarse = nn.Conv2d(REFINER_CHANNELS, 2 * keypoints, 1, bias=False)
        nn.init.zeros_(self.coarse.weight)

    def look(self, fine: Tensor) -> Tensor:
        """What it sees, (B, 192, H / 4, W / 4), in what `FineFeatures` gives."""
        return torch.cat([seed(fine) for seed in self.seeds], dim=1)

    def forward(self, seen: Tensor, coarse: Tensor) -> Tensor:
        """The map of corrections (B, 2 * K, H / 4, W / 4), to be followed.

        Args:
            seen: (B, 192, H / 4, W / 4), what it sees.
            coarse: (B, 96, H / 8, W / 8), what the refiner before it sees.
        """
        larger = functional.interpolate(self.coarse(coarse), scale_factor=2.0, mode="bilinear", align_corners=False)
        return cast(Tensor, self.output(seen)) + larger[:, :, : seen.shape[2], : seen.shape[3]]


def top_candidates(person_logits: Tensor, keypoints: int) -> Tensor:
    """Which candidates are refined outside of training: those that are nobody would take most of the time.

    Args:
        person_logits: (B, M), is here a person?
        keypoints: Number of keypoints K.

    Returns:
        (B, n, K, 2), the indices of the top_candidates hundred candidates, or of all, for `gather` and `scatter`.
    """
    count = torch.sym_min(_REFINED, person_logits.shape[1])  # type: ignore[no-untyped-call]
    index = person_logits.topk(count, dim=1, sorted=False).indices
    return index[:, :, None, None].expand(-1, -1, keypoints, 2)


def follow(
    corrections: Tensor, keypoints: Tensor, stride: int, input_size_hw: tuple[Side, Side], steps: int
) -> list[Tensor]:
    """Reads a map of corrections at keypoints and moves them, so many times.

    Args:
        corrections: (B, 2 * K, h, w), what a refiner gives.
        keypoints: (B, M, K, 2), (x, y) as fractions of the canvas.
        stride: Of the map.
        input_size_hw: Size of the canvas.
        steps: How many times.

    Returns:
        The keypoints after each step. No gradient passes from one step to the one before.
    """
    height, width = input_size_hw
    unit = _UNIT * stride / point(width, height, corrections.device)
    count, kinds = keypoints.shape[1:3]
    maps = corrections.float().reshape(-1, 2, *corrections.shape[2:])  # (B * K, 2, h, w)
    refined = []
    for _ in range(steps):
        keypoints = keypoints.detach()
        places = (2 * keypoints - 1).transpose(1, 2).reshape(-1, count, 1, 2)
        read = functional.grid_sample(maps, places, padding_mode="border", align_corners=False)
        keypoints = keypoints + unit * read.reshape(-1, kinds, 2, count).permute(0, 3, 1, 2)
        refined.append(keypoints)
    return refined


def _to_corrections(channels: int, keypoints: int) -> nn.Conv2d:
    """The last layer of a refiner, which at first leaves keypoints nearly where they are."""
    output = nn.Conv2d(channels, 2 * keypoints, 1)
    nn.init.normal_(output.weight, std=0.01)
    nn.init.zeros_(output.bias)  # type: ignore[arg-type]
    return output
