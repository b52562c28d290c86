"""The input and output of a network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8

from e2pose.core.affine import Affine


@dataclass(frozen=True, eq=False)
class Batch:
    """Images that have been fitted to the network's input."""

    pixels: UInt8[np.ndarray, "b 3 h w"]  # RGB
    to_source: tuple[Affine, ...]  # for each image, the map from the network's input to the source image, in pixels

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the network's input."""
        return self.pixels.shape[2], self.pixels.shape[3]


@dataclass(frozen=True, eq=False)
class Candidates:
    """All candidate poses that a network proposes, in the same form for every runtime.

    Scores of persons and keypoints lie in [0, 1]; `ModelSpec.keypoint_score_scale` is not yet applied. Keypoints are
    (x, y) as fractions of the network's input, from its upper left to its lower right corner, and may lie outside.
    """

    scores: Float32[np.ndarray, "b m"]
    keypoint_scores: Float32[np.ndarray, "b m k"]
    keypoints: Float32[np.ndarray, "b m k 2"]
