from dataclasses import replace

import numpy as np
import pytest

from e2pose.core.schema import load_schema
from e2pose.core.spec import ModelSpec
from e2pose.inference.preprocess import preprocess

SPEC = ModelSpec("test", (64, 96), "letterbox", load_schema("coco"))


CROPPED = replace(SPEC, multiple_of=16)


@pytest.mark.parametrize("spec", [SPEC, replace(SPEC, fit="stretch"), CROPPED], ids=["fixed", "stretch", "cropped"])
@pytest.mark.parametrize("size_hw", [(64, 96), (100, 50), (33, 200), (400, 300)])
def test_bright_spot_maps_back_to_its_position(spec, size_hw) -> None:
    height, width = size_hw
    rows, columns = np.mgrid[:height, :width]
    spot_xy = np.array([0.4 * width, 0.7 * height])
    distance = ((columns + 0.5 - spot_xy[0]) / width) ** 2 + ((rows + 0.5 - spot_xy[1]) / height) ** 2
    image = np.repeat((250 * np.exp(-distance / 0.01))[..., None], 3, axis=2).astype(np.uint8)

    batch = preprocess([image], spec)
    # only the spot is brighter than the border
    weight = np.clip(batch.pixels[0, 0].astype(float) - 130, 0, None)
    middle = np.array(
        [(weight.sum(axis=axis) * (np.arange(n) + 0.5)).sum() for axis, n in enumerate(batch.size_hw[::-1])]
    )
    found_xy = batch.to_source[0].apply(middle / weight.sum())
    assert np.abs(found_xy - spot_xy).max() < 0.01 * max(size_hw)


def test_input_is_cropped_to_the_largest_image_of_a_batch() -> None:
    wide, high = np.zeros((20, 80, 3), np.uint8), np.zeros((80, 20, 3), np.uint8)
    assert preprocess([wide], CROPPED).size_hw == (32, 96)
    assert preprocess([high], CROPPED).size_hw == (64, 16)
    assert preprocess([wide, high], CROPPED).size_hw == preprocess([high, wide], CROPPED).size_hw == (64, 96)


def test_stretched_image_fills_the_whole_input() -> None:
    white = np.full((100, 50, 3), 255, np.uint8)
    assert preprocess([white], replace(SPEC, fit="stretch")).pixels.min() > 200  # the border blends into its pixels
    assert preprocess([white], SPEC).pixels.min() < 150


def test_pixels_are_contiguous_rgb_planes() -> None:
    image = np.zeros((64, 96, 3), np.uint8) + np.array([10, 20, 30], np.uint8)
    pixels = preprocess([image, image], SPEC).pixels
    assert pixels.shape == (2, 3, 64, 96)
    assert pixels.flags["C_CONTIGUOUS"]
    assert [np.unique(channel).tolist() for channel in pixels[1]] == [[10], [20], [30]]


def test_image_of_the_input_size_is_not_resampled() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    assert np.array_equal(preprocess([image], SPEC).pixels[0], image.transpose(2, 0, 1))


def test_images_are_not_modified() -> None:
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    before = image.copy()
    image.setflags(write=False)
    preprocess([image], SPEC)
    assert np.array_equal(image, before)
