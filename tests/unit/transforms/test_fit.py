"""Fitting images of any size to any input size."""

from dataclasses import replace

import numpy as np
import pytest

from e2pose.core.schema import load_schema
from e2pose.core.spec import ModelSpec
from e2pose.transforms.fit import fit_affine, input_size_for

SIZES = [(1, 1), (480, 640), (640, 480), (333, 1), (7, 4001), (256, 256)]
INPUT_SIZES = [(256, 256), (512, 384), (32, 64)]


@pytest.mark.parametrize("fit", ["letterbox", "stretch"])
@pytest.mark.parametrize("source_hw", SIZES)
@pytest.mark.parametrize("input_size_hw", INPUT_SIZES)
def test_letterbox_and_stretch_are_invertible_and_inside_the_input(source_hw, input_size_hw, fit):
    affine = fit_affine(source_hw, input_size_hw, fit)
    points = np.random.default_rng(0).uniform(-0.5, 1.5, (40, 2)) * source_hw[::-1]
    there = affine.apply(points)
    np.testing.assert_allclose(affine.inverse.apply(there), points, atol=1e-9 * max(source_hw))
    corners = affine.apply(np.array([[0, 0], source_hw[::-1]], float))
    assert corners.min() >= -1e-9
    assert (corners[1] <= np.array(input_size_hw[::-1]) + 1e-9).all(), "the input contains the whole image"
    assert not affine.is_flip


@pytest.mark.parametrize("input_size_hw", INPUT_SIZES)
@pytest.mark.parametrize("source_hw", SIZES)
def test_stretch_fills_the_input(source_hw, input_size_hw):
    corners = fit_affine(source_hw, input_size_hw, "stretch").apply(np.array([[0, 0], source_hw[::-1]], float))
    np.testing.assert_allclose(corners, [[0, 0], input_size_hw[::-1]], atol=1e-9)


@pytest.mark.parametrize("input_size_hw", INPUT_SIZES)
@pytest.mark.parametrize("source_hw", SIZES)
def test_letterbox_keeps_the_aspect_ratio_and_centres(source_hw, input_size_hw):
    affine = fit_affine(source_hw, input_size_hw, "letterbox")
    assert affine.matrix[0, 0] == affine.matrix[1, 1]
    (left, top), (right, bottom) = affine.apply(np.array([[0, 0], source_hw[::-1]], float))
    assert left == pytest.approx(input_size_hw[1] - right)
    assert top == pytest.approx(input_size_hw[0] - bottom)
    assert min(left, top) == pytest.approx(0), "two opposite sides have no margin"


def test_image_of_the_input_size_is_not_moved():
    for fit in ("letterbox", "stretch"):
        np.testing.assert_array_equal(fit_affine((256, 192), (256, 192), fit).matrix, np.eye(2, 3))


FIXED = ModelSpec("test", (320, 384), "letterbox", load_schema("coco"))
CROPPED = replace(FIXED, multiple_of=32)


@pytest.mark.parametrize(
    ("source_hw", "size_hw"),
    [
        ((480, 640), (288, 384)),
        ((1080, 1920), (224, 384)),  # 216 rounded up
        ((640, 480), (320, 256)),  # 240 rounded up
        ((200, 240), (320, 384)),  # the aspect ratio of the input
        ((427, 512), (320, 384)),  # 320.25 rows if the input size did not bound them
        ((1, 1000), (32, 384)),
        ((1000, 1), (320, 32)),
        ((300, 360), (320, 384)),  # a scale factor without exact float64
    ],
)
def test_letterboxed_input_is_cropped_to_multiples(source_hw, size_hw):
    assert input_size_for(source_hw, CROPPED) == size_hw
    assert input_size_for(source_hw, FIXED) == (320, 384)


def test_cropping_keeps_the_scale():
    for height, width in np.random.default_rng(0).integers(1, 3000, (300, 2)).tolist():
        source_hw = (height, width)
        size_hw = input_size_for(source_hw, CROPPED)
        assert size_hw[0] <= 320 and size_hw[1] <= 384 and not size_hw[0] % 32 and not size_hw[1] % 32
        cropped, fixed = (fit_affine(source_hw, size, "letterbox") for size in (size_hw, (320, 384)))
        assert cropped.scale == pytest.approx(fixed.scale, rel=1e-9)
