"""The head: one candidate pose from each cell of each pyramid level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

OFFSET_UNIT = 2.0
"""Keypoint offsets are predicted in units of this many strides, so that most are of the order of 1."""

if TYPE_CHECKING:
    Side = int  # torch's stubs accept nothing else
else:
    Side = int | torch.SymInt
"""Length of a side of a map in cells or pixels; symbolic while a graph with open axes is traced."""

_PRIOR_SCORE = 0.01
"""Initial person score of every cell. Source: Lin et al., "Focal Loss", ICCV 2017, section 4.1."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """The candidates of a batch: M cells of all levels from fine to coarse, each level row by row.

    Args:
        person_logits: (B, M), whether the cell's candidate is a person.
        keypoint_logits: (B, M, K), whether the keypoint is in the image.
        keypoints: (B, M, K, 2), (x, y) as fractions of the input size; may lie outside of [0, 1].
        centers: (B, M, 2), centre of the person, likewise.
        intermediate_keypoints: Keypoints before each refinement step, from the initial keypoints on.
        offset_maps: (B, 2 * K, h, w) each, the coarse and the fine offset map.
        one_to_many_logits: (B, M), person score for which several candidates may match one person; only in training.
    """

    person_logits: Tensor
    keypoint_logits: Tensor
    keypoints: Tensor
    centers: Tensor
    intermediate_keypoints: tuple[Tensor, ...] = ()
    offset_maps: tuple[Tensor, ...] = ()
    one_to_many_logits: Tensor | None = None


class PoseHead(nn.Module):
    """Predicts a person score, a centre, and for every keypoint a score and an offset from the centre.

    All levels share their convolutions, since offsets are in units of the level's stride: a person of twice the size
    looks the same one level higher. The statistics of the levels differ, so each level has its own batch norms.

    Args:
        width: Channels of the levels.
        num_keypoints: K, the number of keypoints.
        depth: Number of 3x3 convolutions before the output.
        strides: Strides of the levels.
        one_to_many: Predict the second person score in training.
    """

    def __init__(
        self, width: int, num_keypoints: int, depth: int, strides: Sequence[int], *, one_to_many: bool = False
    ) -> None:
        super().__init__()
        self.num_keypoints = num_keypoints
        self.strides = tuple(strides)
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, 1, 1, bias=False) for _ in range(depth))
        self.norms = nn.ModuleDict(
            {str(s): nn.ModuleList(nn.BatchNorm2d(width) for _ in range(depth + 1)) for s in strides}
        )
        self.output = nn.Conv2d(width, 1 + num_keypoints + 2 + 2 * num_keypoints, 1)
        nn.init.normal_(self.output.weight, std=0.01)
        bias = torch.zeros(self.output.out_channels)
        bias[0] = -math.log((1 - _PRIOR_SCORE) / _PRIOR_SCORE)
        self.output.bias = nn.Parameter(bias)
        self.one_to_many = nn.Conv2d(width, 1, 1) if one_to_many else None

    def forward(self, levels: Sequence[Tensor], input_size_hw: tuple[Side, Side]) -> Prediction:
        """Predicts the candidates of all levels.

        Args:
            levels: (B, width, h, w) each, from fine to coarse.
            input_size_hw: Height and width of the network's input in pixels.
        """
        parts = [
            self._predict_level(level, stride, input_size_hw)
            for level, stride in zip(levels, self.strides, strict=True)
        ]
        one_to_many = [part.one_to_many_logits for part in parts if part.one_to_many_logits is not None]
        return Prediction(
            person_logits=torch.cat([part.person_logits for part in parts], dim=1),
            keypoint_logits=torch.cat([part.keypoint_logits for part in parts], dim=1),
            keypoints=torch.cat([part.keypoints for part in parts], dim=1),
            centers=torch.cat([part.centers for part in parts], dim=1),
            one_to_many_logits=torch.cat(one_to_many, dim=1) if one_to_many else None,
        )

    def tower(self, stride: int) -> nn.Sequential:
        """Returns the layers of a level before the output."""
        first, *others = self.norms[str(stride)].children()
        layers = [first, nn.ReLU()]
        for conv, norm in zip(self.convs, others, strict=True):
            layers += [conv, norm, nn.ReLU(inplace=True)]
        return nn.Sequential(*layers)

    def _predict_level(self, level: Tensor, stride: int, input_size_hw: tuple[Side, Side]) -> Prediction:
        features = self.tower(stride)(level)
        num_keypoints = self.num_keypoints
        person, visibility, center, offset = torch.split(
            _flatten_cells(self.output(features)), [1, num_keypoints, 2, 2 * num_keypoints], dim=2
        )
        one_to_many = self.one_to_many if self.training else None
        input_size_wh = as_point(input_size_hw[1], input_size_hw[0], level.device)
        centers = cell_centers(level.shape[2], level.shape[3], stride, level.device) + stride * center
        offsets = OFFSET_UNIT * stride * offset.reshape(*offset.shape[:2], num_keypoints, 2)
        return Prediction(
            person_logits=person.squeeze(2),
            keypoint_logits=visibility,
            keypoints=(centers.unsqueeze(2) + offsets) / input_size_wh,
            centers=centers / input_size_wh,
            one_to_many_logits=_flatten_cells(one_to_many(features)).squeeze(2) if one_to_many else None,
        )


def _flatten_cells(level: Tensor) -> Tensor:
    """Turns a map (B, C, h, w) into one row per cell, float32 (B, h * w, C)."""
    return level.float().flatten(2).transpose(1, 2)


def cell_centers(rows: Side, columns: Side, stride: int, device: torch.device) -> Tensor:
    """Returns the centre (x, y) of each cell in input pixels, row by row: (rows * columns, 2)."""
    y = (torch.arange(rows, device=device, dtype=torch.float32) + 0.5) * stride
    x = (torch.arange(columns, device=device, dtype=torch.float32) + 0.5) * stride
    return torch.stack([x.expand(rows, columns), y[:, None].expand(rows, columns)], dim=2).flatten(0, 1)


def as_point(x: Side, y: Side, device: torch.device) -> Tensor:
    """Returns x and y as a tensor (2,), created on the device: a copy from the CPU would wait for the GPU."""
    return torch.cat([torch.full((1,), value, dtype=torch.float32, device=device) for value in (x, y)])
