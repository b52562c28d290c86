"""Videos: every frame, at its time, upright, in the right colours, and as much as can be had of damaged ones."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest

from e2pose.core.errors import InputError
from e2pose.sources.video import VideoSource
from helpers.media import BLUE, GREEN, RED, WHITE, flat, save, turn_track, write_clip

NTSC = Fraction(30_000, 1001)


def noise(count, size_hw=(48, 64)):
    generator = np.random.default_rng(0)
    return [generator.integers(0, 255, (*size_hw, 3), np.uint8) for _ in range(count)]


def read(path):
    """The frames that come and the message of the error that ends them, if one does."""
    frames = []
    try:
        with VideoSource(path) as source:
            for frame in source:
                frames.append(frame)  # noqa: PERF402 - those before an error count
    except InputError as error:
        assert error.hint
        return frames, error.message
    return frames, ""


def assert_colour(pixel, rgb, tolerance=6):
    assert np.abs(pixel.astype(int) - rgb).max() <= tolerance, pixel


def test_frames_times_and_origin(tmp_path):
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


def test_colours_are_rgb(tmp_path):
    image = np.concatenate([flat(RED, (48, 32)), flat(BLUE, (48, 32))], axis=1)
    frames, _ = read(write_clip(tmp_path / "a.mp4", [image]))
    assert_colour(frames[0].image[24, 4], RED)
    assert_colour(frames[0].image[24, 60], BLUE)


@pytest.mark.parametrize("size_hw", [(47, 63), (49, 64), (48, 65)])
def test_odd_sizes(tmp_path, size_hw):
    frames, _ = read(write_clip(tmp_path / "a.mkv", noise(3, size_hw), codec="ffv1"))
    assert [frame.size_hw for frame in frames] == [size_hw] * 3


def test_irregular_times_are_kept(tmp_path):
    times_s = [0.0, 0.1, 0.15, 0.5, 1.25]
    frames, message = read(write_clip(tmp_path / "a.mp4", noise(5), times_s=times_s))
    assert [frame.time_s for frame in frames] == pytest.approx(times_s, abs=1e-4)
    assert message == ""


def test_times_count_from_the_first_frame(tmp_path):
    path = write_clip(tmp_path / "a.mkv", noise(3), times_s=[5.0, 5.04, 5.08])
    assert [frame.time_s for frame in read(path)[0]] == pytest.approx([0, 0.04, 0.08], abs=1e-3)


# The display matrix and what it does to a picture.
TURNS = {
    (1, 0, 0, 1): lambda image: image,
    (0, 1, -1, 0): lambda image: np.rot90(image, -1),  # a phone held upright
    (-1, 0, 0, -1): lambda image: np.rot90(image, 2),
    (0, -1, 1, 0): np.rot90,
    (-1, 0, 0, 1): np.fliplr,
    (1, 0, 0, -1): np.flipud,
    (0, 1, 1, 0): lambda image: image.transpose(1, 0, 2),
    (0, -1, -1, 0): lambda image: np.rot90(image, 2).transpose(1, 0, 2),
}


@pytest.mark.parametrize("matrix", TURNS)
def test_turned_and_mirrored_tracks_stand_upright(tmp_path, matrix):
    top = np.concatenate([flat(RED, (24, 32)), flat(GREEN, (24, 32))], axis=1)
    image = np.concatenate([top, np.concatenate([flat(BLUE, (24, 32)), flat(WHITE, (24, 32))], axis=1)])
    frames, _ = read(turn_track(write_clip(tmp_path / "a.mp4", [image] * 2), *matrix))
    expected = TURNS[matrix](image)
    assert frames[0].image.shape == expected.shape
    height, width = expected.shape[:2]
    for y in (6, height - 6):
        for x in (6, width - 6):
            assert_colour(frames[0].image[y, x], expected[y, x], 12)


@pytest.mark.parametrize("name", ["a.avi", "a.mkv", "a.mov", "a.mpg", "a.webm"])
def test_containers(tmp_path, name):
    codec = {"a.mpg": "mpeg1video", "a.webm": "libvpx"}.get(name, "mpeg4")
    frames, message = read(write_clip(tmp_path / name, [flat(RED, (48, 64))] * 10, codec=codec))
    assert (len(frames), message) == (10, "")
    assert_colour(frames[5].image[24, 30], RED)


@pytest.mark.parametrize("part", [0.5, 0.8, 0.97])
@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "mpeg4")])
def test_what_can_be_read_of_a_truncated_video_comes_before_the_error(tmp_path, name, codec, part):
    options = {"movflags": "+faststart"} if name == "a.mp4" else {}
    whole = write_clip(tmp_path / name, noise(50), codec=codec, **options)
    assert [len(read(whole)[0]), read(whole)[1]] == [50, ""]
    cut = save(tmp_path / f"cut-{name}", whole.read_bytes()[: int(part * whole.stat().st_size)])
    frames, message = read(cut)
    assert 50 * part - 12 < len(frames) < 50
    assert [frame.index for frame in frames] == list(range(len(frames)))
    if part < 0.9 or name == "a.mp4":  # others state a duration, of which a frame or two may always be missing
        assert "is truncated or damaged" in message


def test_sound_that_is_longer_is_no_damage(tmp_path):
    path = write_clip(tmp_path / "a.mkv", noise(10), sound="aac", sound_s=3.0)
    frames, message = read(path)
    assert (len(frames), message) == (10, "")


def test_a_video_whose_index_is_cut_off(tmp_path):
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
        (sound_only, "has no pictures, only audio"),
        (lambda path: save(path, b""), "is empty"),
        (lambda path: save(path, b"just a text\n" * 50), "is not a complete video"),
        (lambda path: save(path, bytes(5000)), "is not a complete video"),
        (lambda path: path, "cannot read .* No such file"),
        (lambda path: path.parent, "cannot read .* directory"),
    ],
)
def test_what_is_no_video_says_so(tmp_path, make, message, capfd):
    path = make(tmp_path / "a.mp4")
    with pytest.raises(InputError, match=message) as caught:
        VideoSource(path)
    assert caught.value.hint
    assert capfd.readouterr() == ("", "")


def test_a_header_without_frames(tmp_path):
    data = write_clip(tmp_path / "a.mkv", noise(5)).read_bytes()
    cluster = data.index(b"\x1f\x43\xb6\x75")
    frames, message = read(save(tmp_path / "cut.mkv", data[:cluster]))
    assert frames == []
    assert "no frame" in message or "is not a complete video" in message


def test_leaving_closes_the_file(tmp_path):
    path = write_clip(tmp_path / "a.mp4", noise(5))
    with VideoSource(path) as source:
        frames = iter(source)
        next(frames)
    with pytest.raises(InputError, match="was closed while it was read"):
        list(frames)


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
@pytest.mark.parametrize("name", ["a.mkv", "a.avi", "a.flv"])
def test_a_cut_video_with_sound_says_how_much_is_missing(tmp_path, name, codec):
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
    for size in range(middle, middle + 3000, 150):  # inside pictures, inside sound and between
        frames, message = read(save(tmp_path / f"cut-{name}", whole.read_bytes()[:size]))
        assert 5 < len(frames) < 45
        assert "is truncated or damaged" in message
        assert "s are missing at its end" in message


def test_an_avi_from_a_pipe_states_no_length(tmp_path):
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
def test_a_cut_transport_stream_says_that_its_end_is_missing(tmp_path, name):
    whole = write_clip(tmp_path / name, noise(50), **({"mpegts_m2ts_mode": "1"} if name == "a.m2ts" else {}))
    assert read(whole)[1] == ""
    data = whole.read_bytes()
    frames, message = read(save(tmp_path / f"cut-{name}", data[: len(data) // 2 // 188 * 188 + 77]))
    assert 15 < len(frames) < 45
    assert "it ends inside a packet" in message or "cannot be decoded" in message


def test_time_goes_on_where_recordings_were_joined(tmp_path):
    once = write_clip(tmp_path / "a.mts", noise(25)).read_bytes()
    frames, _ = read(save(tmp_path / "joined.mts", once + once))
    times_s = [frame.time_s for frame in frames]
    assert len(times_s) >= 48
    assert np.diff(times_s) == pytest.approx(0.04, abs=0.045)  # a frame may be lost at the seam
    assert times_s[-1] == pytest.approx(49 / 25, abs=0.09)


@pytest.mark.parametrize(("turn", "expected"), [((1, 0, 0, 1), Fraction(16, 15)), ((0, 1, -1, 0), Fraction(15, 16))])
def test_pixels_that_are_not_square_are_told(tmp_path, turn, expected):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.height, video.width, video.pix_fmt = 48, 64, "yuv420p"
        video.codec_context.sample_aspect_ratio = Fraction(16, 15)
        container.mux(video.encode(av.VideoFrame.from_ndarray(flat(RED, (48, 64)), format="rgb24")))
        container.mux(video.encode(None))
    frames, message = read(turn_track(path, *turn))
    assert (len(frames), message) == (1, "")
    assert frames[0].origin.pixel_aspect == expected


def test_square_pixels_are_the_rule(tmp_path):
    assert read(write_clip(tmp_path / "a.mp4", noise(2)))[0][0].origin.pixel_aspect == 1
