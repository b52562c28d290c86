"""Resampling: the only place where images are scaled, moved or rotated."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import UInt8

from e2pose.core.affine import Affine

BORDER_RGB = (124, 116, 104)
"""The mean colour of ImageNet, which the network's normalisation maps to about zero."""

_TO_CORNER = Affine.translation(0.5, 0.5)  # OpenCV places (0, 0) at the centre of the first pixel, e2pose at its corner


def warp(
    image: UInt8[np.ndarray, "h w 3"],
    affine: Affine,
    size_hw: tuple[int, int],
    border_rgb: tuple[int, int, int] = BORDER_RGB,
) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Resamples an image to another size through an affine map from its pixels to those of the result.

    An image that shrinks to half or less along an axis is first averaged down by an integer factor, because bilinear
    sampling alone would skip thin structures. Pixels that the image does not cover get the border colour.
    """
    shrink_xy = 1 / np.linalg.norm(affine.matrix[:, :2], axis=0)
    smaller = _average(image, max(1, int(shrink_xy[0])), max(1, int(shrink_xy[1])))
    if smaller is not image:
        affine = affine @ Affine.scaling(image.shape[1] / smaller.shape[1], image.shape[0] / smaller.shape[0])
    matrix = (_TO_CORNER.inverse @ affine @ _TO_CORNER).matrix
    return np.asarray(
        cv2.warpAffine(
            smaller,
            matrix,
            (size_hw[1], size_hw[0]),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=border_rgb,
        )
    )


def _average(image: UInt8[np.ndarray, "h w 3"], by_x: int, by_y: int) -> UInt8[np.ndarray, "_ _ 3"]:
    """Shrinks an image by integer factors; each new pixel is the rounded mean of the pixels that it covers."""
    height, width = image.shape[:2]
    while by_x % 2 == by_y % 2 == height % 2 == width % 2 == 0:  # OpenCV halves five times as fast as it quarters
        height, width, by_x, by_y = height // 2, width // 2, by_x // 2, by_y // 2
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    size = max(1, width // by_x), max(1, height // by_y)
    return image if size == (width, height) else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
