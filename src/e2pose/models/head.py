"""The head: from each cell of each level one candidate pose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

UNIT = 2.0
"""Keypoint offsets are predicted in units of so many strides: a person fills a few cells, so the numbers are near 1."""

if TYPE_CHECKING:
    Side = int  # as torch types what takes one
else:
    Side = int | torch.SymInt
"""Length of a side of a map, which is a symbol while a graph of open size is traced."""

_PRIOR_SCORE = 0.01  # of a person in a cell, at the start (Lin et al., "Focal Loss", ICCV 2017, section 4.1)


@dataclass(frozen=True, eq=False)
class Prediction:
    """The candidates of a batch, M cells of all levels from fine to coarse, row by row.

    Args:
        person_logits: (B, M), is here a person?
        keypoint_logits: (B, M, K), is the keypoint in the picture?
        keypoints: (B, M, K, 2), (x, y) as fractions of the canvas; may lie outside of [0, 1].
        centers: (B, M, 2), centre of the person, likewise.
        intermediate_keypoints: The keypoints before each of their refinements, first to last.
        corrections: Maps (B, 2 * K, h, w) that the keypoints followed, coarse and fine.
        one_to_many_logits: (B, M), is here a person that others may answer for too? Only while training, if asked for.
    """

    person_logits: Tensor
    keypoint_logits: Tensor
    keypoints: Tensor
    centers: Tensor
    intermediate_keypoints: tuple[Tensor, ...] = ()
    corrections: tuple[Tensor, ...] = ()
    one_to_many_logits: Tensor | None = None


class PoseHead(nn.Module):
    """Predicts a person score, a centre, and for every keypoint a score and an offset from the centre.

    All levels share the convolutions, since offsets are in units of the level's stride: a person of twice the size
    looks the same one level higher. The statistics of the levels differ, so each has batch norms of its own.

    Args:
        width: Channels of the levels.
        keypoints: Number of keypoints K.
        depth: Number of 3x3 convolutions before the outputs.
        strides: Strides of the levels.
        one_to_many: Predict the second person score while training.
    """

    def __init__(
        self,
        width: int,
        keypoints: int,
        depth: int,
        strides: Sequence[int],
        *,
        one_to_many: bool = False,
    ) -> None:
        super().__init__()
        self.keypoints = keypoints
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, 1, 1, bias=False) for _ in range(depth))
        self.norms = nn.ModuleDict(
            {str(s): nn.ModuleList(nn.BatchNorm2d(width) for _ in range(depth + 1)) for s in strides}
        )
        self.output = nn.Conv2d(width, 1 + keypoints + 2 + 2 * keypoints, 1)
        nn.init.normal_(self.output.weight, std=0.01)
        bias = torch.zeros(self.output.out_channels)
        bias[0] = -math.log((1 - _PRIOR_SCORE) / _PRIOR_SCORE)
        self.output.bias = nn.Parameter(bias)
        self.one_to_many = nn.Conv2d(width, 1, 1) if one_to_many else None

    def seed(self, stride: int) -> nn.Sequential:
        """The layers of a level up to its outputs."""
        first, *others = self.norms[str(stride)].children()
        layers = [first, nn.ReLU()]
        for conv, norm in zip(self.convs, others, strict=True):
            layers += [conv, norm, nn.ReLU(inplace=True)]
        return nn.Sequential(*layers)

    def forward(self, level: Tensor, stride: int, input_size_hw: tuple[Side, Side]) -> Prediction:
        """Turns one level (B, width, h, w) into h * w candidates."""
        seed = self.seed(stride)(level)
        raw = _rows(self.output(seed))
        one_to_many = _rows(self.one_to_many(seed)).squeeze(2) if self.one_to_many and self.training else None
        person, visible, center, offset = torch.split(raw, [1, self.keypoints, 2, 2 * self.keypoints], dim=2)
        input_size_wh = point(input_size_hw[1], input_size_hw[0], level.device)
        centers = cell_centers(level.shape[2], level.shape[3], stride, level.device) + stride * center
        offsets = UNIT * stride * offset.reshape(*offset.shape[:2], self.keypoints, 2)
        return Prediction(
            person_logits=person.squeeze(2),
            keypoint_logits=visible,
            keypoints=(centers.unsqueeze(2) + offsets) / input_size_wh,
            centers=centers / input_size_wh,
            one_to_many_logits=one_to_many,
        )


def _rows(maps: Tensor) -> Tensor:
    """Maps (B, C, h, w) as a row of C numbers for each cell: (B, h * w, C)."""
    return maps.float().flatten(2).transpose(1, 2)


def cell_centers(rows: Side, columns: Side, stride: int, device: torch.device) -> Tensor:
    """The middle (x, y) in canvas pixels of each cell, row by row: (rows * columns, 2)."""
    y = (torch.arange(rows, device=device, dtype=torch.float32) + 0.5) * stride
    x = (torch.arange(columns, device=device, dtype=torch.float32) + 0.5) * stride
    return torch.stack([x.expand(rows, columns), y[:, None].expand(rows, columns)], dim=2).flatten(0, 1)


def point(x: Side, y: Side, device: torch.device) -> Tensor:
    """(2,): x and y, made on the device; a copy from the processor could not be part of a CUDA graph."""
    return torch.cat([torch.full((1,), value, dtype=torch.float32, device=device) for value in (x, y)])
