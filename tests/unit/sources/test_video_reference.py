"""Frames, times and rotations of synthetic clips agree with their packets, and with ffprobe where it is installed."""

import json
import shutil
import subprocess
from fractions import Fraction

import av
import numpy as np
import pytest

from e2pose.core.errors import InputError
from e2pose.sources.video import VideoSource
from helpers.media import HALVES, NTSC, RED, flat, noise, rotate_track, save, write_clip


def encode_clip(path, images, codec, pixel_format, **options):
    """Writes a clip with a given pixel format."""
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=25, options=options)
        video.height, video.width = images[0].shape[:2]
        video.pix_fmt = pixel_format
        for image in images:
            image_format = "rgba" if image.shape[2] == 4 else "rgb24"
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, format=image_format)))
        container.mux(video.encode(None))
    return path


def write_two_audio_tracks(path):
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.height, video.width, video.pix_fmt = 48, 64, "yuv420p"
        tracks = [container.add_stream("aac", rate=48_000, layout="mono") for _ in range(2)]
        for image in noise(25):
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(video.encode(None))
        for track in tracks:
            wave = av.AudioFrame.from_ndarray(np.zeros((1, 48_000), np.int16), format="s16", layout="mono")
            wave.rate = 48_000
            container.mux(track.encode(wave))
            container.mux(track.encode(None))
    return path


def write_truncated(path):
    whole = write_clip(path.with_name("whole.mp4"), noise(50), movflags="+faststart")
    return save(path, whole.read_bytes()[: whole.stat().st_size * 7 // 10])


VARIABLE_S = [0.0, 0.1, 0.15, 0.5, 1.25, 1.3, 2.0]
WITH_ALPHA = np.dstack([HALVES, HALVES[..., :1]])  # opaque where it is red
CLIPS = {
    "variable rate": lambda path: write_clip(path, noise(7), times_s=VARIABLE_S),
    "rotated by 90 degrees": lambda path: rotate_track(write_clip(path, noise(9)), 0, 1, -1, 0),
    "29.97": lambda path: write_clip(path, noise(12), rate=NTSC),
    "odd size": lambda path: encode_clip(path.with_suffix(".mkv"), noise(5, (47, 63)), "ffv1", "bgr0"),
    "10 bit": lambda path: encode_clip(path.with_suffix(".mkv"), noise(6), "ffv1", "yuv420p10le"),
    "no audio": lambda path: write_clip(path, noise(10)),
    "two audio tracks": write_two_audio_tracks,
    "B-frames": lambda path: encode_clip(
        path, noise(20), "libx264", "yuv420p", bf="3", g="12", **{"b-pyramid": "normal"}
    ),
    "alpha": lambda path: encode_clip(path.with_suffix(".mov"), [WITH_ALPHA] * 4, "qtrle", "argb"),
    "truncated": write_truncated,
}


def probe_with_ffprobe(path):
    entries = "stream_side_data=rotation:frame=pts_time,best_effort_timestamp_time"
    command = ["ffprobe", "-v", "quiet", "-select_streams", "v:0", "-show_entries", entries, "-of", "json", str(path)]
    report = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    times_s = [float(frame["best_effort_timestamp_time"]) for frame in report["frames"]]
    rotations = [data["rotation"] for data in report["streams"][0].get("side_data_list", []) if "rotation" in data]
    return times_s, rotations[0] if rotations else 0


def probe_packets(path):
    """The timestamps of the packets, and the rotation of the first frame."""
    times_s = []
    with av.open(str(path)) as container:
        try:
            for packet in container.demux(video=0):
                if packet.pts is not None and packet.size:
                    times_s.append(float(packet.pts * packet.time_base))  # noqa: PERF401 - keeps those before an error
        except av.FFmpegError:
            times_s.pop()  # the last packet is incomplete
    with av.open(str(path)) as container:
        return sorted(times_s), next(container.decode(video=0)).rotation


PROBES = {"packets": probe_packets, "ffprobe": probe_with_ffprobe}


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize("clip", CLIPS)
def test_frames_times_and_rotation_agree_with_the_reference(tmp_path, clip, probe):
    if probe == "ffprobe" and not shutil.which("ffprobe"):
        pytest.skip("ffprobe is not installed")
    path = CLIPS[clip](tmp_path / "clip.mp4")
    times_s, rotation = PROBES[probe](path)
    frames = []
    try:
        with VideoSource(path) as source:
            for frame in source:
                frames.append(frame)  # noqa: PERF402 - keeps those before an error
    except InputError:
        assert clip == "truncated"
    if clip == "truncated" and probe == "packets":
        assert len(frames) >= len(times_s) - 1 > 25  # the decoder may refuse the last one
        times_s = times_s[: len(frames)]
    assert [frame.time_s for frame in frames] == pytest.approx([time_s - times_s[0] for time_s in times_s], abs=1e-5)
    with av.open(str(path)) as container:
        stored_hw = container.streams.video[0].height, container.streams.video[0].width
    assert rotation % 360 == (270 if clip == "rotated by 90 degrees" else 0)
    assert {frame.size_hw for frame in frames} == {stored_hw[::-1] if rotation % 180 else stored_hw}


def test_transparent_pixels_are_blended_on_white(tmp_path):
    path = CLIPS["alpha"](tmp_path / "clip.mp4")
    with VideoSource(path) as source:
        image = next(iter(source)).image
    assert image[24, 8].tolist() == list(RED)
    assert image[24, 56].tolist() == [255, 255, 255]


def test_10_bit_values_are_scaled_to_8_bits(tmp_path):
    grey = [np.full((48, 64, 3), 128, np.uint8)]
    with VideoSource(encode_clip(tmp_path / "a.mkv", grey, "ffv1", "yuv420p10le")) as source:
        assert np.abs(next(iter(source)).image.astype(int) - 128).max() <= 3


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuvj420p"], ids=["limited", "full"])
def test_full_and_limited_range_give_the_same_colours(tmp_path, pixel_format):
    black_and_white = [flat(colour, (48, 64)) for colour in ((0, 0, 0), (255, 255, 255))]
    path = encode_clip(tmp_path / "a.mp4", black_and_white, "libx264", pixel_format, crf="5")
    with VideoSource(path) as source:
        black, white = (frame.image for frame in source)
    assert black.max() <= 3
    assert white.min() >= 252


def test_rates_are_exact_fractions(tmp_path):
    for rate in (NTSC, Fraction(25)):
        with VideoSource(write_clip(tmp_path / "a.mp4", noise(2), rate=rate)) as source:
            assert source.origin.rate == rate
