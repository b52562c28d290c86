"""Detection of hard cuts between scenes."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

_THUMBNAIL_WH = (64, 36)
_MAX_SAMPLES = 256  # pixels per side; more samples cost time and change nothing
_SHIFT_DIVISOR = 4  # the centre of an image may shift by 1/4 of its sides
_MIN_CONTRAST = 4.0  # standard deviation of the brightness, 0 to 255; images below it are blank
_MAX_CORRELATION = 0.7  # a better match of the centre is the same scene, whatever the colours
_MAX_LIKENESS = 1.1  # correlation + colour overlap, each at most 1


class CutDetector:
    """Detects hard scene cuts.

    A cut needs two signs. The centre of the previous image is not found anywhere in the new one, which excludes camera
    motion and changes of light; and the colours differ, which excludes persons stepping in front of the camera. Blank
    images are skipped. Fades are not detected.
    """

    def __init__(self) -> None:
        self._last: Float32[np.ndarray, "h w 3"] | None = None

    def __call__(self, image: UInt8[np.ndarray, "h w 3"]) -> bool:
        """Returns whether an image starts another scene than the previous image."""
        step = max(1, max(image.shape[:2]) // _MAX_SAMPLES)
        thumbnail = cv2.resize(image[::step, ::step], _THUMBNAIL_WH, interpolation=cv2.INTER_AREA).astype(np.float32)
        if thumbnail.mean(axis=2).std() < _MIN_CONTRAST:
            return False
        last, self._last = self._last, thumbnail
        if last is None:
            return False
        correlation = _center_correlation(last, thumbnail)
        return correlation < _MAX_CORRELATION and correlation + _color_overlap(last, thumbnail) < _MAX_LIKENESS


def _center_correlation(last: Float32[np.ndarray, "h w 3"], new: Float32[np.ndarray, "h w 3"]) -> float:
    """Returns the correlation of the centre of one image with its best position in another, at most 1."""
    height, width = last.shape[:2]
    top, left = height // _SHIFT_DIVISOR, width // _SHIFT_DIVISOR
    center = last[top : height - top, left : width - left]
    return float(cv2.matchTemplate(new, center, cv2.TM_CCOEFF_NORMED).max())


def _color_overlap(last: Float32[np.ndarray, "h w 3"], new: Float32[np.ndarray, "h w 3"]) -> float:
    """Returns the intersection of the colour histograms of two images, from 0 to 1."""
    counts = [
        cv2.calcHist([image], [0, 1, 2], None, [8, 8, 8], [0, 256] * 3) / image[..., 0].size for image in (last, new)
    ]
    return float(np.minimum(*counts).sum())
