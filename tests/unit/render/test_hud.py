"""The frame rate in the corner of an image."""

import numpy as np
import pytest

from e2pose.render.hud import draw_rate


@pytest.mark.parametrize("grey", [0, 128, 255])
@pytest.mark.parametrize("size_hw", [(64, 64), (480, 640), (3000, 4000), (40, 1000), (1000, 40)])
def test_rate_is_legible_at_any_size_on_any_background(size_hw, grey):
    image = np.full((*size_hw, 3), grey, np.uint8)
    image.setflags(write=False)
    drawn = draw_rate(image, 29.97)
    rows, columns = np.nonzero((drawn != grey).any(axis=2))
    assert (image == grey).all()
    assert rows.max() < max(32, size_hw[0] / 7), "in the upper left corner"
    assert columns.max() < max(60, size_hw[1] / 2)
    corner = drawn[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].astype(int)
    assert corner.max() - corner.min() > 110


@pytest.mark.parametrize(("size_hw", "height"), [((160, 320), 14), ((960, 1280), 60), ((2400, 1600), 100)])
def test_label_height_is_a_sixteenth_of_the_shorter_side_and_at_least_14_pixels(size_hw, height):
    rows, _ = np.nonzero((draw_rate(np.full((*size_hw, 3), 128, np.uint8), 30.0) != 128).any(axis=2))
    assert rows.max() - rows.min() + 1 == pytest.approx(height, rel=0.15)


@pytest.mark.parametrize("rate", [0.0, 0.04, 99999.0, float("inf"), float("nan")])
def test_any_rate_can_be_drawn(rate):
    assert (draw_rate(np.zeros((100, 200, 3), np.uint8), rate) > 100).any()


@pytest.mark.parametrize("size_hw", [(1, 1), (3, 200), (200, 3)])
def test_tiny_images_are_accepted(size_hw):
    assert draw_rate(np.zeros((*size_hw, 3), np.uint8), 30.0).shape == (*size_hw, 3)


def test_different_rates_give_different_images():
    image = np.zeros((100, 200, 3), np.uint8)
    assert (draw_rate(image, 10.0) != draw_rate(image, 20.0)).any()


def test_transposed_views_are_accepted():
    turned = np.zeros((100, 200, 3), np.uint8).transpose(1, 0, 2)
    np.testing.assert_array_equal(draw_rate(turned, 30.0), draw_rate(turned.copy("C"), 30.0))
