"""Boxes and areas of persons where the annotations have none."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, UInt8

Box = tuple[float, float, float, float]

DEFAULT_AREA_RATIO = 0.53
"""Area of a person relative to its box where no area is given, as in the evaluation code of CrowdPose."""

BOX_MARGIN = 0.1
"""Margin around the labelled keypoints on every side of a derived box, relative to the longer side of their extent."""


def derive_box(
    keypoints: Float32[np.ndarray, "k 2"], visibility: UInt8[np.ndarray, "k"], size_hw: tuple[int, int]
) -> Box | None:
    """Returns the box (x, y, width, height) around the labelled keypoints with a margin, inside the image.

    None if they do not span a box: there are fewer than two positions, or all are outside of the image.
    """
    points = keypoints[visibility > 0].astype(np.float64)
    if not len(points) or (points == points[0]).all():
        return None
    low, high = points.min(axis=0), points.max(axis=0)
    margin = BOX_MARGIN * (high - low).max()
    low, high = (low - margin).clip(0, size_hw[::-1]), (high + margin).clip(0, size_hw[::-1])
    (x, y), (width, height) = low.tolist(), (high - low).tolist()
    return (x, y, width, height) if min(width, height) > 0 else None
