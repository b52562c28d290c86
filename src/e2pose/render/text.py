"""Short texts on a darkened background, readable on any image. All functions draw in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
from jaxtyping import UInt8

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_WHITE_RGB = (255, 255, 255)
_GREY_RGB = (178, 178, 178)
_DARKENING = 0.7
_LINE_PITCH = 1.7  # relative to the height of a capital letter


def draw_label(image: UInt8[np.ndarray, "h w 3"], text: str, corner_xy: tuple[float, float], height: float) -> None:
    """Draws white ASCII text on a dark plate, given by its upper left corner and its height in pixels.

    A plate that extends beyond the border is moved into the image; text that is wider than the image is scaled down.
    """
    image_hw = np.array(image.shape[:2])
    (unit_width, unit_height), _ = cv2.getTextSize(text, _FONT, 1.0, 1)
    scale = min(0.55 * height / unit_height, 0.9 * image_hw[1] / (unit_width + unit_height))
    thickness = _thickness(scale)
    (width, rise), _ = cv2.getTextSize(text, _FONT, scale, thickness)
    padding = max(1, round(0.4 * rise))
    plate_hw = np.array([rise + 2 * padding, width + 2 * padding])
    top, left = np.clip(np.array(corner_xy[::-1]), 0, np.maximum(image_hw - plate_hw, 0)).astype(int).tolist()
    _darken(image[top : top + plate_hw[0], left : left + plate_hw[1]])
    baseline = (left + padding, top + padding + rise)
    cv2.putText(image, text, baseline, _FONT, scale, _WHITE_RGB, thickness, cv2.LINE_AA)


def draw_table(
    image: UInt8[np.ndarray, "h w 3"],
    rows: Sequence[tuple[str, str]],
    side: Literal["left", "right"],
    line_height: float,
) -> None:
    """Draws a grey and a white column of ASCII text on a dark plate in the upper left or right corner.

    The line height is in pixels. A table that does not fit into its half of the image is scaled down.
    """
    if not rows:
        return
    units = np.array([[cv2.getTextSize(text, _FONT, 1.0, 1)[0] for text in row] for row in rows])
    rise = int(units[..., 1].max())
    widths = units[..., 0].max(axis=0)
    pitch = _LINE_PITCH * rise
    table_wh = np.array([widths.sum() + 4 * rise, len(rows) * pitch + rise])  # at scale 1, with padding
    available_wh = np.array([image.shape[1] / 2, image.shape[0]])
    scale = min(line_height / pitch, *(available_wh / (table_wh + rise)))
    width, height = np.ceil(scale * table_wh).astype(int).tolist()
    margin = round(scale * rise / 2)
    left = margin if side == "left" else max(0, image.shape[1] - width - margin)
    _darken(image[margin : margin + height, left : left + width])
    columns = left + scale * rise, left + scale * (widths[0] + 2.5 * rise)
    for index, row in enumerate(rows):
        y = round(margin + scale * (pitch * index + 1.8 * rise))
        for text, x, rgb in zip(row, columns, (_GREY_RGB, _WHITE_RGB), strict=True):
            cv2.putText(image, text, (round(x), y), _FONT, scale, rgb, _thickness(scale), cv2.LINE_AA)


def _darken(region: UInt8[np.ndarray, "h w 3"]) -> None:
    region[:] = region * (1 - _DARKENING)


def _thickness(scale: float) -> int:
    return max(1, round(1.6 * scale))
