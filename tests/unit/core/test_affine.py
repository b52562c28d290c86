"""Affine maps: composition, inverse, and application to points."""

import numpy as np
import pytest

from e2pose.core.affine import Affine
from e2pose.core.errors import OptionError

POINTS = np.random.default_rng(0).normal(0, 300, (50, 2))


def random_affine(rng):
    """Combines rotation, shear, flip, scaling by a factor from 1/100 to 100, and translation."""
    scaled = Affine.scaling(*np.exp(rng.uniform(-4.6, 4.6, 2)))
    sheared = Affine(np.array([[1, rng.normal(), 0], [0, 1, 0]]))
    flipped = Affine.horizontal_flip(rng.uniform(0, 900)) if rng.random() < 0.5 else Affine.identity()
    return (
        Affine.translation(*rng.normal(0, 500, 2))
        @ Affine.rotation(rng.uniform(-180, 180))
        @ sheared
        @ scaled
        @ flipped
    )


AFFINES = [random_affine(np.random.default_rng(seed)) for seed in range(50)]


@pytest.mark.parametrize(
    ("affine", "point", "expected"),
    [
        (Affine.identity(), (3, 4), (3, 4)),
        (Affine.translation(10, -2), (3, 4), (13, 2)),
        (Affine.scaling(2), (3, 4), (6, 8)),
        (Affine.scaling(2, 0.5), (3, 4), (6, 2)),
        (Affine.rotation(90), (1, 0), (0, 1)),  # right becomes down: clockwise on a screen
        (Affine.horizontal_flip(10), (3, 4), (7, 4)),
        (Affine.horizontal_flip(10), (0, 0), (10, 0)),  # the outer corner of the first pixel becomes that of the last
        (Affine.translation(1, 0) @ Affine.scaling(2), (3, 4), (7, 8)),  # the right map is applied first
    ],
)
def test_maps_move_points_as_documented(affine, point, expected):
    np.testing.assert_allclose(affine.apply(np.array(point, float)), expected, atol=1e-12)


@pytest.mark.parametrize("affine", AFFINES)
def test_inverse_undoes_the_map(affine):
    scale = np.abs(affine.apply(POINTS)).max() / affine.scale + 1000
    np.testing.assert_allclose(affine.inverse.apply(affine.apply(POINTS)), POINTS, atol=1e-9 * scale)
    np.testing.assert_allclose((affine.inverse @ affine).matrix, np.eye(2, 3), atol=1e-9 * scale)
    np.testing.assert_allclose(affine.inverse.inverse.matrix, affine.matrix, rtol=1e-9, atol=1e-9 * scale)


@pytest.mark.parametrize(("second", "first"), list(zip(AFFINES[:20], AFFINES[20:40], strict=True)))
def test_product_applies_the_right_map_first(second, first):
    expected = second.apply(first.apply(POINTS))
    np.testing.assert_allclose((second @ first).apply(POINTS), expected, rtol=1e-9, atol=1e-6)


def test_product_is_associative():
    first, second, third = AFFINES[:3]
    np.testing.assert_allclose(((third @ second) @ first).matrix, (third @ (second @ first)).matrix, rtol=1e-9)


@pytest.mark.parametrize("width", [1, 640, 333.5])
def test_flipping_twice_is_the_identity(width):
    flip = Affine.horizontal_flip(width)
    np.testing.assert_allclose((flip @ flip).matrix, np.eye(2, 3), atol=1e-12)


def test_scale_and_flip_follow_the_determinant():
    assert Affine.scaling(2, 8).scale == pytest.approx(4)
    assert (Affine.rotation(33) @ Affine.scaling(0.5)).scale == pytest.approx(0.5)
    assert Affine.horizontal_flip(5).scale == pytest.approx(1)
    assert Affine.horizontal_flip(5).is_flip
    assert not (Affine.horizontal_flip(5) @ Affine.horizontal_flip(9)).is_flip
    assert not Affine.rotation(180).is_flip


@pytest.mark.parametrize("shape", [(2,), (0, 2), (4, 2), (3, 17, 2)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_apply_keeps_shape_and_dtype(shape, dtype):
    points = np.ones(shape, dtype)
    moved = Affine.translation(1, 2).apply(points)
    assert (moved.shape, moved.dtype) == (shape, dtype)
    np.testing.assert_array_equal(points, np.ones(shape))
    np.testing.assert_array_equal(moved, np.broadcast_to([2, 3], shape))


def test_matrix_is_a_read_only_copy():
    given = np.eye(2, 3)
    affine = Affine(given)
    given[0, 2] = 5
    np.testing.assert_array_equal(affine.matrix, np.eye(2, 3))
    with pytest.raises(ValueError, match="read-only"):
        affine.matrix[0, 0] = 2


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.array([[1, 2, 0], [2, 4, 0.0]]), "invertible"),
        (np.zeros((2, 3)), "invertible"),
        (np.array([[1, np.nan, 0], [0, 1, 0]]), "finite 2x3"),
        (np.array([[1, 0, np.inf], [0, 1, 0]]), "finite 2x3"),
    ],
)
def test_invalid_matrix_is_rejected(matrix, message):
    with pytest.raises(OptionError, match=message):
        Affine(matrix)
