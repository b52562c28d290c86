"""Audio tracks of written videos: codecs, times, languages and interleaving."""

from fractions import Fraction

import av
import numpy as np
import pytest

from e2pose.core.frame import Frame, Origin
from e2pose.sinks import audio
from e2pose.sinks.open import open_sink
from e2pose.sinks.video import VideoFileSink
from e2pose.sources.open import open_source
from helpers.media import (
    HALVES,
    RED,
    audio_packets,
    convert_video,
    decode_audio,
    decode_video,
    draw_nothing,
    flat,
    save,
    write_clip,
    write_frames,
)


@pytest.mark.parametrize("sound", ["aac", "libmp3lame", "libopus", "flac"])
def test_supported_audio_is_copied_without_re_encoding(tmp_path, sound):
    source = write_clip(tmp_path / "a.mkv", [HALVES] * 25, sound=sound)
    target = convert_video(source, tmp_path / "b.mp4")
    assert decode_audio(target)[0] == decode_audio(source)[0]
    assert decode_audio(target)[1] == pytest.approx(1.0, abs=0.06)
    assert audio_packets(target) == audio_packets(source)
    assert len(decode_video(target)[0]) == 25


def test_audio_that_mp4_cannot_hold_becomes_aac(tmp_path):
    source = write_clip(tmp_path / "a.avi", [HALVES] * 25, codec="mpeg4", sound="pcm_s16le")
    assert decode_audio(source)[0] == "pcm_s16le"
    codec, seconds = decode_audio(convert_video(source, tmp_path / "b.mp4"))
    assert codec == "aac"
    assert seconds == pytest.approx(1.0, abs=0.05)
    assert decode_audio(convert_video(source, tmp_path / "b.mkv"))[0] == "pcm_s16le"


def test_mp3_with_a_low_sample_rate_becomes_aac_in_mp4(tmp_path):
    source = write_clip(tmp_path / "a.mkv", [HALVES] * 25, sound="libmp3lame", sound_rate=11_025)
    assert decode_audio(source)[0] == "mp3"
    assert decode_audio(convert_video(source, tmp_path / "b.mp4"))[0] == "aac"


def test_readable_part_of_a_truncated_video_is_written(tmp_path):
    source = write_clip(tmp_path / "a.mp4", [HALVES] * 75, sound="aac", sound_s=3.0, movflags="+faststart")
    cut = save(tmp_path / "cut.mp4", source.read_bytes()[: int(0.6 * source.stat().st_size)])
    errors = []
    with open_source(cut, on_error=errors.append) as frames:
        write_frames(VideoFileSink(tmp_path / "b.mp4", draw_nothing), frames)
    assert len(errors) == 1
    assert 10 < len(decode_video(tmp_path / "b.mp4")[0]) < 75
    assert decode_audio(tmp_path / "b.mp4")[1] > 0.5


def test_audio_of_a_transport_stream_stays_in_sync(tmp_path):
    source = write_clip(tmp_path / "a.m2ts", [HALVES] * 25, sound="aac")  # its timestamps do not start at 0
    target = convert_video(source, tmp_path / "b.mp4")
    with av.open(str(target)) as container:
        starts_s = [float(stream.start_time * stream.time_base) for stream in container.streams]
    assert starts_s == pytest.approx([0, 0], abs=0.05)
    assert decode_audio(target)[1] == pytest.approx(1.0, abs=0.06)


def test_audio_is_interleaved_with_the_video(tmp_path):
    """The muxer itself interleaves packets within 10 s only, so the video is longer."""
    source = write_clip(tmp_path / "a.mp4", [HALVES] * 120, rate=Fraction(4), sound="aac", sound_s=30.0)
    with av.open(str(convert_video(source, tmp_path / "b.mp4"))) as container:
        packets = sorted((packet for packet in container.demux() if packet.size), key=lambda packet: packet.pos)
        order = "".join(packet.stream.type[0] for packet in packets)
    assert "v" * 12 not in order  # 3 s
    assert "a" * 141 not in order


def test_video_without_audio_gets_none(tmp_path):
    source = write_clip(tmp_path / "a.mp4", [HALVES] * 3)
    assert decode_audio(convert_video(source, tmp_path / "b.mp4")) is None


def write_two_audio_tracks(path, second):
    one_track = write_clip(path.with_name("one.mp4"), [flat(RED, (48, 64))] * 25, sound="aac")
    with av.open(str(one_track)) as source, av.open(str(path), "w") as target:
        video = target.add_stream_from_template(source.streams.video[0])
        first = target.add_stream_from_template(source.streams.audio[0])
        first.metadata["language"] = "deu"
        other = target.add_stream(second, rate=48_000, layout="mono")
        other.metadata["language"] = "fra"
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = video if packet.stream.type == "video" else first
                target.mux(packet)
        for start in range(0, 48_000, 960):
            wave = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.int16), format="s16", layout="mono")
            wave.rate, wave.pts, wave.time_base = 48_000, start, Fraction(1, 48_000)
            target.mux(other.encode(wave))
        target.mux(other.encode(None))
    return path


@pytest.mark.parametrize(("second", "becomes"), [("aac", "aac"), ("pcm_s16le", "aac")])
def test_all_audio_tracks_are_kept_with_their_languages(tmp_path, second, becomes):
    with open_source(write_two_audio_tracks(tmp_path / "a.mkv", second)) as source:
        write_frames(VideoFileSink(tmp_path / "b.mp4", draw_nothing), source)
    with av.open(str(tmp_path / "b.mp4")) as container:
        tracks = container.streams.audio
        assert [(track.codec_context.codec.canonical_name, track.language) for track in tracks] == [
            ("aac", "deu"),
            (becomes, "fra"),
        ]
        seconds = [float(track.duration * track.time_base) for track in tracks]
    assert seconds == pytest.approx([1.0, 1.0], abs=0.08)


def test_concatenated_recordings_keep_all_their_audio(tmp_path):
    once = write_clip(tmp_path / "a.mts", [flat(RED, (48, 64))] * 25, sound="aac").read_bytes()
    with open_source(save(tmp_path / "joined.mts", once + once), on_error=lambda _: None) as source:
        write_frames(VideoFileSink(tmp_path / "b.mp4", draw_nothing), source)
    assert decode_audio(tmp_path / "b.mp4")[1] == pytest.approx(2.0, abs=0.15)
    assert decode_video(tmp_path / "b.mp4")[1][-1] == pytest.approx(2.0, abs=0.15)


def test_announced_audio_that_is_missing_leaves_the_video_intact(tmp_path):
    """A transport stream without packets of its audio does not state the sample rate."""
    data = write_clip(tmp_path / "a.ts", [HALVES] * 25, sound="ac3").read_bytes()
    packets = [data[start : start + 188] for start in range(0, len(data), 188)]
    silent = b"".join(packet for packet in packets if packet[1] & 0x1F != 1 or packet[2] != 1)  # PID 0x101
    source = save(tmp_path / "silent.ts", silent)
    with av.open(str(source)) as container:
        assert container.streams.audio[0].rate == 0
    for name in ("b.mp4", "b.mov", "b.mkv"):
        assert len(decode_video(convert_video(source, tmp_path / name))[0]) == 25


def test_frames_without_file_times_are_written_without_audio(tmp_path):
    """Frames of an animation, for example, whose file is no video."""
    origin = Origin("a.bin", save(tmp_path / "a.bin", b"no media"), Fraction(25))
    frames = [Frame(HALVES, origin, index, index / 25) for index in range(3)]
    write_frames(VideoFileSink(tmp_path / "b.mp4", draw_nothing), frames)
    assert len(decode_video(tmp_path / "b.mp4")[0]) == 3


def write_with_notices(source, target):
    notices = []
    with open_source(source) as frames:
        write_frames(open_sink(target, draw=draw_nothing, on_notice=notices.append), frames)
    return notices


def damage_packets(source, target, numbers):
    """Overwrites the content of some packets of the sound, but no byte of the video."""
    with av.open(str(source)) as container:
        packets = [packet for packet in container.demux(container.streams.audio[0]) if packet.size]
        places = [(packets[number].pos, packets[number].size) for number in numbers]
    data = bytearray(source.read_bytes())
    for start, size in places:
        data[start + size // 4 : start + size // 2] = bytes(size // 2 - size // 4)
    return save(target, bytes(data))


@pytest.mark.parametrize(
    ("target", "numbers", "lost"), [("b.mov", [3, 4], "2 damaged packets"), ("b/", [1], "1 damaged packet")]
)
def test_damaged_sound_is_left_out_and_reported_once(tmp_path, monkeypatch, target, numbers, lost):
    monkeypatch.setitem(audio._COPIED_CODECS, ".mp4", set())
    source = write_clip(tmp_path / "a.mkv", [HALVES] * 25, sound="flac")
    damaged = damage_packets(source, tmp_path / "damaged.mkv", numbers)
    notices = write_with_notices(damaged, f"{tmp_path}/{target}")
    assert notices == [f"left out of the sound of '{damaged}': {lost}"]
    written = next(tmp_path.glob("b/*" if target == "b/" else target))
    assert len(decode_video(written)[0]) == 25
    assert decode_audio(written)[1] > 0.3
    assert write_with_notices(source, tmp_path / "c.mov") == []


@pytest.mark.parametrize("target", ["b.mp4", "b.mkv"])
def test_sound_without_a_decoder_is_reported(tmp_path, target):
    source = write_clip(tmp_path / "a.mkv", [HALVES] * 25, sound="aac")
    unknown = save(tmp_path / "unknown.mkv", source.read_bytes().replace(b"A_AAC", b"A_QQQ"))
    notices = write_with_notices(unknown, tmp_path / target)
    assert notices == [f"left out of the sound of '{unknown}': 1 track in an unknown codec"]
    assert len(decode_video(tmp_path / target)[0]) == 25


def test_converted_sound_may_change_its_format(tmp_path):
    """Broadcasts switch between stereo and mono, or to another sample rate."""
    parts = [
        write_clip(tmp_path / "a.ts", [flat(RED, (48, 64))] * 25, sound="mp2", sound_rate=rate).read_bytes()
        for rate in (48_000, 44_100, 48_000)
    ]
    source = save(tmp_path / "joined.ts", b"".join(parts))
    with open_source(source, on_error=lambda _: None) as frames:
        write_frames(VideoFileSink(tmp_path / "b.mp4", draw_nothing), frames)
    codec, seconds = decode_audio(tmp_path / "b.mp4")
    assert (codec, seconds) == ("aac", pytest.approx(3.0, abs=0.15))
