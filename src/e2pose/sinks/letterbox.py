"""Images of any size for outputs of a fixed size."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from e2pose.transforms.fit import fit_affine
from e2pose.transforms.warp import warp


def letterbox(image: UInt8[np.ndarray, "h w 3"], size_hw: tuple[int, int]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Returns the image scaled to a size, with black borders that keep its aspect ratio; itself if it has the size."""
    if image.shape[:2] == size_hw:
        return image
    return warp(image, fit_affine((image.shape[0], image.shape[1]), size_hw, "letterbox"), size_hw, (0, 0, 0))
