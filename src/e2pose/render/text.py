"""Short texts that are readable on any picture."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import UInt8

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_WHITE_RGB = (255, 255, 255)
_DARKENING = 0.7


def draw_label(canvas: UInt8[np.ndarray, "h w 3"], text: str, corner_xy: tuple[float, float], height: float) -> None:
    """Draws white text on a darkened plate, into the picture itself.

    The plate is moved into the picture where it would reach over its border, and the text shrinks if it is wider than
    the picture.

    Args:
        canvas: The picture to draw into.
        text: ASCII text.
        corner_xy: Upper left corner of the plate in pixels.
        height: Height of the plate in pixels.
    """
    picture_hw = np.array(canvas.shape[:2])
    (unit_width, unit_height), _ = cv2.getTextSize(text, _FONT, 1.0, 1)
    scale = min(0.55 * height / unit_height, 0.9 * picture_hw[1] / (unit_width + unit_height))
    thickness = max(1, round(1.6 * scale))
    (width, rise), _ = cv2.getTextSize(text, _FONT, scale, thickness)
    padding = max(1, round(0.4 * rise))
    plate_hw = np.array([rise + 2 * padding, width + 2 * padding])
    top, left = np.clip(np.array(corner_xy[::-1]), 0, np.maximum(picture_hw - plate_hw, 0)).astype(int).tolist()
    plate = canvas[top : top + plate_hw[0], left : left + plate_hw[1]]
    plate[:] = plate * (1 - _DARKENING)
    baseline = (left + padding, top + padding + rise)
    cv2.putText(canvas, text, baseline, _FONT, scale, _WHITE_RGB, thickness, cv2.LINE_AA)
