import itertools
import threading

import numpy as np
import pytest

from e2pose.core.errors import OptionError
from e2pose.core.frame import Frame, Origin
from e2pose.inference.estimator import Estimator
from e2pose.inference.run import RunSummary, run
from e2pose.sources.base import SourceInfo


class Recorder:
    """A context manager that records when it is opened and closed."""

    def __init__(self, name: str, events: list[str]) -> None:
        self.name, self.events = name, events

    def __enter__(self):
        self.events.append(f"open {self.name}")
        return self

    def __exit__(self, kind, error, trace) -> None:
        self.events.append(f"close {self.name}" + (f" after {kind.__name__}" if kind else ""))


class ListSource(Recorder):
    def __init__(self, images, events) -> None:
        super().__init__("source", events)
        self.images, self.info = images, SourceInfo(len(images))

    def __iter__(self):
        for index, image in enumerate(self.images):
            yield Frame(image, Origin("list"), index)


class ListSink(Recorder):
    def __init__(self, name, events) -> None:
        super().__init__(name, events)
        self.written = []

    def write(self, frame, poses) -> None:
        self.written.append((frame.index, len(poses)))


@pytest.fixture
def events() -> list[str]:
    return []


def test_every_frame_reaches_every_sink_in_order(runtime, make_image, events, monkeypatch) -> None:
    source, first, second = (
        ListSource([make_image(2), make_image(0), make_image(1)], events),
        ListSink("first", events),
        ListSink("second", events),
    )
    reported, clock = [], itertools.count()
    monkeypatch.setattr("e2pose.inference.run.perf_counter", lambda: next(clock))
    summary = run(
        Estimator(runtime), source, sinks=[first, second], on_frame=lambda frame, poses: reported.append(frame.index)
    )
    assert first.written == second.written == [(0, 2), (1, 0), (2, 1)]
    assert reported == [0, 1, 2]
    assert summary == RunSummary(frames=3, persons=3, estimator_s=3, wall_s=7)  # the clock ticks with every reading
    assert events == ["open source", "open first", "open second", "close second", "close first", "close source"]


def test_stages_run_in_order(runtime, make_image, events) -> None:
    sink = ListSink("sink", events)
    received = []

    def best_two(frame, poses):
        return poses[:2]

    def record(frame, poses):
        received.append((frame.index, len(poses)))
        return poses[1:]

    summary = run(Estimator(runtime), ListSource([make_image(5)], events), [best_two, record], [sink])
    assert received == [(0, 2)]
    assert sink.written == [(0, 1)]
    assert summary.persons == 1


def test_empty_source_writes_nothing(runtime, events) -> None:
    sink = ListSink("sink", events)
    summary = run(Estimator(runtime), ListSource([], events), sinks=[sink])
    assert (summary.frames, summary.persons, summary.estimator_s, sink.written) == (0, 0, 0, [])


def test_error_in_a_stage_reaches_sinks_and_source(runtime, make_image, events) -> None:
    def fail(frame, poses):
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        run(Estimator(runtime), ListSource([make_image(1)], events), [fail], [ListSink("sink", events)])
    assert events[-2:] == ["close sink after RuntimeError", "close source after RuntimeError"]


def test_any_function_may_be_the_estimator(runtime, make_image, events) -> None:
    poses = Estimator(runtime)(make_image(4))
    sink = ListSink("sink", events)
    run(lambda image: poses, ListSource([np.zeros((5, 5, 3), np.uint8)], events), sinks=[sink])
    assert sink.written == [(0, 4)]


@pytest.mark.parametrize("frames", [0, 1, 2, 6])
def test_parallel_frames_are_written_in_order(runtime, make_image, events, frames) -> None:
    images = [make_image(index) for index in range(frames)]
    estimator, second_is_done = Estimator(runtime), threading.Event()

    def finish_the_second_frame_first(image):
        poses = estimator(image)
        if len(poses) == 0 and frames > 1:
            assert second_is_done.wait(60)
        if len(poses) == 1:
            second_is_done.set()
        return poses

    sink = ListSink("sink", events)
    summary = run(finish_the_second_frame_first, ListSource(images, events), sinks=[sink], num_parallel=3)
    assert sink.written == [(index, index) for index in range(frames)]
    assert summary.frames == frames


def test_frames_are_processed_in_parallel(runtime, make_image, events) -> None:
    poses, meeting = Estimator(runtime)(make_image(1)), threading.Barrier(3, timeout=60)

    def wait_for_other_frames(image):
        meeting.wait()
        return poses

    sink = ListSink("sink", events)
    run(wait_for_other_frames, ListSource([make_image(1)] * 6, events), sinks=[sink], num_parallel=3)
    assert len(sink.written) == 6


def test_error_is_raised_after_earlier_frames_are_written(runtime, make_image, events) -> None:
    poses = Estimator(runtime)(make_image(1))

    def fail_on_white(image):
        if image.all():
            raise RuntimeError("boom")
        return poses

    images = [np.full((5, 5, 3), 255 * (index == 3), np.uint8) for index in range(5)]
    sink = ListSink("sink", events)
    with pytest.raises(RuntimeError, match="boom"):
        run(fail_on_white, ListSource(images, events), sinks=[sink], num_parallel=2)
    assert [index for index, _ in sink.written] == [0, 1, 2]
    assert events[-2:] == ["close sink after RuntimeError", "close source after RuntimeError"]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("e2pose-estimator")]


def test_num_parallel_below_one_is_rejected(runtime, events) -> None:
    with pytest.raises(OptionError, match="'num_parallel' must be at least 1, not 0"):
        run(Estimator(runtime), ListSource([], events), num_parallel=0)


@pytest.mark.parametrize("count", [0, 1, 3, 10])
def test_error_of_the_source_is_raised_after_earlier_frames_are_written(runtime, make_image, events, count) -> None:
    class FailingSource(ListSource):
        def __iter__(self):
            yield from super().__iter__()
            raise OptionError("boom")

    sink = ListSink("sink", events)
    with pytest.raises(OptionError, match="boom"):
        run(Estimator(runtime), FailingSource([make_image(1)] * count, events), sinks=[sink], num_parallel=3)
    assert sink.written == [(index, 1) for index in range(count)]


def test_error_in_a_stage_stops_reading(runtime, make_image, events) -> None:
    estimator, calls = Estimator(runtime), []

    def count(image):
        calls.append(1)
        return estimator(image)

    def fail(frame, poses):
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        run(count, ListSource([make_image(1)] * 100, events), [fail], [ListSink("sink", events)], num_parallel=2)
    assert len(calls) <= 3
    assert events[-2:] == ["close sink after RuntimeError", "close source after RuntimeError"]
