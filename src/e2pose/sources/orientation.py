"""How a stored picture has to be turned to stand upright."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32, UInt8

_ORIENTATION_TAG = 0x0112


@dataclass(frozen=True)
class Orientation:
    """One of the eight ways to turn and mirror a picture by right angles.

    Args:
        transposed: Whether rows and columns change places; done first.
        mirrored_x: Whether left and right change places.
        mirrored_y: Whether top and bottom change places.
    """

    transposed: bool = False
    mirrored_x: bool = False
    mirrored_y: bool = False

    def apply(self, image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
        """Turns a stored picture upright."""
        if self == UPRIGHT:
            return image
        turned = image.transpose(1, 0, 2) if self.transposed else image
        step_x, step_y = (-1 if mirrored else 1 for mirrored in (self.mirrored_x, self.mirrored_y))
        return np.ascontiguousarray(turned[::step_y, ::step_x])


UPRIGHT = Orientation()

# Source: Exif 2.32, tag 274. The number tells which side of the scene the first stored row and column are.
_EXIF = {
    1: UPRIGHT,
    2: Orientation(mirrored_x=True),
    3: Orientation(mirrored_x=True, mirrored_y=True),
    4: Orientation(mirrored_y=True),
    5: Orientation(transposed=True),
    6: Orientation(transposed=True, mirrored_x=True),
    7: Orientation(transposed=True, mirrored_x=True, mirrored_y=True),
    8: Orientation(transposed=True, mirrored_y=True),
}


def exif_orientation(block: bytes) -> Orientation:
    """Reads the orientation from an EXIF block; upright if there is none or it makes no sense.

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
    """Reads the orientation from the display matrix of a video track, to the nearest right angle.

    Args:
        matrix: Rows (a, b, u), (c, d, v), (x, y, w); a stored point (p, q) is shown at (a p + c q, b p + d q).
    """
    a, b, _, c, d = (int(value) for value in matrix[:5])
    if abs(b) > abs(a):
        return Orientation(transposed=True, mirrored_x=c < 0, mirrored_y=b < 0)
    return Orientation(mirrored_x=a < 0, mirrored_y=d < 0)
