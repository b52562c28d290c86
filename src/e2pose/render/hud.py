"""Numbers about the run, in a corner of the picture."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from e2pose.render.text import draw_label

_SHARE_OF_PICTURE = 1 / 16
_LEAST_HEIGHT = 14


def draw_rate(image: UInt8[np.ndarray, "h w 3"], images_per_second: float) -> UInt8[np.ndarray, "h w 3"]:
    """Draws the rate into the upper left corner of a copy of the picture.

    Args:
        image: RGB; not changed.
        images_per_second: The rate.
    """
    canvas = np.array(image, order="C")  # OpenCV draws into no other layout
    height = max(_LEAST_HEIGHT, min(canvas.shape[:2]) * _SHARE_OF_PICTURE)
    draw_label(canvas, f"{images_per_second:.1f} FPS", (height / 3, height / 3), height)
    return canvas
