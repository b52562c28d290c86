"""Files that hold several images: pages of a TIFF, frames of an animation."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from e2pose.core.errors import InputError, SkippedImagesWarning
from e2pose.sources import encoded_image, files
from e2pose.sources.images import decode_image
from e2pose.sources.open import open_source
from helpers.image_files import tiff
from helpers.media import BLUE, GREEN, RED, WHITE, assert_colour, flat, png_chunk, save

COLOURS = (RED, GREEN, BLUE, WHITE)
DELAYS_MS = (100, 200, 50, 300)


def animation(suffix, delays_ms=DELAYS_MS):
    frames = cv2.Animation()
    frames.frames = [np.dstack([flat(colour[::-1]), np.full((16, 24), 255, np.uint8)]) for colour in COLOURS]
    frames.durations = list(delays_ms)
    encoded, data = cv2.imencodeanimation(suffix, frames)
    assert encoded
    return data.tobytes()


def gif_without_delays():
    """A GIF of three images without graphic control extensions."""
    header = b"GIF89a" + struct.pack("<HHBBB", 2, 1, 0x80, 0, 0) + bytes([*RED, *BLUE])
    # Two pixels with LZW codes of three bits: clear (4), 0 or 1 twice, end (5).
    codes = {colour: (4 | colour << 3 | colour << 6 | 5 << 9).to_bytes(2, "little") for colour in (0, 1)}
    image = b"".join(
        b"\x2c" + struct.pack("<HHHHB", 0, 0, 2, 1, 0) + b"\x02\x02" + codes[colour] + b"\0" for colour in (0, 1, 0)
    )
    return header + image + b"\x3b"


def read(tmp_path, name, data):
    notices = []
    with open_source(save(tmp_path / name, data), on_notice=notices.append) as source:
        frames = list(source)
        assert source.info.frame_count == len(frames)
    assert not notices
    return frames


@pytest.mark.parametrize("name", ["a", "a.jpg", "a.mp4"])
@pytest.mark.parametrize("suffix", [".png", ".webp", ".avif", ".gif"])
def test_all_frames_of_an_animation_are_read_with_their_times(tmp_path, suffix, name):
    frames = read(tmp_path, name if "." in name else f"{name}{suffix}", animation(suffix))
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.1, 0.3, 0.35])
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    for frame, colour in zip(frames, COLOURS, strict=True):
        assert_colour(frame.image[8, 12], colour, 8)
        assert frame.origin.frame_count == 4
        assert not frame.origin.is_still


@pytest.mark.parametrize(
    ("suffix", "other"), [(".png", ".webp"), (".webp", ".avif"), (".avif", ".gif"), (".gif", ".png")]
)
def test_content_rather_than_suffix_marks_an_animation(tmp_path, suffix, other):
    assert len(read(tmp_path, f"a{other}", animation(suffix))) == 4


def test_frames_without_delay_last_a_tenth_of_a_second(tmp_path):
    frames = read(tmp_path, "a.png", animation(".png", (0, 0, 40, 40)))
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.24])


def test_gif_without_delays_is_read_completely(tmp_path):
    frames = read(tmp_path, "a.gif", gif_without_delays())
    assert [frame.image[0, 0].tolist() for frame in frames] == [list(RED), list(BLUE), list(RED)]
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.1, 0.2])


def test_gif_with_some_delays_has_their_times(tmp_path):
    """The second image of three states 0.3 s."""
    data = gif_without_delays()
    second = data.index(b"\x2c", data.index(b"\x2c") + 1)
    control = b"\x21\xf9\x04\0" + struct.pack("<H", 30) + b"\0\0"
    frames = read(tmp_path, "a.gif", data[:second] + control + data[second:])
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.1, 0.4])


def test_single_image_gif_is_a_still_image(tmp_path):
    (frame,) = read(tmp_path, "a.gif", cv2.imencode(".gif", flat(RED)[..., ::-1])[1].tobytes())
    assert frame.origin.is_still
    assert_colour(frame.image[0, 0], RED)


def test_transparent_frames_are_blended_on_white(tmp_path):
    data = cv2.Animation()
    data.frames = [np.full((16, 24, 4), (*BLUE, alpha), np.uint8) for alpha in (255, 0)]
    data.durations = [40, 40]
    frames = read(tmp_path, "a.png", cv2.imencodeanimation(".png", data)[1].tobytes())
    assert frames[0].image[0, 0].tolist() == list(BLUE)[::-1]


def test_animations_larger_than_the_memory_limit_are_read_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(encoded_image, "_BLOCK_BYTES", 16 * 24 * 4 * 3)
    frames = read(tmp_path, "a.webp", animation(".webp"))
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.1, 0.3, 0.35])
    assert_colour(frames[3].image[8, 12], WHITE, 8)


@pytest.mark.parametrize("sizes_hw", [[(16, 24)] * 3, [(16, 24), (8, 8), (30, 20)]])
@pytest.mark.parametrize("is_big", [False, True])
def test_all_pages_of_a_tiff_are_read_as_still_images(tmp_path, sizes_hw, is_big):
    pages = [flat(colour, size_hw) for colour, size_hw in zip(COLOURS, sizes_hw, strict=False)]
    frames = read(tmp_path, "a.tif", tiff(pages, is_big=is_big, orientation=3))
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert {frame.time_s for frame in frames} == {0.0}
    assert all(frame.origin.is_still for frame in frames)
    for frame, page in zip(frames, pages, strict=True):
        assert np.array_equal(frame.image, page)


def test_reduced_copies_and_masks_in_a_tiff_are_not_pages(tmp_path):
    data = tiff([flat(RED), flat(RED, (8, 12)), flat(WHITE), flat(BLUE)], subfile_types=(0, 1, 4, 2))
    assert [frame.image[0, 0].tolist() for frame in read(tmp_path, "a.tif", data)] == [list(RED), list(BLUE)]


def test_page_above_the_limit_on_pixels_is_an_error(tmp_path):
    data = bytearray(tiff([flat(RED), flat(RED, (17, 25))]))
    for old, new in ((25, 30_000), (17, 30_000)):
        start = data.index(struct.pack("<HII", 4, 1, old))
        data[start : start + 10] = struct.pack("<HII", 4, 1, new)
    with pytest.raises(InputError, match="needs memory for 900,000,000"):
        decode_image(bytes(data))


@pytest.mark.parametrize("data", [animation(".webp"), animation(".png"), tiff([flat(RED), flat(BLUE)])])
def test_single_image_is_the_first_with_a_warning(data):
    with pytest.warns(SkippedImagesWarning, match=r"holds [24] images; only the first is used"):
        image = decode_image(data)
    assert_colour(image[8, 12], RED, 8)


def test_old_versions_of_opencv_read_the_first_frame_with_a_notice(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "CAN_DECODE_ANIMATIONS", False)
    notices = []
    with open_source(save(tmp_path / "a.webp", animation(".webp")), on_notice=notices.append) as source:
        assert len(list(source)) == 1
    assert notices == [f"skipped 3 images of '{tmp_path / 'a.webp'}': only OpenCV 4.12 and later read animations"]


def test_animation_with_fewer_frames_than_stated_is_an_error(tmp_path):
    data = animation(".png")
    start = data.index(b"acTL") - 4
    data = data[:start] + png_chunk("acTL", struct.pack(">II", 9, 0)) + data[start + 20 :]
    errors = []
    assert len(list(open_source(save(tmp_path / "a.png", data), on_error=errors.append))) == 4
    assert "only 4 of its 9 images" in errors[0].message


def hidden_animation(filter_type=0):
    """An animated PNG whose first image, in RED, is not one of its two frames, in GREEN and BLUE."""

    def pixels(colour, filter_type=0):
        return zlib.compress(b"".join(bytes([filter_type, *colour * 4]) for _ in range(3)))

    def control(sequence):
        return png_chunk("fcTL", struct.pack(">5I2H2B", sequence, 4, 3, 0, 0, 1, 0, 0, 0))

    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            png_chunk("IHDR", struct.pack(">2I5B", 4, 3, 8, 2, 0, 0, 0)),
            png_chunk("acTL", struct.pack(">2I", 2, 0)),
            png_chunk("IDAT", pixels(RED, filter_type)),
            control(0),
            png_chunk("fdAT", struct.pack(">I", 1) + pixels(GREEN)),
            control(2),
            png_chunk("fdAT", struct.pack(">I", 3) + pixels(BLUE)),
            png_chunk("IEND", b""),
        ]
    )


def test_first_image_of_an_animated_png_may_be_outside_of_the_animation(tmp_path):
    frames = read(tmp_path, "a.png", hidden_animation())
    assert [frame.image[1, 1].tolist() for frame in frames] == [list(GREEN), list(BLUE)]
    assert [frame.time_s for frame in frames] == [0, 0.01]  # a denominator of 0 stands for 100
    with pytest.warns(SkippedImagesWarning):
        assert decode_image(hidden_animation())[1, 1].tolist() == list(RED)


def test_animated_png_with_more_frames_than_stated_ends_where_stated(tmp_path):
    data = hidden_animation()
    control = png_chunk("acTL", struct.pack(">2I", 2, 0))
    assert len(read(tmp_path, "a.png", data.replace(control, png_chunk("acTL", struct.pack(">2I", 1, 0))))) == 1


def test_damaged_first_image_of_an_animated_png_is_an_error():
    with pytest.raises(InputError, match="cannot be decoded"), pytest.warns(SkippedImagesWarning):
        decode_image(hidden_animation(filter_type=9))
