"""What stays the same for all batches of a training."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from e2pose.core.schema import KeypointSchema
from e2pose.models.head import cell_centers


@dataclass(frozen=True, eq=False)
class Layout:
    """Canvas, cells and tolerances.

    Args:
        input_size_wh: (2,) width and height of the canvas in pixels.
        cell_centers: (M, 2) the middle of each candidate's cell in canvas pixels.
        cell_strides: (M,) the size of each candidate's cell in canvas pixels.
        sigmas: (K,) tolerances of the schema.
    """

    input_size_wh: Tensor
    cell_centers: Tensor
    cell_strides: Tensor
    sigmas: Tensor

    def tolerances(self, areas: Tensor) -> Tensor:
        """(..., K) in square pixels: what the square of each keypoint's error is divided by in OKS, for areas (...).

        Source: https://cocodataset.org/#keypoints-eval.
        """
        return 2 * areas.unsqueeze(-1) * (2 * self.sigmas) ** 2

    @staticmethod
    def of(
        input_size_hw: tuple[int, int],
        strides: tuple[int, ...],
        schema: KeypointSchema,
        device: torch.device | None = None,
    ) -> Layout:
        """The layout of a network's levels on a canvas."""
        device = device or torch.device("cpu")
        height, width = input_size_hw
        grids = [cell_centers(-(-height // s), -(-width // s), s, device) for s in strides]
        sizes = [torch.full((len(grid),), float(s), device=device) for grid, s in zip(grids, strides, strict=True)]
        return Layout(
            input_size_wh=torch.tensor([width, height], dtype=torch.float32, device=device),
            cell_centers=torch.cat(grids),
            cell_strides=torch.cat(sizes),
            sigmas=torch.tensor(schema.sigmas, device=device),
        )
