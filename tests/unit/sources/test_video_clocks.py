"""Times of 70 kinds of video files, containers x codecs x clocks: they rise strictly and equal those of ffprobe."""

import json
import shutil
import subprocess
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest

from e2pose.sources.video import VideoSource
from helpers.media import NTSC

pytestmark = pytest.mark.slow  # all together take 15 seconds

NUM_FRAMES = 14
CLOCKS = {
    "25": [Fraction(index, 25) for index in range(NUM_FRAMES)],
    "ntsc": [index / NTSC for index in range(NUM_FRAMES)],
    "variable": [Fraction(ms, 1000) for ms in (0, 40, 60, 200, 210, 330, 331, 400, 900, 1500, 1540, 1580, 1600, 3000)],
    "late": [5 + Fraction(index, 25) for index in range(NUM_FRAMES)],
    "negative": [Fraction(index - 5, 25) for index in range(NUM_FRAMES)],
}
"""Times of the frames as the encoder receives them, in seconds."""

B_FRAMES = {"bf": "2", "b_strategy": "0", "g": "7"}
H264_B = {**B_FRAMES, "b-pyramid": "normal"}
KEEP_NEGATIVE = {"avoid_negative_ts": "disabled"}
# File name, encoder, pixel format, clock, options of the encoder, options of the container.
FILES = [
    ("a.mp4", "libx264", "yuv420p", "25", {"bf": "0"}, {}),
    ("a.mp4", "libx264", "yuv420p", "ntsc", H264_B, {}),
    ("a.mp4", "libx264", "yuv420p", "variable", H264_B, {}),
    ("a.mp4", "libx264", "yuv420p", "late", H264_B, {}),
    ("a.mp4", "libx264", "yuv420p", "negative", H264_B, KEEP_NEGATIVE),
    ("a.mp4", "libx264", "yuv420p", "negative", {"bf": "0"}, KEEP_NEGATIVE),
    ("a.mp4", "libx264", "yuv420p", "25", H264_B, {"movflags": "frag_keyframe+empty_moov"}),
    ("a.mp4", "libx264", "yuv420p", "25", H264_B, {"movflags": "negative_cts_offsets"}),
    ("a.mp4", "libx264", "yuv420p", "late", H264_B, {"use_editlist": "0"}),
    ("a.mp4", "libx265", "yuv420p", "ntsc", {"x265-params": "bframes=2:log-level=none"}, {}),
    ("a.mp4", "libx265", "yuv420p10le", "variable", {"x265-params": "bframes=2:log-level=none"}, {}),
    ("a.mp4", "mpeg4", "yuv420p", "25", {"bf": "2"}, {}),
    ("a.mp4", "libsvtav1", "yuv420p", "25", {"preset": "12"}, {}),
    ("a.mp4", "libvpx-vp9", "yuv420p", "variable", {"deadline": "realtime"}, {}),
    ("a.mp4", "mpeg2video", "yuv420p", "25", {"bf": "2"}, {}),
    ("a.m4v", "libx264", "yuv420p", "25", H264_B, {}),
    ("a.3gp", "h263", "yuv420p", "25", {}, {}),
    ("a.3gp", "libx264", "yuv420p", "ntsc", {"bf": "0"}, {}),
    ("a.mov", "libx264", "yuv420p", "variable", H264_B, {}),
    ("a.mov", "prores_ks", "yuv422p10le", "ntsc", {}, {}),
    ("a.mov", "mjpeg", "yuvj420p", "25", {}, {}),
    ("a.mov", "qtrle", "rgb24", "variable", {}, {}),
    ("a.mov", "png", "rgb24", "late", {}, {}),
    ("a.mov", "dvvideo", "yuv420p", "25", {}, {}),
    ("a.mov", "cfhd", "yuv422p10le", "25", {}, {}),
    ("a.mkv", "libx264", "yuv420p", "25", H264_B, {}),
    ("a.mkv", "libx264", "yuv420p", "variable", H264_B, {}),
    ("a.mkv", "libx264", "yuv420p", "late", H264_B, {}),
    ("a.mkv", "libx264", "yuv420p", "negative", H264_B, KEEP_NEGATIVE),
    ("a.mkv", "libx265", "yuv420p", "ntsc", {"x265-params": "bframes=2:log-level=none"}, {}),
    ("a.mkv", "mpeg4", "yuv420p", "ntsc", {"bf": "2"}, {}),
    ("a.mkv", "mpeg2video", "yuv420p", "ntsc", {"bf": "2"}, {}),
    ("a.mkv", "ffv1", "yuv420p", "variable", {}, {}),
    ("a.mkv", "snow", "yuv420p", "25", {}, {}),
    ("a.webm", "libvpx", "yuv420p", "variable", {"deadline": "realtime", "auto-alt-ref": "1"}, {}),
    ("a.webm", "libvpx-vp9", "yuv420p", "ntsc", {"deadline": "good", "cpu-used": "8", "lag-in-frames": "6"}, {}),
    ("a.webm", "libsvtav1", "yuv420p", "late", {"preset": "12"}, {}),
    ("a.avi", "libx264", "yuv420p", "25", {"bf": "0"}, {}),
    ("a.avi", "libx264", "yuv420p", "25", H264_B, {}),
    ("a.avi", "libx264", "yuv420p", "ntsc", {"bf": "1"}, {}),
    ("a.avi", "mpeg4", "yuv420p", "25", {"bf": "2"}, {}),
    ("a.avi", "mpeg4", "yuv420p", "ntsc", {}, {}),
    ("a.avi", "mjpeg", "yuvj420p", "25", {}, {}),
    ("a.avi", "msmpeg4", "yuv420p", "25", {}, {}),
    ("a.avi", "dvvideo", "yuv420p", "25", {}, {}),
    ("a.avi", "utvideo", "yuv420p", "25", {}, {}),
    ("a.ts", "libx264", "yuv420p", "25", H264_B, {}),
    ("a.ts", "libx264", "yuv420p", "variable", H264_B, {}),
    ("a.ts", "mpeg2video", "yuv420p", "ntsc", {"bf": "2"}, {}),
    ("a.ts", "libx265", "yuv420p", "25", {"x265-params": "bframes=2:log-level=none"}, {}),
    ("a.m2ts", "libx264", "yuv420p", "ntsc", H264_B, {"mpegts_m2ts_mode": "1"}),
    ("a.mpg", "mpeg2video", "yuv420p", "25", {"bf": "2"}, {}),
    ("a.mpg", "mpeg1video", "yuv420p", "ntsc", {"bf": "2"}, {}),
    ("a.vob", "mpeg2video", "yuv420p", "25", {"bf": "2"}, {}),
    ("a.flv", "libx264", "yuv420p", "25", H264_B, {}),
    ("a.flv", "flv", "yuv420p", "variable", {}, {}),
    ("a.wmv", "wmv2", "yuv420p", "25", {}, {}),
    ("a.wmv", "wmv1", "yuv420p", "variable", {}, {}),
    ("a.mxf", "mpeg2video", "yuv422p", "25", {"bf": "2"}, {}),
    ("a.mxf", "libx264", "yuv420p", "25", {"bf": "2"}, {}),
    ("a.ogv", "libvpx", "yuv420p", "25", {"deadline": "realtime"}, {}),
    ("a.nut", "mpeg4", "yuv420p", "variable", {"bf": "2"}, {}),
    ("a.gif", "gif", "rgb8", "25", {}, {}),
    ("a.apng", "apng", "rgb24", "25", {}, {}),
    ("a.y4m", "rawvideo", "yuv420p", "ntsc", {}, {}),
    ("a.ivf", "libvpx", "yuv420p", "ntsc", {"deadline": "realtime"}, {}),
    ("a.h264", "libx264", "yuv420p", "ntsc", H264_B, {}),
    ("a.h265", "libx265", "yuv420p", "ntsc", {"x265-params": "bframes=2:log-level=none"}, {}),
    ("a.m2v", "mpeg2video", "yuv420p", "ntsc", {"bf": "2"}, {}),
    ("a.mjpeg", "mjpeg", "yuvj420p", "25", {}, {}),
    ("a.dv", "dvvideo", "yuv420p", "25", {}, {}),
]
CONTAINERS = {".vob": "dvd", ".h265": "hevc", ".m2v": "mpeg2video", ".y4m": "yuv4mpegpipe"}


def write_file(path, file):
    _, codec, pixel_format, clock, codec_options, container_options = file
    rate = NTSC if clock == "ntsc" else Fraction(25)
    size_hw = {"dvvideo": (576, 720), "h263": (96, 128)}.get(codec, (48, 64))
    with av.open(str(path), "w", format=CONTAINERS.get(path.suffix), container_options=container_options) as container:
        video = container.add_stream(codec, rate=rate, options=codec_options)
        video.height, video.width = size_hw
        video.pix_fmt = pixel_format
        if clock == "variable":
            video.codec_context.time_base = Fraction(1, 1000)
        for index, time_s in enumerate(CLOCKS[clock]):
            image = np.full((*size_hw, 3), 40, np.uint8)
            image[8:24, 2 * index : 2 * index + 16] = 220
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            time_base = Fraction(1, 1000) if clock == "variable" else 1 / rate
            frame.time_base, frame.pts = time_base, round(time_s / time_base)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return path


def read_times(path):
    with VideoSource(path) as source:
        return [frame.time_s for frame in source]


def probe_times(path):
    """The best-effort timestamps of ffprobe in seconds; not a number for frames without one."""
    entries = "frame=best_effort_timestamp_time"
    command = ["ffprobe", "-v", "quiet", "-select_streams", "v:0", "-show_entries", entries, "-of", "json", str(path)]
    frames = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["frames"]
    return np.array([float(frame.get("best_effort_timestamp_time", "nan")) for frame in frames])


@pytest.fixture(params=FILES, ids=lambda file: f"{file[1]}-{file[3]}-{file[0]}")
def file(request):
    return request.param


def test_times_rise_strictly_and_are_those_of_the_encoder(tmp_path, file):
    name, _, _, clock, *_ = file
    times_s = read_times(write_file(tmp_path / name, file))
    is_rounded = name in ("a.mkv", "a.webm", "a.flv", "a.wmv")  # to milliseconds
    expected_s = [time_s for time_s in CLOCKS[clock] if time_s >= 0 or name == "a.mkv"]  # MP4 hides those before 0
    expected_s = [float(time_s - expected_s[0]) for time_s in expected_s]
    assert all(before < after for before, after in pairwise(times_s))
    assert times_s == pytest.approx(expected_s, abs=1e-3 if is_rounded else 1e-5)


@pytest.mark.skipif(not shutil.which("ffprobe"), reason="ffprobe is not installed")
def test_times_equal_those_of_ffprobe(tmp_path, file):
    path = write_file(tmp_path / file[0], file)
    times_s, probed_s = np.array(read_times(path)), probe_times(path)
    assert len(times_s) == len(probed_s)
    if (np.diff(probed_s) <= 0).any():
        pytest.skip("the times of ffprobe do not rise")
    known = np.flatnonzero(~np.isnan(probed_s))
    if len(known):
        first = known[0]
        assert times_s[known] - times_s[first] == pytest.approx(probed_s[known] - probed_s[first], abs=2e-6)
