"""Candidates with known poses."""

import numpy as np

from e2pose.core.candidates import Candidates


def two_candidates(shift: float, scores: tuple[float, float] = (0.9, 0.02)) -> Candidates:
    """Returns two equal poses on a diagonal, moved by a fraction of the input, of which only the first is a person."""
    row = np.linspace(0.2, 0.8, 17, dtype=np.float32)
    keypoints = np.stack([np.stack([row, row], axis=-1)] * 2)[None] + np.float32(shift)
    return Candidates(np.array([scores], np.float32), np.ones((1, 2, 17), np.float32), keypoints)
