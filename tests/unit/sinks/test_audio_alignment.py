"""The sound of written videos follows their frames: which streams, where it starts, moves and ends."""

from fractions import Fraction
from itertools import islice

import av
import numpy as np
import pytest

from e2pose.core.errors import OutputError
from e2pose.sinks.tee import TeeSink
from e2pose.sinks.video import VideoFileSink
from e2pose.sources.open import open_source
from helpers.media import (
    HALVES,
    convert_video,
    decode_audio,
    draw_nothing,
    flat,
    save,
    some_persons,
    write_clip,
    write_frames,
)

SAMPLE_RATE = 48_000
NUM_FRAMES = 50  # 2 s


def write_streams(path, order, *, sound="aac", sound_s=2.0, video_start_s=0.0, sound_start_s=0.0, container=None):
    """Writes 2 s of video and a tone whose volume rises with the time since the start of the sound."""
    with av.open(str(path), "w", format=container) as target:
        streams, texts = [], []
        for kind in order:
            if kind == "video":
                stream = target.add_stream("libx264", rate=25, options={"bf": "0", "sc_threshold": "0"})
                stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
            elif kind == "sound":
                stream = target.add_stream(sound, rate=SAMPLE_RATE, layout="mono")
            else:
                subtitles = save(path.with_name("a.srt"), b"1\n00:00:00,000 --> 00:00:01,000\nHello\n\n")
                with av.open(str(subtitles)) as source:
                    stream = target.add_stream_from_template(source.streams.subtitles[0])
                    texts = [packet for packet in source.demux() if packet.size]
            streams.append(stream)
        for packet in texts:
            packet.stream = streams[order.index("subtitles")]
            target.mux(packet)
        for time_s in np.arange(0, 8, 0.02):
            for kind, stream in zip(order, streams, strict=True):
                if kind == "video" and (index := round((time_s - video_start_s) * 25, 3)) in range(NUM_FRAMES):
                    frame = av.VideoFrame.from_ndarray(flat((5 * int(index), 0, 0), (48, 64)), format="rgb24")
                    frame.pts, frame.time_base = round(time_s * 25), Fraction(1, 25)
                    target.mux(stream.encode(frame))
                if kind == "sound" and 0 <= time_s - sound_start_s < sound_s - 1e-6:
                    start = round(time_s * SAMPLE_RATE)
                    times_s = np.arange(960) / SAMPLE_RATE + time_s
                    wave = (times_s * 3000 * np.sin(2 * np.pi * 1000 * times_s)).astype(np.int16)
                    sample = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
                    sample.rate, sample.pts, sample.time_base = SAMPLE_RATE, start, Fraction(1, SAMPLE_RATE)
                    target.mux(stream.encode(sample))
        for kind, stream in zip(order, streams, strict=True):
            if kind in ("video", "sound"):
                target.mux(stream.encode(None))
    return path


def sound_of(path):
    """Returns the start, end and file time of the sound, relative to the first frame, in seconds."""
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        first_s = float(frame.pts * frame.time_base)
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    wave = np.concatenate([frame.to_ndarray().astype(np.float64).reshape(-1) for frame in frames])
    wave = wave * (1 if frames[0].format.name.startswith("flt") else 1 / 32768)
    rate = frames[0].sample_rate
    start_s = float(frames[0].pts * frames[0].time_base) - first_s
    middle = len(wave) // 2
    volume = np.abs(wave[middle - rate // 10 : middle + rate // 10]).max()
    return start_s, start_s + len(wave) / rate, volume * 32768 / 3000 - 0.1 - (start_s + middle / rate)


@pytest.mark.parametrize("target", ["b.mp4", "b.mkv", "b.mov"])
@pytest.mark.parametrize(
    "order",
    [("sound", "video"), ("video", "subtitles", "sound"), ("subtitles", "sound", "video"), ("sound", "video", "sound")],
)
@pytest.mark.parametrize("sound", ["aac", "ac3"])
def test_streams_may_be_in_any_order(tmp_path, order, sound, target):
    source = write_streams(tmp_path / "a.mkv", order, sound=sound)
    convert_video(source, tmp_path / target)
    with av.open(str(tmp_path / target)) as container:
        assert [stream.codec_context.name for stream in container.streams.audio] == [sound] * order.count("sound")
        assert len(container.streams.video) == 1
    start_s, end_s, shift_s = sound_of(tmp_path / target)
    assert (start_s, end_s, shift_s) == pytest.approx((0, 2, 0), abs=0.06)


def test_cover_image_is_no_video(tmp_path):
    source = write_streams(tmp_path / "a.mp4", ("sound", "video"))
    with av.open(str(source)) as video, av.open(str(tmp_path / "b.mp4"), "w") as target:
        cover = target.add_stream("mjpeg", rate=25)
        cover.height, cover.width, cover.pix_fmt = 48, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        copies = {stream.index: target.add_stream_from_template(stream) for stream in video.streams}
        target.mux(cover.encode(av.VideoFrame.from_ndarray(HALVES, format="rgb24")))
        for packet in video.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                target.mux(packet)
    assert sound_of(convert_video(tmp_path / "b.mp4", tmp_path / "c.mp4")) == pytest.approx((0, 2, 0), abs=0.06)


@pytest.mark.parametrize(
    ("video_start_s", "sound_start_s", "sound_s", "expected"),
    [
        (0, 0.6, 1, (0.6, 1.6)),
        (0.6, 0, 2.6, (0, 2)),  # the sound before the first frame is omitted
        (3, 3, 2, (0, 2)),
        (0, 0, 0.5, (0, 0.5)),
        (0, 0, 4, (0, 4)),  # the input is complete, and so is its sound
    ],
)
@pytest.mark.parametrize(("name", "sound"), [("a.mkv", "aac"), ("a.mkv", "pcm_s16le"), ("a.ts", "aac")])
@pytest.mark.parametrize("target", ["b.mp4", "b.mkv"])
def test_sound_starts_and_ends_with_its_own_times(  # noqa: PLR0917
    tmp_path, name, sound, target, video_start_s, sound_start_s, sound_s, expected
):
    source = write_streams(
        tmp_path / name,
        ("video", "sound"),
        sound=sound,
        sound_s=sound_s,
        video_start_s=video_start_s,
        sound_start_s=sound_start_s,
    )
    assert sound_of(convert_video(source, tmp_path / target))[:2] == pytest.approx(expected, abs=0.07)


def test_sound_starts_with_the_first_frame_that_can_be_decoded(tmp_path):
    data = write_streams(tmp_path / "a.ts", ("video", "sound")).read_bytes()
    parts = write_streams(tmp_path / "b.ts", ("video", "sound"), video_start_s=2, sound_start_s=2).read_bytes()
    cut = save(tmp_path / "cut.ts", data[len(data) // 2 // 188 * 188 :] + parts)  # starts between two keyframes
    with open_source(cut, on_error=lambda _: None) as source:
        write_frames(VideoFileSink(tmp_path / "c.mp4", draw_nothing), source)
    start_s, end_s, _ = sound_of(tmp_path / "c.mp4")
    assert (start_s, end_s) == pytest.approx((0, 2), abs=0.08)


def num_crossings(wave):
    return np.count_nonzero(np.diff(np.sign(wave[0])))


@pytest.mark.parametrize("second_start_s", [0, 1.7, 100])  # again from the start, an overlap, and another clock
@pytest.mark.parametrize("target", ["c.mp4", "c.mkv"])
def test_sound_of_joined_recordings_moves_with_their_frames(tmp_path, second_start_s, target):
    first = write_streams(tmp_path / "a.ts", ("video", "sound"), sound_s=1.9)
    options = {"output_ts_offset": str(second_start_s)}
    second = write_clip(tmp_path / "b.ts", [HALVES] * 25, sound="aac", **options)
    joined = save(tmp_path / "joined.ts", first.read_bytes() + second.read_bytes())
    with open_source(joined, on_error=lambda _: None) as source:
        write_frames(VideoFileSink(tmp_path / target, draw_nothing), source)
    with av.open(str(tmp_path / target)) as container:
        times_s = [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]
    with av.open(str(tmp_path / target)) as container:
        sounds = [(float(frame.pts * frame.time_base), frame.to_ndarray()) for frame in container.decode(audio=0)]
    assert times_s[-1] - times_s[0] == pytest.approx(74 / 25, abs=0.05)
    # The first recording has a tone of 1000 Hz, the second one of 440 Hz from its first frame on.
    second_s = next(time_s for time_s, wave in sounds if np.abs(wave).max() > 0.2 and num_crossings(wave) < 25)
    assert second_s - times_s[0] == pytest.approx(2, abs=0.08)
    assert sounds[-1][0] - times_s[0] == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize(("name", "sound"), [("a.mp4", "aac"), ("a.mkv", "pcm_s16le"), ("a.mkv", "ac3")])
@pytest.mark.parametrize("target", ["b.mp4", "b.mkv"])
def test_sound_ends_with_the_last_frame_if_the_run_is_stopped(tmp_path, name, sound, target):
    source = write_streams(tmp_path / name, ("video", "sound"), sound=sound, sound_s=7)
    with open_source(source) as frames, VideoFileSink(tmp_path / target, draw_nothing) as sink:
        for frame in islice(frames, 20):
            sink.write(frame, some_persons(0))
    start_s, end_s, _ = sound_of(tmp_path / target)
    assert start_s == pytest.approx(0, abs=0.03)
    assert 0.75 < end_s < 0.8 + 0.05  # 20 frames, and at most one frame of sound


def test_sound_ends_with_the_last_frame_that_was_written(tmp_path):
    source = write_streams(tmp_path / "a.mp4", ("video", "sound"), sound_s=7)

    def draw(frame, poses):
        if frame.index == 20:
            raise OutputError("full", "make room")
        return frame.image

    errors = []
    sinks = [VideoFileSink(tmp_path / "b.mp4", draw), VideoFileSink(tmp_path / "c.mp4", draw_nothing)]
    with open_source(source) as frames:
        write_frames(TeeSink(sinks, on_error=errors.append), frames)
    assert len(errors) == 1
    assert sound_of(tmp_path / "b.mp4")[1] == pytest.approx(0.8, abs=0.05)
    assert sound_of(tmp_path / "c.mp4")[1] == pytest.approx(7, abs=0.05)


def test_sound_ends_with_the_last_frame_of_a_damaged_video(tmp_path):
    path = write_streams(tmp_path / "a.mp4", ("video", "sound"), sound_s=7)
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for position, size in packets[1:]:
        data[position : position + size] = bytes(size)
    with open_source(save(tmp_path / "b.mp4", bytes(data)), on_error=lambda _: None) as frames:
        write_frames(VideoFileSink(tmp_path / "c.mp4", draw_nothing), frames)
    assert decode_audio(tmp_path / "c.mp4")[1] < 0.2
