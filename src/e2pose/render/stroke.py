"""Lines and dots with subpixel precision, clipped to the image."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

Rgb = tuple[int, int, int]

_SUBPIXEL_BITS = 4


@dataclass(frozen=True, eq=False)
class Stroke:
    """A line, or a dot if start and end are the same point."""

    ends_xy: Float[np.ndarray, "2 2"]  # start and end in pixels of the image; may lie far outside
    thickness: float  # of the line, or diameter of the dot, in pixels
    rgb: Rgb

    def draw(self, image: UInt8[np.ndarray, "h w 3"], rgb: Rgb, grow: float = 0.0) -> None:
        """Draws the stroke into an image, in place, wider by `grow` pixels on each side."""
        ends_xy = self._clip(image)
        if ends_xy is None:
            return
        # OpenCV coordinates start at pixel centres.
        start, end = np.rint((ends_xy - 0.5) * 2**_SUBPIXEL_BITS).astype(int).tolist()
        thickness = self.thickness + 2 * grow
        if (self.ends_xy[0] == self.ends_xy[1]).all():
            radius = round(thickness / 2 * 2**_SUBPIXEL_BITS)
            cv2.circle(image, start, radius, rgb, cv2.FILLED, cv2.LINE_AA, _SUBPIXEL_BITS)
        else:
            cv2.line(image, start, end, rgb, max(1, round(thickness)), cv2.LINE_AA, _SUBPIXEL_BITS)

    def _clip(self, image: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "2 2"] | None:
        """Returns the part of the stroke near the image, or None; OpenCV overflows on very large coordinates.

        Source:
            Liang and Barsky, "A new concept and method for line clipping", 1984.
        """
        margin = 2 * self.thickness + 8
        center_xy = np.array(image.shape[1::-1]) / 2
        if (np.abs(self.ends_xy - center_xy) <= center_xy + margin).all():
            return self.ends_xy
        start, step = self.ends_xy[0], self.ends_xy[1] - self.ends_xy[0]
        first, last = 0.0, 1.0
        for axis, size in enumerate(image.shape[1::-1]):
            low, high = -margin - start[axis], size + margin - start[axis]
            if step[axis] == 0:
                if low > 0 or high < 0:
                    return None
                continue
            enter, leave = sorted((low / step[axis], high / step[axis]))
            first, last = max(first, enter), min(last, leave)
        return None if first > last else np.stack([start + first * step, start + last * step])
