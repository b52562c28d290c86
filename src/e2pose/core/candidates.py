"""The input and output of a network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8

from e2pose.core.affine import Affine


@dataclass(frozen=True, eq=False)
class Batch:
    """Images that have been fitted to the network's input.

    Args:
        pixels: RGB pixels of the network's input.
        to_source: For each image, the map from pixels of the network's input to pixels of the source image.
    """

    pixels: UInt8[np.ndarray, "b 3 h w"]
    to_source: tuple[Affine, ...]

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the network's input."""
        return self.pixels.shape[2], self.pixels.shape[3]


@dataclass(frozen=True, eq=False)
class Candidates:
    """All candidate poses that a network proposes, the same for every runtime.

    Args:
        scores: Person score of each candidate in [0, 1].
        keypoint_scores: Score of each keypoint in [0, 1], before `ModelSpec.keypoint_score_scale` is applied.
        keypoints: (x, y) as fractions of the network's input, from 0 at its left or upper edge to 1 at its right or
            lower edge. Points may lie outside.
    """

    scores: Float32[np.ndarray, "b m"]
    keypoint_scores: Float32[np.ndarray, "b m k"]
    keypoints: Float32[np.ndarray, "b m k 2"]
