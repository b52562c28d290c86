"""Sizes of pictures without their pixels."""

import pytest

from e2pose.core.errors import InputError
from e2pose.sources.images import read_image, read_image_size
from helpers.media import RED, encode, flat, save, with_exif


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_the_size_is_that_of_the_upright_picture(tmp_path, suffix, orientation):
    path = save(tmp_path / f"a{suffix}", with_exif(encode(flat(RED, (20, 30)), suffix), orientation))
    assert read_image_size(path) == read_image(path).shape[:2] == ((20, 30) if orientation < 5 else (30, 20))


def test_the_size_of_something_else_is_an_error(tmp_path):
    for data in (b"no picture", encode(flat(RED), ".jpg")[:40]):
        with pytest.raises(InputError):
            read_image_size(save(tmp_path / "a.jpg", data))


def test_a_header_is_enough(tmp_path):
    data = encode(flat(RED, (20, 30)), ".jpg")
    assert read_image_size(save(tmp_path / "a.jpg", data[:-2])) == (20, 30)
    with pytest.raises(InputError, match="truncated"):
        read_image(tmp_path / "a.jpg")
