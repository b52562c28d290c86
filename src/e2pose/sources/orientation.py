"""The rotation and flip that make a stored image upright."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32, UInt8

from e2pose.sources.tiff_header import read_directories


@dataclass(frozen=True)
class Orientation:
    """One of the eight combinations of rotations by right angles and flips."""

    transposed: bool = False  # rows and columns are swapped, before the flips
    flipped_x: bool = False  # left and right are swapped
    flipped_y: bool = False  # top and bottom are swapped

    def apply(self, image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
        """Returns a stored image upright."""
        if self == UPRIGHT:
            return image
        oriented = image.transpose(1, 0, 2) if self.transposed else image
        step_x, step_y = (-1 if flipped else 1 for flipped in (self.flipped_x, self.flipped_y))
        return np.ascontiguousarray(oriented[::step_y, ::step_x])

    def then(self, other: Orientation) -> Orientation:
        """Returns the orientation that applies this one and then the other one."""
        x, y = (self.flipped_y, self.flipped_x) if other.transposed else (self.flipped_x, self.flipped_y)
        return Orientation(self.transposed != other.transposed, x != other.flipped_x, y != other.flipped_y)


UPRIGHT = Orientation()

EXIF_ORIENTATIONS = {
    1: UPRIGHT,
    2: Orientation(flipped_x=True),
    3: Orientation(flipped_x=True, flipped_y=True),
    4: Orientation(flipped_y=True),
    5: Orientation(transposed=True),
    6: Orientation(transposed=True, flipped_x=True),
    7: Orientation(transposed=True, flipped_x=True, flipped_y=True),
    8: Orientation(transposed=True, flipped_y=True),
}
"""The orientation for each value of EXIF tag 274, which names the sides of the scene that the first stored row and
column show. Source: Exif 2.32."""


def exif_orientation(block: bytes) -> Orientation:
    """Returns the orientation in an EXIF block; upright if it is missing or invalid."""
    directories = read_directories(block)
    return EXIF_ORIENTATIONS.get(directories[0].orientation, UPRIGHT) if directories else UPRIGHT


def display_orientation(matrix: Int32[np.ndarray, "9"]) -> Orientation:
    """Returns the orientation in the display matrix of a video track, rounded to a right angle.

    The rows are (a, b, u), (c, d, v), (x, y, w); a stored point (p, q) is displayed at (a p + c q, b p + d q).
    """
    a, b, _, c, d = (int(value) for value in matrix[:5])
    if abs(b) > abs(a):
        return Orientation(transposed=True, flipped_x=c < 0, flipped_y=b < 0)
    return Orientation(flipped_x=a < 0, flipped_y=d < 0)
