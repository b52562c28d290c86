"""What goes into a network and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8

from e2pose.core.affine import Affine


@dataclass(frozen=True, eq=False)
class Batch:
    """Canvases ready for a network.

    Args:
        pixels: RGB canvases, all of one size.
        to_source: For each canvas, the map from canvas pixels to pixels of its source image.
    """

    pixels: UInt8[np.ndarray, "b 3 h w"]
    to_source: tuple[Affine, ...]

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the canvases."""
        return self.pixels.shape[2], self.pixels.shape[3]


@dataclass(frozen=True, eq=False)
class Candidates:
    """All poses that a network proposes, the same from every runtime.

    Args:
        scores: Person score of each candidate in [0, 1].
        keypoint_scores: Score of each keypoint in [0, 1], before `ModelSpec.keypoint_score_scale`.
        keypoints: (x, y) as fractions of the canvas: 0 is its left or upper edge, 1 its right or lower one. Points may
            lie outside.
    """

    scores: Float32[np.ndarray, "b m"]
    keypoint_scores: Float32[np.ndarray, "b m k"]
    keypoints: Float32[np.ndarray, "b m k 2"]
