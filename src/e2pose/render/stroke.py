"""Lines and dots at exact places, of any length."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

Rgb = tuple[int, int, int]

_SUBPIXEL_BITS = 4


@dataclass(frozen=True, eq=False)
class Stroke:
    """A line, or a dot where it starts and ends at the same point.

    Args:
        ends_xy: Start and end in pixels of the picture; may lie far outside.
        thickness: Thickness of the line or diameter of the dot in pixels.
        rgb: Its colour.
    """

    ends_xy: Float[np.ndarray, "2 2"]
    thickness: float
    rgb: Rgb

    def draw(self, canvas: UInt8[np.ndarray, "h w 3"], rgb: Rgb, grow: float = 0.0) -> None:
        """Draws the stroke into a picture.

        Args:
            canvas: The picture to draw into.
            rgb: Colour.
            grow: Width in pixels to add on each side.
        """
        part = self._near(canvas)
        if part is None:
            return
        start, end = np.rint((part - 0.5) * 2**_SUBPIXEL_BITS).astype(int).tolist()  # OpenCV counts from pixel centres
        thickness = self.thickness + 2 * grow
        if (self.ends_xy[0] == self.ends_xy[1]).all():
            radius = round(thickness / 2 * 2**_SUBPIXEL_BITS)
            cv2.circle(canvas, start, radius, rgb, cv2.FILLED, cv2.LINE_AA, _SUBPIXEL_BITS)
        else:
            cv2.line(canvas, start, end, rgb, max(1, round(thickness)), cv2.LINE_AA, _SUBPIXEL_BITS)

    def _near(self, canvas: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "2 2"] | None:
        """The part of the stroke that can be seen, or None; OpenCV cannot cope with coordinates of any size.

        Source:
            Liang and Barsky, "A new concept and method for line clipping", 1984.
        """
        margin = 2 * self.thickness + 8
        middle_xy = np.array(canvas.shape[1::-1]) / 2
        if (np.abs(self.ends_xy - middle_xy) <= middle_xy + margin).all():
            return self.ends_xy
        start, step = self.ends_xy[0], self.ends_xy[1] - self.ends_xy[0]
        first, last = 0.0, 1.0
        for axis, size in enumerate(canvas.shape[1::-1]):
            low, high = -margin - start[axis], size + margin - start[axis]
            if step[axis] == 0:
                if low > 0 or high < 0:
                    return None
                continue
            enter, leave = sorted((low / step[axis], high / step[axis]))
            first, last = max(first, enter), min(last, leave)
        return None if first > last else np.stack([start + first * step, start + last * step])
