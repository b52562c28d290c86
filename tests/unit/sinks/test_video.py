"""VideoFileSink, checked by decoding the written files."""

from fractions import Fraction

import av
import numpy as np
import pytest

from e2pose.core.errors import OutputError
from e2pose.core.frame import Frame, Origin
from e2pose.sinks.letterbox import letterbox
from e2pose.sinks.video import VideoFileSink
from helpers.media import (
    BLUE,
    GREEN,
    HALVES,
    NTSC,
    RED,
    assert_colour,
    convert_video,
    decode_video,
    draw_negative,
    draw_nothing,
    flat,
    still_frame,
    video_frame,
    write_clip,
    write_frames,
)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("rate", [Fraction(25), NTSC, Fraction(24_000, 1001), Fraction(100, 3)])
def test_video_keeps_frame_count_times_rate_and_colours(tmp_path, suffix, rate):
    path = tmp_path / f"ünï çödé a:b{suffix}"
    write_frames(VideoFileSink(path, draw_negative), [video_frame(index, rate=rate) for index in range(12)])
    images, times_s, average_rate, (codec, pixels, colours) = decode_video(path)
    assert len(images) == 12
    assert times_s == pytest.approx([index / rate for index in range(12)], abs=6e-4 if suffix == ".mkv" else 1e-6)
    assert average_rate == rate or suffix == ".mkv"
    assert (codec, pixels) == ("h264", "yuv420p")
    assert colours == (1, 1, 1, 1)  # BT.709, limited range
    assert_colour(images[5][24, 8], 255 - np.array(RED))
    assert_colour(images[5][24, 56], 255 - np.array(BLUE))


@pytest.mark.parametrize("colour", [RED, GREEN, BLUE, (255, 255, 255), (0, 0, 0), (128, 128, 128)])
def test_pure_colours_are_kept_within_5_levels(tmp_path, colour):
    write_frames(VideoFileSink(tmp_path / "a.mp4", draw_nothing), [video_frame(0, image=flat(colour, (48, 64)))])
    assert_colour(decode_video(tmp_path / "a.mp4")[0][0][24, 32], colour, 5)


def test_index_of_an_mp4_precedes_its_data(tmp_path):
    write_frames(VideoFileSink(tmp_path / "a.mp4", draw_nothing), [video_frame(index) for index in range(9)])
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_variable_frame_rate_keeps_timestamps(tmp_path):
    times_s = [0.0, 0.1003, 0.122, 0.1517, 0.5, 1.25]  # 0.122 is close to a frame of 25 per second, but not equal
    frames = [video_frame(index, time_s=time_s) for index, time_s in enumerate(times_s)]
    write_frames(VideoFileSink(tmp_path / "a.mp4", draw_nothing), frames)
    assert decode_video(tmp_path / "a.mp4")[1] == pytest.approx(times_s, abs=2e-5)


def test_times_rounded_by_matroska_become_constant_rate_again(tmp_path):
    source = write_clip(tmp_path / "a.mkv", [HALVES] * 12, rate=NTSC)
    _, times_s, rate, _ = decode_video(convert_video(source, tmp_path / "b.mp4"))
    assert rate == NTSC
    assert times_s == pytest.approx([index / NTSC for index in range(12)], abs=1e-6)


def test_repeated_and_backward_times_are_made_increasing(tmp_path):
    frames = [video_frame(index, time_s=time_s) for index, time_s in enumerate([0.0, 0.04, 0.04, 0.03, 0.2])]
    write_frames(VideoFileSink(tmp_path / "a.mp4", draw_nothing), frames)
    times_s = decode_video(tmp_path / "a.mp4")[1]
    assert len(times_s) == 5
    assert times_s == sorted(set(times_s))


@pytest.mark.parametrize(("size_hw", "even_hw"), [((47, 63), (48, 64)), ((48, 63), (48, 64)), ((1, 1), (2, 2))])
def test_odd_sizes_grow_by_a_copy_of_the_last_pixels(tmp_path, size_hw, even_hw):
    write_frames(VideoFileSink(tmp_path / "a.mp4", draw_nothing), [video_frame(0, image=flat(GREEN, size_hw))])
    image = decode_video(tmp_path / "a.mp4")[0][0]
    assert image.shape[:2] == even_hw
    assert_colour(image[-1, -1], GREEN)


def test_image_and_second_video_are_rejected(tmp_path):
    with pytest.raises(OutputError, match=r"the image 'a\.png' cannot be written into the video"):
        write_frames(VideoFileSink(tmp_path / "a.mp4", draw_nothing), [still_frame("a.png")])
    with pytest.raises(OutputError, match="holds one video, but 'b' is another input"):
        write_frames(
            VideoFileSink(tmp_path / "a.mp4", draw_nothing), [video_frame(0, name="a"), video_frame(0, name="b")]
        )
    assert len(decode_video(tmp_path / "a.mp4")[0]) == 1


def test_missing_h264_encoder_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(av, "codecs_available", {"mpeg4"})
    with pytest.raises(OutputError, match=r"cannot write H\.264") as caught:
        VideoFileSink(tmp_path / "a.mp4", draw_nothing)
    assert "pip install" in caught.value.hint


def test_letterbox_keeps_the_aspect_ratio():
    image = letterbox(flat(RED, (20, 20)), (40, 80))
    assert image.shape == (40, 80, 3)
    assert tuple(image[20, 40]) == RED
    assert tuple(image[20, 5]) == tuple(image[20, 75]) == (0, 0, 0)
    same = flat(RED, (40, 80))
    assert letterbox(same, (40, 80)) is same


@pytest.mark.parametrize("first_hw", [(48, 64), (47, 63)])
def test_frames_of_another_size_are_letterboxed(tmp_path, first_hw):
    frames = [
        video_frame(0, flat(RED, first_hw)),
        video_frame(1, flat(GREEN, (96, 128))),
        video_frame(2, flat(BLUE, (24, 24))),
    ]
    write_frames(VideoFileSink(tmp_path / "a.mp4", draw_nothing), frames)
    images = decode_video(tmp_path / "a.mp4")[0]
    assert [image.shape for image in images] == [(48, 64, 3)] * 3
    for image, colour in zip(images, (RED, GREEN, BLUE), strict=True):
        assert np.abs(image[24, 32].astype(int) - colour).max() < 12
    assert images[2][24, 2].max() < 12  # the border of a square image


def test_pixel_aspect_is_kept(tmp_path):
    origin = Origin("a", None, Fraction(25), pixel_aspect=Fraction(16, 15))
    write_frames(VideoFileSink(tmp_path / "a.mp4", draw_nothing), [Frame(HALVES, origin)])
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(16, 15)


@pytest.mark.parametrize(("suffix", "written"), [(".mp4", 2), (".mov", 2), (".mkv", 3)])
def test_gap_that_the_container_cannot_hold_ends_the_video_with_clear_words(tmp_path, suffix, written):
    frames = [video_frame(index, time_s=time_s) for index, time_s in enumerate([0.0, 0.04, 7 * 3600.0])]
    path = tmp_path / f"a{suffix}"
    if suffix == ".mkv":
        write_frames(VideoFileSink(path, draw_nothing), frames)
    else:
        with pytest.raises(OutputError, match=r"7\.0 hours after .* at most 6\.6 hours") as caught:
            write_frames(VideoFileSink(path, draw_nothing), frames)
        assert "a.mkv" in caught.value.hint
    assert len(decode_video(path)[0]) == written


def test_gap_of_six_hours_is_written(tmp_path):
    frames = [video_frame(index, time_s=time_s) for index, time_s in enumerate([0.0, 6 * 3600.0])]
    write_frames(VideoFileSink(tmp_path / "a.mp4", draw_nothing), frames)
    assert decode_video(tmp_path / "a.mp4")[1] == pytest.approx([0, 6 * 3600])
