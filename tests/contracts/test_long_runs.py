"""Long runs: reading, estimating and writing overlap, keep the order, and use constant memory."""

import json
import os
import threading
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

NO_PERSONS = Poses.empty(load_schema("coco"))


class BarrierSource:
    """A source of 30 frames that meets the estimator and the sink before it yields a frame."""

    info = SourceInfo(30)

    def __init__(self, meet):
        self.meet = meet

    def __iter__(self):
        for index in range(30):
            self.meet(index)
            yield Frame(np.full((8, 8, 3), index, np.uint8), Origin("source", None, Fraction(25)), index)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class BarrierSink:
    def __init__(self, meet):
        self.meet, self.written = meet, []

    def write(self, frame, poses):
        self.meet(frame.index + 2)
        self.written.append(frame.index)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def test_reading_estimating_and_writing_overlap_in_order():
    """A barrier lets frame n be read only while frame n - 1 is estimated and frame n - 2 is written."""
    barrier = threading.Barrier(3, timeout=30)

    def meet(step):
        if 2 <= step < 30:  # all three are at work
            barrier.wait()

    def estimate(image):
        meet(int(image[0, 0, 0]) + 1)
        return NO_PERSONS

    sink = BarrierSink(meet)
    run(estimate, Prefetch(BarrierSource(meet)), sinks=[ThreadedSink(sink)])
    assert sink.written == list(range(30))


def read_resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="requires /proc of Linux")
@pytest.mark.parametrize("frames", [800, pytest.param(20_000, marks=pytest.mark.long)])
def test_memory_does_not_grow(tmp_path, tiny_model, frames):
    """Resident memory grows by less than 20 MB over the last three quarters of a run.

    Libraries fill their buffers in the first quarter. If frames were kept, the last three quarters would take 250 MB
    for the long video, and 40 MB for the short one.
    """
    video = write_video(tmp_path / "in.mp4", frames, 25, (64, 88) if frames > 10_000 else (128, 176))
    estimator = e2pose.load(tiny_model, threads=1)
    outputs = [tmp_path / name for name in ("a.mp4", "a.jsonl", "a.json", "a.csv")]
    if frames > 10_000:  # its library fills its buffers within the first thousand rows
        outputs.append(tmp_path / "a.parquet")
    sinks = TeeSink([open_sink(output, draw=lambda frame, poses: 255 - frame.image) for output in outputs])
    sizes = []

    def record_memory(frame, poses):
        if frame.index % 50 == 0:
            sizes.append(read_resident_bytes())

    summary = run(estimator, Prefetch(open_source(video)), sinks=[ThreadedSink(sinks)], on_frame=record_memory)
    assert summary.frames == frames
    warm = sizes[len(sizes) // 4]  # all buffers are filled
    assert max(sizes) - warm < 20e6
    with (tmp_path / "a.jsonl").open() as lines:
        assert [json.loads(line)["frame"] for line in lines] == list(range(frames))
    if frames < 10_000:
        assert len(decode_video(tmp_path / "a.mp4")[0]) == frames
