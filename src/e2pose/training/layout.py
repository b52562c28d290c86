"""The constant tensors of a training: input size, grid of candidates and keypoint tolerances."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from e2pose.core.schema import KeypointSchema
from e2pose.models.head import cell_centers


@dataclass(frozen=True, eq=False)
class Layout:
    """Converts between normalised predictions, input pixels and OKS."""

    input_size_wh: Tensor  # (2,) in pixels
    cell_centers: Tensor  # (M, 2) centre (x, y) of each candidate's cell in input pixels
    cell_strides: Tensor  # (M,) side of each candidate's cell in input pixels
    sigmas: Tensor  # (K,) of the keypoint schema

    def tolerances(self, areas: Tensor) -> Tensor:
        """Returns the OKS divisors (..., K) in square pixels for persons with the given areas (...).

        OKS of a keypoint is `exp(-squared error / tolerance)`. Source: https://cocodataset.org/#keypoints-eval.
        """
        return 2 * areas.unsqueeze(-1) * (2 * self.sigmas) ** 2

    @staticmethod
    def of(
        input_size_hw: tuple[int, int],
        strides: tuple[int, ...],
        schema: KeypointSchema,
        device: torch.device | None = None,
    ) -> Layout:
        """Builds the layout of a network with the given input size and level strides."""
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
