"""Fits lay every image onto every canvas, and back."""

import numpy as np
import pytest

from e2pose.transforms.fit import fit_affine

SIZES = [(1, 1), (480, 640), (640, 480), (333, 1), (7, 4001), (256, 256)]
CANVASES = [(256, 256), (512, 384), (32, 64)]


@pytest.mark.parametrize("fit", ["letterbox", "stretch"])
@pytest.mark.parametrize("source_hw", SIZES)
@pytest.mark.parametrize("canvas_hw", CANVASES)
def test_round_trip(source_hw, canvas_hw, fit):
    affine = fit_affine(source_hw, canvas_hw, fit)
    points = np.random.default_rng(0).uniform(-0.5, 1.5, (40, 2)) * source_hw[::-1]
    there = affine.apply(points)
    np.testing.assert_allclose(affine.inverse.apply(there), points, atol=1e-9 * max(source_hw))
    corners = affine.apply(np.array([[0, 0], source_hw[::-1]], float))
    assert corners.min() >= -1e-9
    assert (corners[1] <= np.array(canvas_hw[::-1]) + 1e-9).all(), "the whole image lies on the canvas"
    assert not affine.is_flip


@pytest.mark.parametrize("canvas_hw", CANVASES)
@pytest.mark.parametrize("source_hw", SIZES)
def test_stretch_fills_the_canvas(source_hw, canvas_hw):
    corners = fit_affine(source_hw, canvas_hw, "stretch").apply(np.array([[0, 0], source_hw[::-1]], float))
    np.testing.assert_allclose(corners, [[0, 0], canvas_hw[::-1]], atol=1e-9)


@pytest.mark.parametrize("canvas_hw", CANVASES)
@pytest.mark.parametrize("source_hw", SIZES)
def test_letterbox_keeps_the_aspect_and_centres(source_hw, canvas_hw):
    affine = fit_affine(source_hw, canvas_hw, "letterbox")
    assert affine.matrix[0, 0] == affine.matrix[1, 1]
    (left, top), (right, bottom) = affine.apply(np.array([[0, 0], source_hw[::-1]], float))
    assert left == pytest.approx(canvas_hw[1] - right)
    assert top == pytest.approx(canvas_hw[0] - bottom)
    assert min(left, top) == pytest.approx(0), "it touches two sides"


def test_an_image_as_large_as_the_canvas_stays_where_it_is():
    for fit in ("letterbox", "stretch"):
        np.testing.assert_array_equal(fit_affine((256, 192), (256, 192), fit).matrix, np.eye(2, 3))
