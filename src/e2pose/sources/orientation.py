"""The rotation and flip that make a stored image upright."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32, UInt8

_ORIENTATION_TAG = 0x0112


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


UPRIGHT = Orientation()

# Source: Exif 2.32, tag 274. The value names the sides of the scene that the first stored row and column show.
_EXIF = {
    1: UPRIGHT,
    2: Orientation(flipped_x=True),
    3: Orientation(flipped_x=True, flipped_y=True),
    4: Orientation(flipped_y=True),
    5: Orientation(transposed=True),
    6: Orientation(transposed=True, flipped_x=True),
    7: Orientation(transposed=True, flipped_x=True, flipped_y=True),
    8: Orientation(transposed=True, flipped_y=True),
}


def exif_orientation(block: bytes) -> Orientation:
    """Returns the orientation in an EXIF block; upright if it is missing or invalid.

    Source: TIFF 6.0 section 2.
    """
    if block[:2] not in (b"II", b"MM"):
        return UPRIGHT

    def number(start: int, length: int) -> int:
        return int.from_bytes(block[start : start + length], "little" if block[:2] == b"II" else "big")

    directory = number(4, 4)
    for entry in range(directory + 2, directory + 2 + 12 * number(directory, 2), 12):
        if number(entry, 2) == _ORIENTATION_TAG:
            return _EXIF.get(number(entry + 8, 2), UPRIGHT)
    return UPRIGHT


def display_orientation(matrix: Int32[np.ndarray, "9"]) -> Orientation:
    """Returns the orientation in the display matrix of a video track, rounded to a right angle.

    The rows are (a, b, u), (c, d, v), (x, y, w); a stored point (p, q) is displayed at (a p + c q, b p + d q).
    """
    a, b, _, c, d = (int(value) for value in matrix[:5])
    if abs(b) > abs(a):
        return Orientation(transposed=True, flipped_x=c < 0, flipped_y=b < 0)
    return Orientation(flipped_x=a < 0, flipped_y=d < 0)
