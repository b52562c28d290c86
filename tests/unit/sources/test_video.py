"""VideoSource: frames, timestamps, orientation and colours, and the readable part of damaged videos."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest

from e2pose.core.errors import InputError
from e2pose.sources.video import VideoSource
from helpers.media import (
    BLUE,
    GREEN,
    HALVES,
    NTSC,
    RED,
    WHITE,
    assert_colour,
    flat,
    noise,
    rotate_track,
    save,
    write_clip,
)
from helpers.media import read_video as read


def test_frames_have_indices_times_and_an_origin(tmp_path):
    path = write_clip(tmp_path / "ünï çödé a:b%d.mp4", [flat(RED, (48, 64))] * 12, rate=NTSC)
    with VideoSource(path) as source:
        assert source.info.frame_count == 12
        assert source.origin.rate == NTSC
        frames = list(source)
    assert [frame.index for frame in frames] == list(range(12))
    assert [frame.time_s for frame in frames] == pytest.approx([i * 1001 / 30_000 for i in range(12)])
    assert all(frame.origin is source.origin for frame in frames)
    assert (source.origin.name, source.origin.path) == (str(path), path)
    assert not source.origin.is_still


def test_relative_name_with_a_colon_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "a:b.mp4", noise(2))
    frames, message = read("a:b.mp4")
    assert (len(frames), message) == (2, "")


def test_colours_are_rgb(tmp_path):
    frames, _ = read(write_clip(tmp_path / "a.mp4", [HALVES]))
    assert_colour(frames[0].image[24, 4], RED)
    assert_colour(frames[0].image[24, 60], BLUE)


@pytest.mark.parametrize("size_hw", [(47, 63), (49, 64), (48, 65)])
def test_odd_sizes_are_kept(tmp_path, size_hw):
    frames, _ = read(write_clip(tmp_path / "a.mkv", noise(3, size_hw), codec="ffv1"))
    assert [frame.size_hw for frame in frames] == [size_hw] * 3


def test_variable_frame_rate_keeps_timestamps(tmp_path):
    times_s = [0.0, 0.1, 0.15, 0.5, 1.25]
    frames, message = read(write_clip(tmp_path / "a.mp4", noise(5), times_s=times_s))
    assert [frame.time_s for frame in frames] == pytest.approx(times_s, abs=1e-4)
    assert message == ""


def test_times_are_relative_to_the_first_frame(tmp_path):
    path = write_clip(tmp_path / "a.mkv", noise(3), times_s=[5.0, 5.04, 5.08])
    assert [frame.time_s for frame in read(path)[0]] == pytest.approx([0, 0.04, 0.08], abs=1e-3)


# The linear part of the display matrix, and its effect on an image.
ROTATIONS = {
    (1, 0, 0, 1): lambda image: image,
    (0, 1, -1, 0): lambda image: np.rot90(image, -1),  # a phone in portrait orientation
    (-1, 0, 0, -1): lambda image: np.rot90(image, 2),
    (0, -1, 1, 0): np.rot90,
    (-1, 0, 0, 1): np.fliplr,
    (1, 0, 0, -1): np.flipud,
    (0, 1, 1, 0): lambda image: image.transpose(1, 0, 2),
    (0, -1, -1, 0): lambda image: np.rot90(image, 2).transpose(1, 0, 2),
}


@pytest.mark.parametrize("matrix", ROTATIONS)
def test_display_matrix_is_applied(tmp_path, matrix):
    top = np.concatenate([flat(RED, (24, 32)), flat(GREEN, (24, 32))], axis=1)
    image = np.concatenate([top, np.concatenate([flat(BLUE, (24, 32)), flat(WHITE, (24, 32))], axis=1)])
    frames, _ = read(rotate_track(write_clip(tmp_path / "a.mp4", [image] * 2), *matrix))
    expected = ROTATIONS[matrix](image)
    assert frames[0].image.shape == expected.shape
    height, width = expected.shape[:2]
    for y in (6, height - 6):
        for x in (6, width - 6):
            assert_colour(frames[0].image[y, x], expected[y, x], 12)


@pytest.mark.parametrize("name", ["a.avi", "a.mkv", "a.mov", "a.mpg", "a.webm"])
def test_common_containers_are_read(tmp_path, name):
    codec = {"a.mpg": "mpeg1video", "a.webm": "libvpx"}.get(name, "mpeg4")
    frames, message = read(write_clip(tmp_path / name, [flat(RED, (48, 64))] * 10, codec=codec))
    assert (len(frames), message) == (10, "")
    assert frames[0].origin.frame_count == (None if name == "a.mpg" else 10)
    assert_colour(frames[5].image[24, 30], RED)


@pytest.mark.parametrize("part", [0.5, 0.8, 0.97])
@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "mpeg4")])
def test_truncated_video_yields_its_frames_before_the_error(tmp_path, name, codec, part):
    options = {"movflags": "+faststart"} if name == "a.mp4" else {}
    whole = write_clip(tmp_path / name, noise(50), codec=codec, **options)
    assert [len(read(whole)[0]), read(whole)[1]] == [50, ""]
    cut = save(tmp_path / f"cut-{name}", whole.read_bytes()[: int(part * whole.stat().st_size)])
    frames, message = read(cut)
    assert 50 * part - 12 < len(frames) < 50
    assert [frame.index for frame in frames] == list(range(len(frames)))
    if part < 0.9 or name == "a.mp4":  # in other containers up to 1% or 3 frames may be missing
        assert "is truncated or damaged" in message


def test_undecodable_frames_are_skipped_and_reported(tmp_path):
    path = write_clip(tmp_path / "a.mp4", noise(50))
    with av.open(str(path)) as container:
        position, size = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size][20]
    data = path.read_bytes()
    frames, message = read(save(tmp_path / "b.mp4", data[:position] + bytes(size) + data[position + size :]))
    assert 40 <= len(frames) < 50
    assert "1 frame is damaged or missing" in message


def test_audio_longer_than_the_video_is_not_damage(tmp_path):
    path = write_clip(tmp_path / "a.mkv", noise(10), sound="aac", sound_s=3.0)
    frames, message = read(path)
    assert (len(frames), message) == (10, "")


def test_mp4_without_its_index_is_not_a_complete_video(tmp_path):
    data = write_clip(tmp_path / "a.mp4", noise(20)).read_bytes()
    frames, message = read(save(tmp_path / "cut.mp4", data[: len(data) // 2]))
    assert frames == []
    assert "is not a complete video" in message


def sound_only(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.int16), format="s16", layout="mono")
        frame.rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (sound_only, "contains no video stream, only audio"),
        (lambda path: save(path, b""), "is empty"),
        (lambda path: save(path, b"just a text\n" * 50), "is not a complete video"),
        (lambda path: save(path, bytes(5000)), "is not a complete video"),
        (lambda path: path, "cannot read .* No such file"),
        (lambda path: path.parent, "cannot read .* directory"),
    ],
)
def test_files_that_are_not_videos_are_rejected(tmp_path, make, message, capfd):
    path = make(tmp_path / "a.mp4")
    with pytest.raises(InputError, match=message) as caught:
        VideoSource(path)
    assert caught.value.hint
    assert capfd.readouterr() == ("", "")


def test_header_without_frames_is_an_error(tmp_path):
    data = write_clip(tmp_path / "a.mkv", noise(5)).read_bytes()
    cluster = data.index(b"\x1f\x43\xb6\x75")
    frames, message = read(save(tmp_path / "cut.mkv", data[:cluster]))
    assert frames == []
    assert "no frame" in message or "is not a complete video" in message


def test_iteration_after_closing_is_an_error(tmp_path):
    path = write_clip(tmp_path / "a.mp4", noise(5))
    with VideoSource(path) as source:
        frames = iter(source)
        next(frames)
    with pytest.raises(InputError, match="was closed during iteration"):
        list(frames)


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
@pytest.mark.parametrize("name", ["a.mkv", "a.avi", "a.flv"])
def test_truncated_video_with_audio_reports_the_missing_seconds(tmp_path, name, codec):
    sound = "libmp3lame" if name == "a.flv" else "aac"
    codec = "flv" if (name, codec) == ("a.flv", "mpeg4") else codec
    whole = write_clip(
        tmp_path / name,
        noise(50),
        codec=codec,
        sound=sound,
        sound_s=2.0,
        sound_rate=44_100 if name == "a.flv" else 48_000,
    )
    assert read(whole)[1] == ""
    middle = whole.stat().st_size // 2
    for size in range(middle, middle + 3000, 150):  # inside video packets, inside audio packets and between
        frames, message = read(save(tmp_path / f"cut-{name}", whole.read_bytes()[:size]))
        assert 5 < len(frames) < 45
        assert "is truncated or damaged" in message
        assert "s are missing at the end" in message


def test_avi_written_to_a_pipe_has_an_unknown_frame_count(tmp_path):
    class Pipe(io.RawIOBase):
        data = b""

        def writable(self):
            return True

        def write(self, data):
            self.data += bytes(data)
            return len(data)

    pipe = Pipe()
    with av.open(pipe, "w", format="avi") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for image in noise(30):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    path = save(tmp_path / "a.avi", pipe.data)
    with VideoSource(path) as source:
        assert source.info.frame_count is None
    frames, message = read(path)
    assert (len(frames), message) == (30, "")


@pytest.mark.parametrize("name", ["a.mts", "a.m2ts"])
def test_truncated_transport_stream_reports_its_missing_end(tmp_path, name):
    whole = write_clip(tmp_path / name, noise(50), **({"mpegts_m2ts_mode": "1"} if name == "a.m2ts" else {}))
    assert read(whole)[1] == ""
    data = whole.read_bytes()
    frames, message = read(save(tmp_path / f"cut-{name}", data[: len(data) // 2 // 188 * 188 + 77]))
    assert 15 < len(frames) < 45
    assert "it ends inside a packet" in message or "damaged or missing" in message


def test_concatenated_recordings_have_continuous_times(tmp_path):
    once = write_clip(tmp_path / "a.mts", noise(25)).read_bytes()
    frames, _ = read(save(tmp_path / "joined.mts", once + once))
    times_s = [frame.time_s for frame in frames]
    assert len(times_s) >= 48
    assert np.diff(times_s) == pytest.approx(0.04, abs=0.045)  # a frame may be lost at the joint
    assert times_s[-1] == pytest.approx(49 / 25, abs=0.09)


@pytest.mark.parametrize(("matrix", "expected"), [((1, 0, 0, 1), Fraction(16, 15)), ((0, 1, -1, 0), Fraction(15, 16))])
def test_pixel_aspect_is_that_of_the_upright_image(tmp_path, matrix, expected):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.height, video.width, video.pix_fmt = 48, 64, "yuv420p"
        video.codec_context.sample_aspect_ratio = Fraction(16, 15)
        container.mux(video.encode(av.VideoFrame.from_ndarray(flat(RED, (48, 64)), format="rgb24")))
        container.mux(video.encode(None))
    frames, message = read(rotate_track(path, *matrix))
    assert (len(frames), message) == (1, "")
    assert frames[0].origin.pixel_aspect == expected


def test_pixel_aspect_is_1_by_default(tmp_path):
    assert read(write_clip(tmp_path / "a.mp4", noise(2)))[0][0].origin.pixel_aspect == 1
