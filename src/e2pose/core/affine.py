"""Affine maps between pixels of the source image and pixels of the network's input."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from e2pose.core.arguments import check_number, check_type, show, to_array
from e2pose.core.errors import OptionError


@dataclass(frozen=True, eq=False)
class Affine:
    """An affine map of the plane in continuous coordinates.

    Coordinates are (x, y); (0, 0) is the outer corner of the first pixel and (W, H) the far corner of the last one, so
    scaling is multiplication and a horizontal flip is `W - x`.

    Args:
        matrix: The invertible map `p -> matrix[:, :2] @ p + matrix[:, 2]`.

    Raises:
        OptionError: The matrix is not finite or cannot be inverted.
    """

    matrix: Float[np.ndarray, "2 3"]

    def __post_init__(self) -> None:
        matrix = to_array("the matrix of an affine map", self.matrix, np.float64)
        if matrix.shape != (2, 3) or not np.isfinite(matrix).all():
            raise OptionError(
                f"an affine map needs a finite 2x3 matrix, not {show(self.matrix)}",
                "check the matrix for NaN and infinity",
            )
        if abs(_determinant(matrix)) < 1e-12:
            raise OptionError(
                f"an affine map must be invertible, but the determinant of {matrix[:, :2].tolist()} is 0",
                "scale both axes by a factor other than 0",
            )
        matrix.setflags(write=False)
        object.__setattr__(self, "matrix", matrix)

    @staticmethod
    def identity() -> Affine:
        """Returns the map that leaves every point in place."""
        return Affine(np.eye(2, 3))

    @staticmethod
    def translation(x: float, y: float) -> Affine:
        """Returns the map that shifts points by (x, y)."""
        return _from_rows((1, 0, x), (0, 1, y))

    @staticmethod
    def scaling(x: float, y: float | None = None) -> Affine:
        """Returns the map that multiplies coordinates by (x, y); a single factor scales both axes."""
        return _from_rows((x, 0, 0), (0, x if y is None else y, 0))

    @staticmethod
    def rotation(degrees: float) -> Affine:
        """Returns the rotation about the origin, clockwise on a screen, where y points down."""
        angle = math.radians(check_number("an angle", degrees, hint="use a finite number of degrees"))
        cos, sin = math.cos(angle), math.sin(angle)
        return _from_rows((cos, -sin, 0), (sin, cos, 0))

    @staticmethod
    def horizontal_flip(width: float) -> Affine:
        """Returns the map that mirrors an image of the given width left to right."""
        return _from_rows((-1, 0, width), (0, 1, 0))

    def __matmul__(self, first: Affine) -> Affine:
        """Returns the map that applies `first` and then this map."""
        check_type("the right side of @", first, Affine, hint="map points with apply")
        linear = self.matrix[:, :2] @ first.matrix[:, :2]
        shift = self.matrix[:, :2] @ first.matrix[:, 2] + self.matrix[:, 2]
        return Affine(np.column_stack([linear, shift]))

    @property
    def inverse(self) -> Affine:
        """The inverse map."""
        linear = np.linalg.inv(self.matrix[:, :2])
        return Affine(np.column_stack([linear, -linear @ self.matrix[:, 2]]))

    @property
    def scale(self) -> float:
        """The mean scale factor of lengths: the square root of the scale factor of areas."""
        return math.sqrt(abs(_determinant(self.matrix)))

    @property
    def is_flip(self) -> bool:
        """Whether the map mirrors the image."""
        return _determinant(self.matrix) < 0

    def apply(self, points_xy: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """Maps points; the result has the dtype of the input.

        Raises:
            OptionError: The last axis of the points is not (x, y).
        """
        points = np.asarray(points_xy) if isinstance(points_xy, np.ndarray | list | tuple) else np.zeros(0)
        if points.shape[-1:] != (2,) or points.dtype.kind not in "fiu":
            raise OptionError(
                f"points must have the shape (..., 2), unlike {show(points_xy)}", "pass one or more (x, y)"
            )
        moved = points.astype(np.float64) @ self.matrix[:, :2].T + self.matrix[:, 2]
        return np.asarray(moved, dtype=points.dtype)

    def __reduce__(self) -> tuple[type[Affine], tuple[Float[np.ndarray, "2 3"]]]:
        return Affine, (np.array(self.matrix),)  # which makes the copy read-only, too


def _from_rows(*rows: tuple[float, float, float]) -> Affine:
    hint = "use finite numbers of pixels"
    return Affine(np.array([[check_number("a coordinate", value, hint=hint) for value in row] for row in rows]))


def _determinant(matrix: Float[np.ndarray, "2 3"]) -> float:
    """Returns the determinant of the linear part; many times faster than `np.linalg.det`."""
    (a, b, _), (c, d, _) = matrix.tolist()
    return float(a * d - b * c)
