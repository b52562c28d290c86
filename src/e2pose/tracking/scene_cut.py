"""Where one shot of a film ends and another begins."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

_THUMBNAIL_WH = (64, 36)
_LOOK_AT = 256  # pixels along the longer side; more would only take longer
_MARGIN = 4  # the middle of a picture may move by this part of its sides
_BLANK = 4.0  # standard deviation of the brightness of a picture that shows nothing
_MOST_MATCH = 0.7  # whatever the colours, a picture that suits the one before better belongs to the same scene
_MOST_ALIKE = 1.1  # of match and colours together, each at most 1


class CutDetector:
    """Notices scene cuts: pictures that show nothing of what the picture before showed.

    Two signs must come together. The middle of the picture before is found nowhere in the new one, so that neither a
    camera that turns nor a change of light makes a cut; and the colours are others, so that somebody who steps in front
    of the camera makes none. Blank pictures are passed over. Fades are not noticed.
    """

    def __init__(self) -> None:
        self._last: Float32[np.ndarray, "h w 3"] | None = None

    def __call__(self, image: UInt8[np.ndarray, "h w 3"]) -> bool:
        """Whether a picture begins another scene than the one before it."""
        step = max(1, max(image.shape[:2]) // _LOOK_AT)
        thumbnail = cv2.resize(image[::step, ::step], _THUMBNAIL_WH, interpolation=cv2.INTER_AREA).astype(np.float32)
        if thumbnail.mean(axis=2).std() < _BLANK:
            return False
        last, self._last = self._last, thumbnail
        if last is None:
            return False
        match = _match(last, thumbnail)
        return match < _MOST_MATCH and match + _overlap(last, thumbnail) < _MOST_ALIKE


def _match(last: Float32[np.ndarray, "h w 3"], new: Float32[np.ndarray, "h w 3"]) -> float:
    """How well the middle of a picture is found anywhere in another: a correlation, at most 1."""
    height, width = last.shape[:2]
    top, left = height // _MARGIN, width // _MARGIN
    middle = last[top : height - top, left : width - left]
    return float(cv2.matchTemplate(new, middle, cv2.TM_CCOEFF_NORMED).max())


def _overlap(last: Float32[np.ndarray, "h w 3"], new: Float32[np.ndarray, "h w 3"]) -> float:
    """Which part of their colours two pictures share, from 0 to 1."""
    counts = [
        cv2.calcHist([picture], [0, 1, 2], None, [8, 8, 8], [0, 256] * 3) / picture[..., 0].size
        for picture in (last, new)
    ]
    return float(np.minimum(*counts).sum())
