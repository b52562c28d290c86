"""Image files in every format, pixel type, orientation and state of damage."""

import os
import struct
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from e2pose.core.errors import InputError
from e2pose.sources.images import decode_image, read_image, read_image_size
from helpers.image_files import avif, tiff
from helpers.media import BLUE, GREEN, RED, WHITE, assert_colour, cmyk_jpeg, encode, flat, png, save

LOSSY = {".jpg": 3, ".webp": 3}


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tif", ".jp2", ".ppm"])
def test_colours_are_rgb_in_every_format(tmp_path, suffix):
    image = np.concatenate([flat(RED, (32, 32)), flat(BLUE, (32, 32))], axis=1)
    read = read_image(save(tmp_path / f"a{suffix}", encode(image, suffix)))
    assert read.shape == (32, 64, 3)
    assert read.dtype == np.uint8
    assert read.flags.c_contiguous
    for x, colour in ((4, RED), (60, BLUE)):
        assert_colour(read[16, x], colour, LOSSY.get(suffix, 0))


def test_content_rather_than_suffix_determines_the_format(tmp_path):
    assert (read_image(save(tmp_path / "named.jpg", encode(flat(GREEN)))) == GREEN).all()


@pytest.mark.parametrize("name", ["ünï çödé 写真.png", "a b.png", "a[1]*.png", "100%d.png"])
def test_unusual_file_names_are_read(tmp_path, name):
    assert (read_image(save(tmp_path / "Ordner ä" / name, encode(flat(RED)))) == RED).all()


def test_grey_becomes_rgb(tmp_path):
    assert read_image(save(tmp_path / "a.png", png((1, 2), 8, 0, [[7, 90]]))).tolist() == [[[7] * 3, [90] * 3]]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (png((1, 3), 8, 4, [[10, 255, 200, 0, 10, 100]]), [[10] * 3, WHITE, [159] * 3]),  # grey and alpha
        (png((1, 3), 8, 6, [[*RED, 255, *BLUE, 0, *GREEN, 51]]), [RED, WHITE, [204, 255, 204]]),  # RGBA
        (png((1, 2), 8, 3, [[0, 1]], PLTE=bytes([*RED, *GREEN]), tRNS=bytes([255, 0])), [RED, WHITE]),  # palette
        (png((1, 2), 8, 2, [[*RED, *GREEN]], tRNS=struct.pack(">3H", *RED)), [WHITE, GREEN]),  # one transparent colour
        (png((1, 1), 16, 6, [struct.pack(">4H", 65535, 0, 0, 0)]), [WHITE]),  # RGBA of 16 bits
    ],
)
def test_transparent_pixels_are_blended_on_white(tmp_path, data, expected):
    assert read_image(save(tmp_path / "a.png", data))[0].tolist() == [list(colour) for colour in expected]


def test_address_in_place_of_a_path_is_named_without_its_query():
    with pytest.raises(InputError, match=r"'https://example\.org/a\.jpg' is an address") as caught:
        read_image("https://example.org/a.jpg?key=secret")
    assert "open_source" in caught.value.hint


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(
    ("extra_sample", "expected"),
    [(0, (100, 40, 0)), (1, (227, 167, 127)), (2, (178, 148, 127))],
    ids=["other data", "premultiplied alpha", "alpha"],
)
def test_fourth_channel_of_a_tiff_has_the_stated_meaning(bits, extra_sample, expected):
    """The expected values are those of Pillow; half of the white background is visible."""
    image = np.full((2, 3, 4), (100, 40, 0, 128), np.uint16) * (257 if bits == 16 else 1)
    data = tiff([image.astype(f"u{bits // 8}")], extra_sample=extra_sample)
    assert_colour(decode_image(data)[0, 0], expected, 1)


def test_fourth_channel_of_a_bmp_is_not_alpha(tmp_path):
    header = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 58, 0, 0, 54, 40, 1, 1, 1, 32, 0, 4, 0, 0, 0, 0)
    assert read_image(save(tmp_path / "a.bmp", header + bytes([255, 0, 0, 0]))).tolist() == [[list(BLUE)]]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_values_are_scaled_to_8_bits(tmp_path, suffix):
    deep = np.array([[[0, 257 * 200, 65535]]], np.uint16)
    data = cv2.imencode(suffix, deep[..., ::-1])[1].tobytes()
    assert read_image(save(tmp_path / f"a{suffix}", data)).tolist() == [[[0, 200, 255]]]


def deep_avif(bits, channels):
    white = (1 << bits) - 1
    image = np.full((16, 16, 3), white // 2, np.uint16)
    image = np.dstack([image, np.full((16, 16), white, np.uint16)]) if channels == 4 else image[..., :channels]
    return cv2.imencode(".avif", image, (cv2.IMWRITE_AVIF_DEPTH, bits))[1].tobytes()


def pgm(white, text=False):
    if text:
        return b"P2\n4 4\n%d\n" % white + b"%d\n" % (white // 2) * 16
    return b"P5\n4 4\n%d\n" % white + np.full(16, white // 2, ">u2" if white > 255 else np.uint8).tobytes()


def deep_jpeg_2000(bits):
    grey = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 127, np.uint8), format="rgb24").reformat(
        format=f"gray{bits}le"
    )
    encoder = av.CodecContext.create("jpeg2000", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 64, 64, f"gray{bits}le", Fraction(1)
    return b"".join(map(bytes, [*encoder.encode(grey), *encoder.encode(None)]))


@pytest.mark.parametrize(
    "data",
    [deep_avif(bits, channels) for bits in (10, 12) for channels in (1, 3, 4)]
    + [pgm(white, text) for white in (100, 255, 1023, 65_535) for text in (False, True)]
    + [deep_jpeg_2000(bits) for bits in (10, 12, 16)],
)
def test_brightness_is_kept_with_any_number_of_bits(data):
    read = decode_image(data)
    assert read.dtype == np.uint8
    assert_colour(read[2, 2], (127, 127, 127), 2)


@pytest.mark.parametrize(
    ("cmyk", "rgb"),
    [((0, 255, 255, 0), RED), ((255, 255, 0, 0), BLUE), ((0, 0, 0, 255), (0, 0, 0)), ((0, 0, 0, 0), WHITE)],
)
def test_cmyk_is_converted_to_rgb(tmp_path, cmyk, rgb):
    read = read_image(save(tmp_path / "a.jpg", cmyk_jpeg(cmyk)))
    assert read.shape == (8, 8, 3)
    assert np.abs(read.astype(int) - rgb).max() <= 4


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_images_20000_pixels_wide_are_read(tmp_path, suffix):
    image = flat(RED, (8, 20_000))
    image[:, -16:] = BLUE
    read = read_image(save(tmp_path / f"a{suffix}", encode(image, suffix)))
    assert read.shape == (8, 20_000, 3)
    assert_colour(read[4, -2], BLUE, 3)


NOISE = np.random.default_rng(0).integers(0, 255, (64, 80, 3), np.uint8)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tif", ".jp2", ".ppm"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_truncated_image_is_an_error(tmp_path, suffix, part, capfd):
    data = encode(NOISE, suffix)
    path = save(tmp_path / f"a{suffix}", data[: int(part * len(data))])
    with pytest.raises(InputError, match=r"truncated|cannot be decoded") as caught:
        read_image(path)
    assert str(path) in caught.value.message
    assert caught.value.hint
    assert capfd.readouterr() == ("", "")


def test_truncated_jpeg_with_a_complete_thumbnail_is_an_error(tmp_path):
    thumbnail = encode(flat(RED, (8, 8)), ".jpg")
    whole = encode(NOISE, ".jpg")
    payload = b"Exif\0\0" + thumbnail
    data = whole[:2] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + whole[2:]
    assert read_image(save(tmp_path / "whole.jpg", data)).shape == NOISE.shape
    with pytest.raises(InputError, match="truncated"):
        read_image(save(tmp_path / "half.jpg", data[: len(data) // 2]))


def test_bytes_after_the_end_of_a_jpeg_are_ignored(tmp_path):
    assert read_image(save(tmp_path / "a.jpg", encode(NOISE, ".jpg") + bytes(500))).shape == NOISE.shape


def test_damaged_png_is_an_error(tmp_path, capfd):
    data = bytearray(encode(NOISE))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(InputError, match="damaged"):
        read_image(save(tmp_path / "a.png", bytes(data)))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty: it has 0 bytes"),
        (b"just a text", "is not an image"),
        (bytes(1000), "is not an image"),
        (b"\xff\xd8\xff", "truncated"),
        (png((0, 5), 8, 2, []), "a width or height of 0"),
        (b"\0\0\0\x18ftypheic" + bytes(50), "the HEIC image .* cannot be read: HEIC is not supported"),
        (b"\xff\x0a" + bytes(50), "the JPEG XL image .* cannot be read: JPEG XL is not supported"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(50), "JPEG XL is not supported"),
        (tiff([flat(RED)], subfile_types=(1,)), "the camera raw image .* cannot be read"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(50), "the camera raw image .* cannot be read"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0heicmif1" + bytes(50), "the HEIC image .* cannot be read"),
        (cv2.imencode(".tif", np.ones((4, 4, 3), np.float32))[1].tobytes(), "3 channels of float32 values"),
        (cv2.imencode(".hdr", np.ones((4, 4, 3), np.float32))[1].tobytes(), "floating-point values"),
        (cv2.imencode(".pfm", np.ones((4, 4, 3), np.float32))[1].tobytes(), "floating-point values"),
    ],
)
def test_unsupported_or_damaged_files_are_rejected(tmp_path, data, message, capfd):
    with pytest.raises(InputError, match=message) as caught:
        read_image(save(tmp_path / "a.jpg", data))
    assert caught.value.hint
    assert capfd.readouterr() == ("", "")


def test_avif_with_a_general_major_brand_is_read(tmp_path):
    data = avif(flat(RED)).replace(b"ftypavif", b"ftypmif1", 1)
    assert_colour(read_image(save(tmp_path / "a.avif", data))[2, 2], RED, 8)


def test_missing_file_folder_and_too_long_name_are_rejected(tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(InputError, match="is a folder"):
        read_image(tmp_path)
    with pytest.raises(InputError, match="cannot read"):
        read_image(tmp_path / ("x" * 300 + ".jpg"))


def test_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    save(tmp_path / "a.png", encode(flat(RED)))
    assert read_image("~/a.png").shape == (16, 24, 3)
    with pytest.raises(InputError, match="there is no file"):
        read_image("~no-such-user/a.png")


def test_missing_permission_is_reported(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", encode(flat(RED)))
    path.chmod(0)
    if os.access(path, os.R_OK):  # the superuser may read every file
        monkeypatch.setattr("pathlib.Path.read_bytes", _forbidden)
    with pytest.raises(InputError, match="Permission denied"):
        read_image(path)


def _forbidden(path):
    raise PermissionError(13, "Permission denied", str(path))


@pytest.mark.parametrize("data", [b"no image", encode(flat(RED), ".jpg")[:40]])
def test_image_size_of_an_unreadable_file_is_an_error(tmp_path, data):
    with pytest.raises(InputError):
        read_image_size(save(tmp_path / "a.jpg", data))


def test_image_size_needs_only_the_header(tmp_path):
    data = encode(flat(RED, (20, 30)), ".jpg")
    assert read_image_size(save(tmp_path / "a.jpg", data[:-2])) == (20, 30)
    with pytest.raises(InputError, match="truncated"):
        read_image(tmp_path / "a.jpg")
