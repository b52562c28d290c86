"""Sizes from headers, and the limit on pixels that is checked before decoding."""

import struct
import subprocess
import sys

import cv2
import numpy as np
import pytest

from e2pose.core.errors import InputError
from e2pose.sources.image_format import detect_format
from e2pose.sources.image_size import stored_size_hw
from e2pose.sources.images import MAX_PIXELS, decode_image, read_image, read_image_size
from helpers.media import RED, encode, flat, png, save

SIZE_HW = (37, 50)
IMAGE = flat(RED, SIZE_HW)
WEBP = (cv2.IMWRITE_WEBP_QUALITY,)


def _encode(suffix, *options):
    return cv2.imencode(suffix, IMAGE[..., ::-1], options)[1].tobytes()


def os2_bmp():
    header = struct.pack("<2sIHHIIHHHH", b"BM", 26 + 12, 0, 0, 26, 12, 3, 1, 1, 24)
    return header + bytes(12)


def top_down_bmp():
    data = bytearray(_encode(".bmp"))
    data[22:26] = struct.pack("<i", -SIZE_HW[0])
    return bytes(data)


ENCODED = {
    "jpg": _encode(".jpg"),
    "progressive jpg": _encode(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "png": _encode(".png"),
    "lossy webp": _encode(".webp", *WEBP, 80),
    "lossless webp": _encode(".webp", *WEBP, 101),
    "extended webp": cv2.imencode(".webp", np.dstack([IMAGE, IMAGE[..., 1]]), (*WEBP, 80))[1].tobytes(),
    "bmp": _encode(".bmp"),
    "top-down bmp": top_down_bmp(),
    "tif": _encode(".tif"),
    "gif": _encode(".gif"),
    "avif": _encode(".avif"),
    "jp2": _encode(".jp2"),
    "ppm": _encode(".ppm"),
    "text ppm": b"P3\n# made by hand\n50\t37 # size\n255\n" + b"255 0 0\n" * (37 * 50),
    "pbm": b"P4 50 37\n" + bytes(7 * 37),
}


@pytest.mark.parametrize("name", ENCODED)
def test_size_in_the_header_is_that_of_the_decoded_image(tmp_path, name):
    data = ENCODED[name]
    assert decode_image(data).shape == (*SIZE_HW, 3)
    assert stored_size_hw(data, detect_format(data[:16])) == SIZE_HW
    assert read_image_size(save(tmp_path / "a", data)) == SIZE_HW


def test_size_of_an_os2_bitmap_and_of_a_raw_jpeg_2000_stream():
    assert stored_size_hw(os2_bmp(), "BMP") == (1, 3)
    data = ENCODED["jp2"]
    assert stored_size_hw(data[data.index(b"\xff\x4f\xff\x51") :], "JPEG 2000") == SIZE_HW


@pytest.mark.parametrize("name", ENCODED)
def test_limit_on_pixels_is_inclusive_and_an_argument(name):
    height, width = SIZE_HW
    decode_image(ENCODED[name], max_pixels=height * width)
    with pytest.raises(InputError, match="pixels") as caught:
        decode_image(ENCODED[name], "big", max_pixels=height * width - 1)
    assert "'big'" in caught.value.message
    assert "50 x 37" in caught.value.message
    assert "max_pixels" in caught.value.hint


def patched(data, *changes):
    """The data with other bytes at some positions; a position may be a marker that precedes it, with a distance."""
    data = bytearray(data)
    for (marker, distance), value in changes:
        start = data.index(marker) + distance
        data[start : start + len(value)] = value
    return bytes(data)


def tiff(width, height, *more):
    """A TIFF without pixels: only the numbers of one directory."""
    numbers = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: 1, **dict(more)}
    entries = sorted(numbers.items())
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + directory + bytes(4)


HUGE = 100_000
BOMBS = {
    "png of 57 bytes": png((HUGE, HUGE), 8, 2, []),
    "1-bit png": png((30_000, 30_000), 1, 0, [bytes(3750)]),
    "jpg": patched(ENCODED["jpg"], ((b"\xff\xc0", 5), struct.pack(">HH", 65_000, 65_000))),
    "lossy webp": patched(ENCODED["lossy webp"], ((b"VP8 ", 14), struct.pack("<HH", 0x3FFF, 0x3FFF))),
    "lossless webp": patched(ENCODED["lossless webp"], ((b"VP8L", 9), b"\xff\xff\xff\x0f")),
    "extended webp": patched(ENCODED["extended webp"], ((b"VP8X", 12), b"\xff\xff\x00\xff\xff\x00")),
    "tif": tiff(HUGE, HUGE),
    "tif with huge tiles": tiff(16, 16, (322, 30_000), (323, 30_000)),
    "bmp": patched(ENCODED["bmp"], ((b"BM", 18), struct.pack("<ii", 30_000, -30_000))),
    "gif": patched(ENCODED["gif"], ((b"GIF8", 6), b"\xff\xff\xff\xff")),
    "avif": patched(ENCODED["avif"], ((b"ispe", 8), struct.pack(">II", 30_000, 30_000))),
    "jp2": patched(ENCODED["jp2"], ((b"\xff\x4f\xff\x51", 8), struct.pack(">II", 30_000, 30_000))),
    "ppm": b"P6 30000 30000 255\n",
}


@pytest.mark.parametrize("name", BOMBS)
def test_image_above_the_limit_is_an_error_before_decoding(tmp_path, name, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(InputError, match=r"accepted are 100,000,000") as caught:
        read_image(save(tmp_path / "bomb", BOMBS[name]))
    assert "scale the image down" in caught.value.hint


def test_memory_stays_small_for_an_image_above_the_limit(tmp_path):
    pytest.importorskip("resource")  # not on Windows
    path = save(tmp_path / "bomb.png", png((30_000, 30_000), 1, 0, [bytes(3750)] * 300))
    code = (
        "import resource, sys\n"
        "from e2pose.sources.images import InputError, read_image\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\nbefore = peak()\n"
        "try:\n    read_image(sys.argv[1])\nexcept InputError:\n    print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 20_000 * (1024 if sys.platform == "darwin" else 1)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_limit_applies_to_the_data_of_an_avif_with_wrong_boxes(channels, monkeypatch):
    data = cv2.imencode(".avif", np.zeros((600, 500, channels), np.uint8), (cv2.IMWRITE_AVIF_SPEED, 10))[1].tobytes()
    data = patched(data, ((b"ispe", 8), struct.pack(">II", 100, 100)))
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(InputError, match="needs memory for 300,000; accepted are 299,999"):
        decode_image(data, max_pixels=299_999)


def test_the_default_limit_accepts_large_photos():
    assert MAX_PIXELS == 100_000_000
    assert decode_image(png((1, 60_000), 1, 0, [bytes(7500)])).shape == (1, 60_000, 3)


@pytest.mark.parametrize("name", ["png", "lossy webp", "bmp", "tif", "gif", "avif", "jp2", "ppm"])
def test_header_that_ends_early_is_an_error(name):
    data = ENCODED[name]
    for length in (12, 14, 17, 20, 26, 30):
        with pytest.raises(InputError) as caught:
            decode_image(data[:length])
        assert caught.value.hint


def test_data_without_a_name_are_described():
    with pytest.raises(InputError, match="the data is not an image"):
        decode_image(b"text")
    with pytest.raises(InputError, match="the PNG image is truncated"):
        decode_image(encode(IMAGE)[:60])
