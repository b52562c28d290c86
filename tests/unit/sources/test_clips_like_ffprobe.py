"""Ten made clips: frames, times and turns are those that the packets tell, and ffprobe where it is installed."""

import json
import shutil
import subprocess
from fractions import Fraction

import av
import numpy as np
import pytest

from e2pose.core.errors import InputError
from e2pose.sources.video import VideoSource
from helpers.media import BLUE, RED, flat, save, turn_track, write_clip

HALVES = np.concatenate([flat(RED, (48, 32)), flat(BLUE, (48, 32))], axis=1)


def noise(count, size_hw=(48, 64)):
    generator = np.random.default_rng(0)
    return [generator.integers(0, 255, (*size_hw, 3), np.uint8) for _ in range(count)]


def coded(path, images, codec, pixels, **options):
    """A clip with pixels of another kind."""
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=25, options=options)
        video.height, video.width = images[0].shape[:2]
        video.pix_fmt = pixels
        for image in images:
            kind = "rgba" if image.shape[2] == 4 else "rgb24"
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, format=kind)))
        container.mux(video.encode(None))
    return path


def two_tracks(path):
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.height, video.width, video.pix_fmt = 48, 64, "yuv420p"
        sounds = [container.add_stream("aac", rate=48_000, layout="mono") for _ in range(2)]
        for image in noise(25):
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(video.encode(None))
        for sound in sounds:
            wave = av.AudioFrame.from_ndarray(np.zeros((1, 48_000), np.int16), format="s16", layout="mono")
            wave.rate = 48_000
            container.mux(sound.encode(wave))
            container.mux(sound.encode(None))
    return path


def cut(path):
    whole = write_clip(path.with_name("whole.mp4"), noise(50), movflags="+faststart")
    return save(path, whole.read_bytes()[: whole.stat().st_size * 7 // 10])


VARIABLE_S = [0.0, 0.1, 0.15, 0.5, 1.25, 1.3, 2.0]
CLIPS = {
    "variable rate": lambda path: write_clip(path, noise(7), times_s=VARIABLE_S),
    "quarter turn": lambda path: turn_track(write_clip(path, noise(9)), 0, 1, -1, 0),
    "29.97": lambda path: write_clip(path, noise(12), rate=Fraction(30_000, 1001)),
    "odd size": lambda path: coded(path.with_suffix(".mkv"), noise(5, (47, 63)), "ffv1", "bgr0"),
    "10 bit": lambda path: coded(path.with_suffix(".mkv"), noise(6), "ffv1", "yuv420p10le"),
    "no sound": lambda path: write_clip(path, noise(10)),
    "two sound tracks": two_tracks,
    "B-frames": lambda path: coded(path, noise(20), "libx264", "yuv420p", bf="3", g="12", **{"b-pyramid": "normal"}),
    "alpha": lambda path: coded(path.with_suffix(".mov"), [np.dstack([HALVES, HALVES[..., :1]])] * 4, "qtrle", "argb"),
    "truncated": cut,
}


def facts_of_ffprobe(path):
    entries = "stream_side_data=rotation:frame=pts_time,best_effort_timestamp_time"
    command = ["ffprobe", "-v", "quiet", "-select_streams", "v:0", "-show_entries", entries, "-of", "json", str(path)]
    report = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    times_s = [float(frame["best_effort_timestamp_time"]) for frame in report["frames"]]
    turns = [data["rotation"] for data in report["streams"][0].get("side_data_list", []) if "rotation" in data]
    return times_s, turns[0] if turns else 0


def facts_of_packets(path):
    """The same from what the container says of each packet, and the turn from the first frame."""
    times_s = []
    with av.open(str(path)) as container:
        try:
            for packet in container.demux(video=0):
                if packet.pts is not None and packet.size:
                    times_s.append(float(packet.pts * packet.time_base))  # noqa: PERF401 - those before an error count
        except av.FFmpegError:
            times_s.pop()  # of which only a part is there
    with av.open(str(path)) as container:
        return sorted(times_s), next(container.decode(video=0)).rotation


FACTS = {"packets": facts_of_packets, "ffprobe": facts_of_ffprobe}


@pytest.mark.parametrize("teller", FACTS)
@pytest.mark.parametrize("clip", CLIPS)
def test_frames_times_and_turns(tmp_path, clip, teller):
    if teller == "ffprobe" and not shutil.which("ffprobe"):
        pytest.skip("ffprobe is not installed")
    path = CLIPS[clip](tmp_path / "clip.mp4")
    times_s, turn = FACTS[teller](path)
    frames = []
    try:
        with VideoSource(path) as source:
            for frame in source:
                frames.append(frame)  # noqa: PERF402 - those before an error count
    except InputError:
        assert clip == "truncated"
    if clip == "truncated" and teller == "packets":
        times_s = times_s[: len(frames)]  # the decoder may refuse the last one
        assert len(frames) > 25
    assert [frame.time_s for frame in frames] == pytest.approx([time_s - times_s[0] for time_s in times_s], abs=1e-5)
    with av.open(str(path)) as container:
        stored_hw = container.streams.video[0].height, container.streams.video[0].width
    assert turn % 360 == (270 if clip == "quarter turn" else 0)
    assert {frame.size_hw for frame in frames} == {stored_hw[::-1] if turn % 180 else stored_hw}


def test_alpha_is_laid_on_white(tmp_path):
    path = CLIPS["alpha"](tmp_path / "clip.mp4")
    with VideoSource(path) as source:
        image = next(iter(source)).image
    assert image[24, 8].tolist() == list(RED)  # opaque
    assert image[24, 56].tolist() == [255, 255, 255]  # a blue that nobody sees


def test_ten_bits_become_eight(tmp_path):
    grey = [np.full((48, 64, 3), 128, np.uint8)]
    with VideoSource(coded(tmp_path / "a.mkv", grey, "ffv1", "yuv420p10le")) as source:
        assert np.abs(next(iter(source)).image.astype(int) - 128).max() <= 3


@pytest.mark.parametrize("kind", ["tv", "pc"])
def test_full_and_limited_range_give_the_same_colours(tmp_path, kind):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"crf": "5"})
        video.height, video.width = 48, 64
        video.pix_fmt = "yuvj420p" if kind == "pc" else "yuv420p"
        for colour in ((0, 0, 0), (255, 255, 255)):
            container.mux(video.encode(av.VideoFrame.from_ndarray(flat(colour, (48, 64)), format="rgb24")))
        container.mux(video.encode(None))
    with VideoSource(path) as source:
        black, white = (frame.image for frame in source)
    assert black.max() <= 3
    assert white.min() >= 252
