"""Orientation in every image format that can state one: applied exactly once."""

import itertools

import numpy as np
import pytest

from e2pose.sources.images import decode_image, read_image_size
from e2pose.sources.orientation import EXIF_ORIENTATIONS, exif_orientation
from helpers.image_files import AVIF_ORIENTATION, ORIENTED_FORMATS, avif, oriented
from helpers.media import BLUE, GREEN, RED, WHITE, assert_colour, encode, exif, flat, save, with_exif

TOP = np.concatenate([flat(RED, (16, 32)), flat(GREEN, (16, 32))], axis=1)
QUARTERS = np.concatenate([TOP, np.concatenate([flat(BLUE, (16, 32)), flat(WHITE, (16, 32))], axis=1)])


@pytest.mark.parametrize("orientation", EXIF_ORIENTATIONS)
@pytest.mark.parametrize("kind", ORIENTED_FORMATS)
def test_orientation_is_applied_once(tmp_path, kind, orientation):
    data = oriented(QUARTERS, kind, orientation)
    read = decode_image(data)
    assert read.shape == (32, 64, 3)
    for y, x, colour in ((5, 5, RED), (5, 58, GREEN), (26, 5, BLUE), (26, 58, WHITE)):
        assert_colour(read[y, x], colour, 12)
    assert read_image_size(save(tmp_path / "a", data)) == (32, 64)


def test_exif_orientation_of_an_avif_is_ignored():
    data = avif(QUARTERS)
    box = b"\0\0\0\x26free" + exif(6)
    assert decode_image(data + box + bytes(8)).shape == (32, 64, 3)


@pytest.mark.parametrize("orientation", [0, 9, 77])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_invalid_exif_orientation_is_ignored(suffix, orientation):
    assert decode_image(with_exif(encode(flat(RED), suffix), orientation)).shape == (16, 24, 3)


@pytest.mark.parametrize(
    "block",
    [b"", b"II", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff" + bytes(50), exif(6)[:18]],
)
def test_damaged_exif_block_counts_as_upright(block):
    assert exif_orientation(block) == EXIF_ORIENTATIONS[1]


def test_orientations_can_be_composed():
    for first, second in itertools.product(EXIF_ORIENTATIONS.values(), repeat=2):
        assert np.array_equal(first.then(second).apply(QUARTERS), second.apply(first.apply(QUARTERS)))


def test_all_orientations_of_avif_differ():
    assert len({decode_image(avif(QUARTERS, *way)).tobytes() for way in AVIF_ORIENTATION.values()}) == 8
