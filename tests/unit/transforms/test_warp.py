"""Resampling: pixels move exactly as annotations do."""

import numpy as np
import pytest

from e2pose.core.affine import Affine
from e2pose.transforms.fit import fit_affine
from e2pose.transforms.warp import BORDER_RGB, warp

TOLERANCE = 0.05  # pixels of the result if the image shrinks, of the image if it grows
BLACK = (0, 0, 0)


def bright_spot(source_hw, affine, rng, input_size_hw):
    """Returns an image of one Gaussian spot and its centre; the spot is as small as sampling allows."""
    shrinking = 1 / np.linalg.svd(affine.matrix[:, :2], compute_uv=False).min()
    spread = max(1.0, shrinking)
    reach_wh = np.minimum(4 * spread, np.array(source_hw[::-1]) / 2)
    reach_after = 4 * np.abs(affine.matrix[:, :2]) @ [spread, spread]
    while True:
        point = rng.uniform(reach_wh, source_hw[::-1] - reach_wh)
        landed = affine.apply(point)
        if (landed > reach_after).all() and (landed < input_size_hw[::-1] - reach_after).all():
            break
    y, x = np.ogrid[: source_hw[0], : source_hw[1]]
    grey = 255 * np.exp(-((x + 0.5 - point[0]) ** 2 + (y + 0.5 - point[1]) ** 2) / (2 * spread**2))
    return np.rint(grey)[..., None].repeat(3, axis=2).astype(np.uint8), point


def centroid(result):
    weights = result.astype(float).sum(axis=2)
    rows, columns = np.mgrid[: result.shape[0], : result.shape[1]] + 0.5
    return np.array([(columns * weights).sum(), (rows * weights).sum()]) / weights.sum()


def random_augmentation(rng, source_hw, input_size_hw):
    """Combines a flip, a rotation about the centre, and scaling by a factor from 1/8 to 4, as training does."""
    centre = np.array(source_hw[::-1]) / 2
    flip = Affine.horizontal_flip(source_hw[1]) if rng.random() < 0.5 else Affine.identity()
    scale = Affine.scaling(*(np.exp(rng.uniform(np.log(1 / 8), np.log(4))) * rng.uniform(0.8, 1.25, 2)))
    target = np.array(input_size_hw[::-1]) / 2 + rng.uniform(-10, 10, 2)
    turned = Affine.rotation(rng.uniform(-180, 180)) @ scale @ Affine.translation(*-centre) @ flip
    return Affine.translation(*target) @ turned


@pytest.mark.parametrize("seed", range(200))
def test_bright_spot_lands_where_its_annotation_lands(seed):
    rng = np.random.default_rng(seed)
    source_hw, input_size_hw = tuple(rng.integers(120, 400, 2).tolist()), (160, 192)
    affine = random_augmentation(rng, source_hw, input_size_hw)
    image, point = bright_spot(source_hw, affine, rng, input_size_hw)
    landed = centroid(warp(image, affine, input_size_hw, BLACK))
    np.testing.assert_allclose(landed, affine.apply(point), atol=TOLERANCE * max(1, affine.scale))


@pytest.mark.parametrize("fit", ["letterbox", "stretch"])
@pytest.mark.parametrize("source_hw", [(96, 128), (640, 480), (1333, 2000), (3000, 700), (60, 31)])
@pytest.mark.parametrize("seed", range(3))
def test_bright_spot_lands_where_its_annotation_lands_for_every_fit(source_hw, fit, seed):
    input_size_hw = (128, 160)
    affine = fit_affine(source_hw, input_size_hw, fit)
    image, point = bright_spot(source_hw, affine, np.random.default_rng(seed), input_size_hw)
    landed = centroid(warp(image, affine, input_size_hw, BLACK))
    np.testing.assert_allclose(landed, affine.apply(point), atol=TOLERANCE * max(1, affine.scale))


def test_identity_changes_nothing():
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    np.testing.assert_array_equal(warp(image, Affine.identity(), (40, 50)), image)


def test_flip_is_exact_and_its_own_inverse():
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    flipped = warp(image, Affine.horizontal_flip(50), (40, 50))
    np.testing.assert_array_equal(flipped, image[:, ::-1])
    np.testing.assert_array_equal(warp(flipped, Affine.horizontal_flip(50), (40, 50)), image)


def test_input_is_not_modified():
    image = np.random.default_rng(0).integers(0, 256, (400, 500, 3), dtype=np.uint8)
    before = image.copy()
    image.setflags(write=False)
    assert warp(image, Affine.scaling(0.1), (40, 50)).shape == (40, 50, 3)
    np.testing.assert_array_equal(image, before)


def test_uncovered_pixels_have_the_border_colour():
    image = np.full((10, 10, 3), 255, np.uint8)
    result = warp(image, Affine.translation(20, 20), (50, 50))
    assert tuple(result[5, 5]) == BORDER_RGB
    assert tuple(result[25, 25]) == (255, 255, 255)
    assert tuple(warp(image, Affine.translation(20, 20), (50, 50), (1, 2, 3))[5, 5]) == (1, 2, 3)


def test_thin_lines_survive_shrinking():
    image = np.zeros((1600, 1600, 3), np.uint8)
    image[::16] = 255  # one line in sixteen is white
    result = warp(image, Affine.scaling(1 / 12.8), (125, 125))
    assert result[4:-4].mean() == pytest.approx(255 / 16, rel=0.15)
    assert result[4:-4].mean(axis=(1, 2)).std() < 15, "no aliasing"


@pytest.mark.parametrize("source_hw", [(1, 1), (1, 5000), (5000, 1), (3, 2)])
@pytest.mark.parametrize("fit", ["letterbox", "stretch"])
def test_degenerate_image_sizes(source_hw, fit):
    image = np.full((*source_hw, 3), 200, np.uint8)
    result = warp(image, fit_affine(source_hw, (64, 64), fit), (64, 64))
    assert result.shape == (64, 64, 3)
    if fit == "stretch":
        assert result[31:33, 31:33] == pytest.approx(200, abs=5)


def test_image_of_twenty_thousand_columns():
    image = np.zeros((50, 20_000, 3), np.uint8)
    image[:, 10_000:] = 255
    result = warp(image, fit_affine((50, 20_000), (64, 64), "stretch"), (64, 64))
    assert (result[8:56, 2:30] < 5).all()
    assert (result[8:56, 34:62] > 250).all()


@pytest.mark.parametrize(("by_y", "by_x"), [(2, 2), (3, 3), (4, 4), (8, 8), (12, 12), (4, 2), (8, 1)])
def test_shrinking_averages_pixels(by_y, by_x):
    image = np.random.default_rng(0).integers(0, 256, (6 * by_y, 5 * by_x, 3), np.uint8)
    shrunk = warp(image, Affine.scaling(1 / by_x, 1 / by_y), (6, 5))
    mean = image.reshape(6, by_y, 5, by_x, 3).mean(axis=(1, 3))
    assert np.abs(shrunk - mean).max() <= 1.5  # each halving rounds
