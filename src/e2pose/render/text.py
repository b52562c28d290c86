"""Short texts that are readable on any picture."""

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
_LINE_PITCH = 1.7  # of the height of a capital letter


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


def draw_table(
    canvas: UInt8[np.ndarray, "h w 3"], rows: Sequence[tuple[str, str]], side: Literal["left", "right"], line: float
) -> None:
    """Draws two columns of text on a darkened plate into an upper corner of the picture itself.

    The table shrinks if it does not fit into that half of the picture.

    Args:
        canvas: The picture to draw into.
        rows: ASCII texts; the first column is grey and the second white.
        side: Which corner.
        line: Height of a line in pixels.
    """
    if not rows:
        return
    units = np.array([[cv2.getTextSize(text, _FONT, 1.0, 1)[0] for text in row] for row in rows])
    rise = int(units[..., 1].max())
    widths = units[..., 0].max(axis=0)
    pitch = _LINE_PITCH * rise
    table_wh = np.array([widths.sum() + 4 * rise, len(rows) * pitch + rise])  # at scale 1, with its margins
    room_wh = np.array([canvas.shape[1] / 2, canvas.shape[0]])
    scale = min(line / pitch, *(room_wh / (table_wh + rise)))
    width, height = np.ceil(scale * table_wh).astype(int).tolist()
    margin = round(scale * rise / 2)
    left = margin if side == "left" else max(0, canvas.shape[1] - width - margin)
    plate = canvas[margin : margin + height, left : left + width]
    plate[:] = plate * (1 - _DARKENING)
    columns = left + scale * rise, left + scale * (widths[0] + 2.5 * rise)
    for number, row in enumerate(rows):
        y = round(margin + scale * (pitch * number + 1.8 * rise))
        for text, x, rgb in zip(row, columns, (_GREY_RGB, _WHITE_RGB), strict=True):
            thickness = max(1, round(1.6 * scale))
            cv2.putText(canvas, text, (round(x), y), _FONT, scale, rgb, thickness, cv2.LINE_AA)
