"""Random changes of the bytes of image files: every file is read or is an `InputError` with a hint."""

import random
import warnings

import cv2
import numpy as np
import pytest

from e2pose.core.errors import InputError
from e2pose.sources.files import FilesSource
from e2pose.sources.images import read_image_size
from helpers.image_files import avif, oriented, tiff
from helpers.media import HALVES, encode, noise, png_chunk, save, with_exif

IMAGE = noise(1, (40, 50))[0]


def animation(suffix):
    frames = cv2.Animation()
    frames.frames = [np.dstack([IMAGE, np.full((40, 50), alpha, np.uint8)]) for alpha in (255, 200, 0)]
    frames.durations = [40, 0, 90]
    return cv2.imencodeanimation(suffix, frames)[1].tobytes()


FILES = {
    **{suffix: encode(IMAGE, suffix) for suffix in (".jpg", ".png", ".webp", ".bmp", ".gif", ".jp2", ".ppm")},
    "lossless webp": cv2.imencode(".webp", IMAGE, (cv2.IMWRITE_WEBP_QUALITY, 101))[1].tobytes(),
    "progressive jpg": cv2.imencode(".jpg", IMAGE, (cv2.IMWRITE_JPEG_PROGRESSIVE, 1))[1].tobytes(),
    "exif jpg": with_exif(encode(IMAGE, ".jpg"), 6),
    "deep png": encode(IMAGE.astype(np.uint16) * 257),
    "avif": avif(HALVES, 1, 0),
    "tif": encode(IMAGE, ".tif"),
    "rotated tif": oriented(IMAGE, "tif strips", 5),
    "pages": tiff([IMAGE, IMAGE[:9]], is_big=True),
    **{f"animated {suffix}": animation(suffix) for suffix in (".png", ".webp", ".avif", ".gif")},
}
VALUES = (0, 1, 0x7F, 0x80, 0xFF)


def changed(data, rng):
    """A copy in which some bytes are replaced, removed, repeated or cut off; often at the beginning."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        start = rng.randrange(min(len(data), rng.choice((40, 200, 1 << 30))))
        length = rng.choice((1, 2, 4, 20))
        match rng.randrange(5):
            case 0:
                data[start] ^= 1 << rng.randrange(8)
            case 1:
                data[start : start + length] = bytes([rng.choice(VALUES)]) * length
            case 2:
                del data[start : start + length]
            case 3:
                data[start:start] = data[:length]
            case _:
                del data[max(start, 1) :]
    return bytes(data)


def with_checksums(data):
    """A changed PNG with correct checksums, so that the changes reach the decoder."""
    fixed, position = data[:8], 8
    while position + 12 <= len(data):
        end = position + 8 + int.from_bytes(data[position : position + 4])
        fixed += png_chunk(data[position + 4 : position + 8].decode("latin-1"), data[position + 8 : end])
        position = end + 4
    return fixed


@pytest.mark.parametrize("name", FILES)
def test_changed_file_is_read_or_is_an_input_error(tmp_path, name, capfd):
    rng = random.Random(name)
    for _ in range(25):
        data = changed(FILES[name], rng)
        if name.endswith("png") and rng.random() < 0.7:
            data = with_checksums(data)
        path = save(tmp_path / "a", data)
        for read in (lambda path: list(FilesSource([path])), read_image_size):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    read(path)
            except InputError as error:
                assert error.message, data
                assert error.hint, data
                assert "Error:" not in error.message, data  # the name of a foreign exception


@pytest.mark.parametrize("name", FILES)
def test_truncated_file_is_read_or_is_an_input_error(tmp_path, name):
    data = FILES[name]
    for length in sorted({*range(1, 40, 3), *range(40, len(data), max(1, len(data) // 20))}):
        try:
            list(FilesSource([save(tmp_path / "a", data[:length])]))
        except InputError as error:
            assert error.hint, length
