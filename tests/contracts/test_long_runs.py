"""What long runs need: reading, looking and writing at the same time, in order, in memory that does not grow."""

import json
import os
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import e2pose
from e2pose.core.frame import Frame, Origin
from e2pose.core.poses import Poses
from e2pose.core.schema import load_schema
from e2pose.inference.run import run
from e2pose.sinks.open import open_sink
from e2pose.sinks.tee import TeeSink
from e2pose.sinks.threaded import ThreadedSink
from e2pose.sources.base import SourceInfo
from e2pose.sources.open import open_source
from e2pose.sources.prefetch import Prefetch
from helpers.media import decode_video
from helpers.synthetic import write_video

STEP_S = 0.02
NOBODY = Poses.empty(load_schema("coco"))


class SlowSource:
    info = SourceInfo(30)

    def __iter__(self):
        for index in range(30):
            time.sleep(STEP_S)
            yield Frame(np.zeros((8, 8, 3), np.uint8), Origin("slow", None, Fraction(25)), index)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class SlowSink:
    def __init__(self):
        self.written = []

    def write(self, frame, poses):
        time.sleep(STEP_S)
        self.written.append(frame.index)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def test_reading_looking_and_writing_overlap_and_the_order_is_kept():
    def slow_estimator(image):
        time.sleep(STEP_S)
        return NOBODY

    sink = SlowSink()
    summary = run(slow_estimator, Prefetch(SlowSource()), sinks=[ThreadedSink(sink)])
    assert sink.written == list(range(30))
    assert summary.wall_s < 0.7 * 3 * 30 * STEP_S


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells the memory of a process like this")
@pytest.mark.parametrize("frames", [800, pytest.param(20_000, marks=pytest.mark.long)])
def test_memory_does_not_grow(tmp_path, tiny_model, frames):
    """Resident memory grows by less than 20 MB over the last three quarters of a run.

    Before that libraries fill their buffers once, which counts for nothing here. If frames were kept, these three
    quarters would take 250 MB in the long video, and 40 MB in the short one.
    """
    video = write_video(tmp_path / "in.mp4", frames, 25, (64, 88) if frames > 10_000 else (128, 176))
    estimator = e2pose.load(tiny_model, threads=1)
    outputs = [tmp_path / name for name in ("a.mp4", "a.jsonl", "a.json", "a.csv")]
    if frames > 10_000:  # its library takes what it needs with the first thousand rows
        outputs.append(tmp_path / "a.parquet")
    sinks = TeeSink([open_sink(output, draw=lambda frame, poses: 255 - frame.image) for output in outputs])
    sizes = []

    def note(frame, poses):
        if frame.index % 50 == 0:
            sizes.append(resident_bytes())

    summary = run(estimator, Prefetch(open_source(video)), sinks=[ThreadedSink(sinks)], on_frame=note)
    assert summary.frames == frames
    warm = sizes[len(sizes) // 4]  # when every buffer has been used
    assert max(sizes) - warm < 20e6
    with (tmp_path / "a.jsonl").open() as lines:
        assert [json.loads(line)["frame"] for line in lines] == list(range(frames))
    if frames < 10_000:
        assert len(decode_video(tmp_path / "a.mp4")[0]) == frames
