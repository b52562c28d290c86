"""Segments of a video equal the video in one piece: pixels, numbers and times."""

from fractions import Fraction
from math import inf

import av
import numpy as np
import pytest

from e2pose.core.errors import InputError
from e2pose.sources.segments import Segment, SegmentSource, cut_segments
from e2pose.sources.video import VideoSource

FRAMES = 75


def write_film(path, codec="libx264", options=None, *, frames=FRAMES, stamps=None, size_hw=(48, 64)):
    """A film of moving noise, of 3 s unless `stamps` gives other times in thousandths of a second."""
    generator = np.random.default_rng(0)
    background = generator.integers(0, 255, (*size_hw, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width, stream.pix_fmt = *size_hw, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.gop_size = 12
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(np.roll(background, index, 1), format="rgb24")
            frame.pts, frame.time_base = (40 * index if stamps is None else stamps[index]), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def read_whole(path):
    with VideoSource(path) as video:
        return list(video)


def read_segments(path, segments):
    frames = []
    for segment in segments:
        source = SegmentSource(path, str(path), segment)
        frames += source
        source.close()
    return frames


def assert_equal(frames, expected):
    assert [frame.index for frame in frames] == [frame.index for frame in expected]
    assert [frame.time_s for frame in frames] == [frame.time_s for frame in expected]
    assert all(np.array_equal(one.image, other.image) for one, other in zip(frames, expected, strict=True))


VARIABLE = np.cumsum([20 + 7 * (index % 9) for index in range(FRAMES)]).tolist()

FILMS = {
    "mp4, B-frames": ("a.mp4", "libx264", {"bf": "3"}, None),
    "mp4, no B-frames": ("a.mp4", "libx264", {"tune": "zerolatency"}, None),
    "mp4, open groups": ("a.mp4", "libx264", {"x264-params": "open-gop=1:bframes=3:keyint=12"}, None),
    "mp4, variable rate from 0.5 s": ("a.mp4", "libx264", {}, [500 + stamp for stamp in VARIABLE]),
    "mkv, variable rate": ("a.mkv", "libx264", {}, VARIABLE),
    "mov, mpeg4": ("a.mov", "mpeg4", {}, None),
    "hevc, open groups": ("a.mp4", "libx265", {"x265-params": "open-gop=1:keyint=12:log-level=none"}, None),
    "webm, vp9": ("a.webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}, None),
}


@pytest.mark.parametrize("film", FILMS)
def test_segments_equal_the_film_in_one_piece(film, tmp_path):
    name, codec, options, stamps = FILMS[film]
    path = write_film(tmp_path / name, codec, options, stamps=stamps)
    duration_s, segments = cut_segments(path, 0.9)
    assert duration_s >= 2.9
    assert len(segments) >= 2
    assert sum(segment.num_frames for segment in segments) == FRAMES
    assert_equal(read_segments(path, segments), read_whole(path))


def test_segments_are_at_least_as_long_as_requested(tmp_path):
    path = write_film(tmp_path / "a.mp4", options={"sc_threshold": "0"})
    _, segments = cut_segments(path, 0.9)
    assert [segment.num_frames for segment in segments] == [24, 24, 24, 3]  # a key frame every 12, 25 per second


def test_segment_may_start_between_key_frames(tmp_path):
    path = write_film(tmp_path / "a.mkv")
    with av.open(str(path)) as video:
        tick_ms = int(1000 * video.streams.video[0].time_base)
    segment = Segment(17, 20, 40 * 17 // tick_ms, 40 * 37 // tick_ms, 0)
    assert_equal(read_segments(path, [segment]), read_whole(path)[17:37])


def test_segments_of_an_open_file_equal_those_of_its_path(tmp_path):
    path = write_film(tmp_path / "a.mp4")
    _, segments = cut_segments(path, 0.9)
    with path.open("rb") as file:
        assert cut_segments(file, 0.9)[1] == segments
    with path.open("rb") as file:
        frames = list(SegmentSource(file, "a", segments[1]))
    assert_equal(frames, read_whole(path)[segments[1].first_frame :][: segments[1].num_frames])


def write_transparent(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=25, options={"deadline": "realtime", "cpu-used": "8"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuva420p"
        for _ in range(FRAMES):
            container.mux(stream.encode(av.VideoFrame(64, 48, "yuva420p")))
        container.mux(stream.encode())
    return path


WHOLE = {
    "transparent": lambda path: write_transparent(path / "a.webm"),
    "short": lambda path: write_film(path / "a.mp4", frames=25),
    "transport stream": lambda path: write_film(path / "a.ts"),
    "avi": lambda path: write_film(path / "a.avi", "mpeg4"),
    "vp8, with invisible packets": lambda path: write_film(path / "a.webm", "libvpx"),
    "interlaced": lambda path: write_film(path / "a.mp4", options={"flags": "+ildct", "x264-params": "tff=1"}),
    "not a video": lambda path: (path / "a.mp4").write_bytes(b"no") and path / "a.mp4",
    "missing": lambda path: path / "a.mp4",
}


@pytest.mark.parametrize("kind", WHOLE)
def test_other_videos_are_processed_in_one_piece(kind, tmp_path):
    assert cut_segments(WHOLE[kind](tmp_path), 0.9)[1] == []


def test_infinite_length_only_reads_the_duration(tmp_path):
    duration_s, segments = cut_segments(write_film(tmp_path / "a.mp4"), inf)
    assert duration_s == pytest.approx(3.0, abs=0.05)
    assert segments == []


def test_damage_is_reported_after_the_readable_frames(tmp_path):
    path = write_film(tmp_path / "a.mkv")
    _, segments = cut_segments(path, 0.9)
    data = path.read_bytes()
    path.write_bytes(data[: int(0.6 * len(data))])
    source = SegmentSource(path, "a", segments[-2])
    frames = []
    with pytest.raises(InputError, match=r"'a' is damaged: \d+ of the \d+ frames from number \d+ on can be decoded"):
        frames.extend(source)
    assert len(frames) < segments[-2].num_frames


def test_unreadable_file_is_an_input_error(tmp_path):
    path = write_film(tmp_path / "a.mp4")
    _, segments = cut_segments(path, 0.9)
    path.unlink()
    with pytest.raises(InputError, match="cannot read the video 'a'"):
        SegmentSource(path, "a", segments[0])
