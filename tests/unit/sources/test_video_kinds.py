"""VideoSource: clocks, joints, damage, interlacing and transparency of videos, and random changes of their files."""

import random
import struct
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest

from e2pose.core.errors import InputError
from e2pose.sources.video import VideoSource
from helpers.media import HALVES, NTSC, RED, WHITE, assert_colour, flat, noise, save, write_clip
from helpers.media import read_video as read


def moving_bar(index):
    """An interlaced image, whose second field is half a frame later."""
    first, second = flat((20, 20, 20), (48, 64)), flat((20, 20, 20), (48, 64))
    first[:, 3 * index : 3 * index + 4] = second[:, 3 * index + 2 : 3 * index + 6] = 230
    return np.where(np.arange(48)[:, None, None] % 2, second, first)


def write_frames(path, codec, *, options=None, container=None, count=20, rate=Fraction(25), first=0, interlaced=False):
    """A clip of noise with options of the encoder."""
    with av.open(str(path), "w", format=container) as output:
        video = output.add_stream(codec, rate=rate, options=options or {})
        video.height, video.width, video.pix_fmt = 48, 64, "yuv420p"
        for index, image in enumerate(noise(count)):
            frame = av.VideoFrame.from_ndarray(moving_bar(index) if interlaced else image, format="rgb24")
            frame.pts, frame.time_base = first + index, 1 / rate
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
    return path


B_FRAMES = {"bf": "2", "b_strategy": "0"}


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_avi_with_b_frames_has_the_times_of_its_frame_rate(tmp_path, codec):
    frames, message = read(write_frames(tmp_path / "a.avi", codec, options=B_FRAMES))
    assert [frame.time_s for frame in frames] == pytest.approx([index / 25 for index in range(20)])
    assert frames[0].file_time_s == pytest.approx(0)
    assert message == ""


@pytest.mark.parametrize(
    ("name", "codec", "container"),
    [("a.h264", "libx264", None), ("a.h265", "libx265", "hevc"), ("a.m2v", "mpeg2video", "mpeg2video")],
)
def test_bare_stream_has_the_rate_of_its_headers(tmp_path, name, codec, container):
    options = {"x265-params": "log-level=none"} if codec == "libx265" else B_FRAMES
    path = write_frames(tmp_path / name, codec, options=options, container=container, rate=NTSC)
    frames, message = read(path)
    assert [frame.time_s for frame in frames] == pytest.approx([float(index / NTSC) for index in range(20)])
    assert (frames[0].origin.rate, message) == (NTSC, "")


@pytest.mark.parametrize("first", [0, 13, 900])  # an overlap of 0.3 s, and an unrelated clock
def test_joined_recordings_continue_without_overlap_or_gap(tmp_path, first):
    parts = [
        write_frames(tmp_path / f"{start}.ts", "libx264", options={"bf": "0"}, first=start) for start in (5, first)
    ]
    frames, message = read(save(tmp_path / "joined.ts", b"".join(part.read_bytes() for part in parts)))
    assert [frame.time_s for frame in frames] == pytest.approx([index / 25 for index in range(40)], abs=1e-4)
    assert message == ""


def test_only_the_last_frame_of_a_complete_video_is_the_last(tmp_path):
    path = write_clip(tmp_path / "a.mp4", noise(12), movflags="+faststart")
    assert [frame.is_last for frame in read(path)[0]] == [False] * 11 + [True]
    cut = save(tmp_path / "b.mp4", path.read_bytes()[: path.stat().st_size * 7 // 10])
    assert not any(frame.is_last for frame in read(cut)[0])


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "mpeg4"), ("a.ts", "mpeg2video")])
def test_frames_that_the_decoder_had_to_complete_are_used_and_reported(tmp_path, name, codec):
    path = write_clip(tmp_path / name, noise(30), codec=codec)
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for position, size in packets[12:20]:
        data[position + size // 4 : position + size // 4 + 60] = bytes(range(60))
    frames, message = read(save(tmp_path / f"damaged-{name}", bytes(data)))
    assert len(frames) == 30
    assert "damaged or missing" in message


@pytest.mark.parametrize(
    "options", [{"x264-params": "open-gop=1:keyint=8", "bf": "2"}, {"x264-params": "intra-refresh=1:keyint=8"}]
)
def test_recording_that_starts_within_a_group_of_pictures_is_not_damaged(tmp_path, options):
    data = write_frames(tmp_path / "a.ts", "libx264", options=options, count=40).read_bytes()
    frames, message = read(save(tmp_path / "b.ts", data[len(data) // 3 // 188 * 188 :]))
    assert 10 < len(frames) < 36
    assert message == ""
    assert frames[0].file_time_s > 0


@pytest.mark.parametrize(("name", "codec"), [("a.mpg", "mpeg2video"), ("a.mp4", "libx264")])
def test_interlaced_frames_are_deinterlaced(tmp_path, name, codec):
    interlaced = {"flags": "+ildct+ilme"} if codec == "mpeg2video" else {"x264-params": "interlaced=1", "bf": "0"}
    path = write_frames(tmp_path / name, codec, options=interlaced, interlaced=True)
    frames, message = read(path)
    assert (len(frames), message) == (20, "")
    assert [frame.time_s for frame in frames] == pytest.approx([index / 25 for index in range(20)], abs=1e-4)
    images = [frame.image for frame in frames[2:-2]]
    combs = [np.abs(np.diff(image[8:40].astype(int), axis=0)).max() for image in images]
    assert max(combs) < 60  # about 200 between the lines as stored


def test_progressive_frames_are_not_filtered(tmp_path, monkeypatch):
    monkeypatch.setattr("e2pose.sources.deinterlace._open_graph", pytest.fail)
    assert len(read(write_clip(tmp_path / "a.mp4", noise(3)))[0]) == 3


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_transparent_webm_is_blended_on_white(tmp_path, codec):
    with av.open(str(tmp_path / "a.webm"), "w") as container:
        video = container.add_stream(codec, rate=25, options={"auto-alt-ref": "0"})
        video.height, video.width, video.pix_fmt = 48, 64, "yuva420p"
        rgba = np.dstack([HALVES, HALVES[..., :1]])  # opaque where it is red
        for _ in range(3):
            container.mux(video.encode(av.VideoFrame.from_ndarray(rgba, format="rgba")))
        container.mux(video.encode(None))
    frames, message = read(tmp_path / "a.webm")
    assert (len(frames), message) == (3, "")
    assert_colour(frames[2].image[24, 8], RED)
    assert_colour(frames[2].image[24, 56], WHITE)


def test_frames_above_the_limit_of_pixels_are_rejected_before_decoding(tmp_path, monkeypatch):
    path = write_clip(tmp_path / "a.mp4", noise(2))
    monkeypatch.setattr("e2pose.sources.video_stream._MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(InputError, match="64 x 48 pixels, more than the 3071 that can be read") as caught:
        VideoSource(path)
    assert caught.value.hint


def write_patched(path, codec, pixel_format, old, new):
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=25)
        video.height, video.width, video.pix_fmt = 48, 64, pixel_format
        for image in noise(3):
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(video.encode(None))
    data = path.read_bytes()
    assert old in data
    return save(path, data.replace(old, new))


@pytest.mark.parametrize(
    "file",
    [
        ("a.y4m", "rawvideo", "yuv420p", b"W64 H48", b"W100000 H100000"),
        ("a.avi", "rawvideo", "yuv420p", struct.pack("<II", 64, 48), struct.pack("<II", 100_000, 100_000)),
        ("a.gif", "gif", "rgb8", struct.pack("<HH", 64, 48), struct.pack("<HH", 65_535, 65_535)),
        ("a.mov", "qtrle", "rgb24", struct.pack(">HH", 64, 48), struct.pack(">HH", 30_000, 30_000)),
        ("a.mkv", "libvpx", "yuv420p", struct.pack("<HH", 64, 48), struct.pack("<HH", 16_383, 16_383)),
    ],
)
def test_header_with_an_absurd_size_is_an_error(tmp_path, file):
    frames, message = read(write_patched(tmp_path / file[0], *file[1:]))
    assert frames == []
    assert message


FUZZED = [
    ("a.mp4", "libx264", {}),
    ("a.mkv", "libx264", {}),
    ("a.avi", "mpeg4", {}),
    ("a.webm", "libvpx", {"deadline": "realtime"}),
    ("a.ts", "mpeg2video", {}),
    ("a.mpg", "mpeg1video", {}),
    ("a.flv", "flv", {}),
    ("a.wmv", "wmv2", {}),
    ("a.mxf", "mpeg2video", {}),
    ("a.ogv", "libvpx", {"deadline": "realtime"}),
    ("a.h264", "libx264", {}),
]


@pytest.mark.parametrize(("name", "codec", "options"), FUZZED)
def test_random_changes_of_a_file_only_raise_input_errors(tmp_path, name, codec, options):
    data = write_frames(tmp_path / name, codec, options=options, count=8).read_bytes()
    for seed in range(20):
        generator = random.Random(seed)
        changed = bytearray(data)
        for _ in range(generator.randrange(1, 12)):
            changed[generator.randrange(min(len(data), 1000) if seed % 2 else len(data))] = generator.randrange(256)
        if seed % 4 == 0:
            del changed[generator.randrange(len(data)) :]
        times_s = [frame.time_s for frame in read(save(tmp_path / f"b-{name}", bytes(changed)))[0]]
        assert all(before < after for before, after in pairwise(times_s))
