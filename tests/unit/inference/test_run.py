import threading
from time import sleep

import numpy as np
import pytest

from e2pose.core.errors import OptionError
from e2pose.core.frame import Frame, Origin
from e2pose.inference.estimator import Estimator
from e2pose.inference.run import run
from e2pose.sources.base import SourceInfo


class Diary:
    """A context manager that notes what happens to it."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name, self.notes = name, notes

    def __enter__(self):
        self.notes.append(f"open {self.name}")
        return self

    def __exit__(self, kind, error, trace) -> None:
        self.notes.append(f"close {self.name}" + (f" after {kind.__name__}" if kind else ""))


class ListSource(Diary):
    def __init__(self, images, notes) -> None:
        super().__init__("source", notes)
        self.images, self.info = images, SourceInfo(len(images))

    def __iter__(self):
        for index, image in enumerate(self.images):
            yield Frame(image, Origin("list"), index)


class ListSink(Diary):
    def __init__(self, name, notes) -> None:
        super().__init__(name, notes)
        self.written = []

    def write(self, frame, poses) -> None:
        self.written.append((frame.index, len(poses)))


@pytest.fixture
def notes() -> list[str]:
    return []


def test_every_frame_reaches_every_sink_in_order(runtime, picture, notes) -> None:
    source, first, second = (
        ListSource([picture(2), picture(0), picture(1)], notes),
        ListSink("first", notes),
        ListSink("second", notes),
    )
    told = []
    summary = run(
        Estimator(runtime), source, sinks=[first, second], on_frame=lambda frame, poses: told.append(frame.index)
    )
    assert first.written == second.written == [(0, 2), (1, 0), (2, 1)]
    assert told == [0, 1, 2]
    assert (summary.frames, summary.persons) == (3, 3)
    assert 0 < summary.estimator_s < summary.wall_s
    assert notes == ["open source", "open first", "open second", "close second", "close first", "close source"]


def test_stages_work_one_after_the_other(runtime, picture, notes) -> None:
    sink = ListSink("sink", notes)
    seen = []

    def best_two(frame, poses):
        return poses[:2]

    def note(frame, poses):
        seen.append((frame.index, len(poses)))
        return poses[1:]

    summary = run(Estimator(runtime), ListSource([picture(5)], notes), [best_two, note], [sink])
    assert seen == [(0, 2)]
    assert sink.written == [(0, 1)]
    assert summary.persons == 1


def test_empty_source(runtime, notes) -> None:
    sink = ListSink("sink", notes)
    summary = run(Estimator(runtime), ListSource([], notes), sinks=[sink])
    assert (summary.frames, summary.persons, summary.estimator_s, sink.written) == (0, 0, 0, [])


def test_sinks_are_told_of_an_error(runtime, picture, notes) -> None:
    def fail(frame, poses):
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        run(Estimator(runtime), ListSource([picture(1)], notes), [fail], [ListSink("sink", notes)])
    assert notes[-2:] == ["close sink after RuntimeError", "close source after RuntimeError"]


def test_any_function_can_be_the_estimator(runtime, picture, notes) -> None:
    poses = Estimator(runtime)(picture(4))
    sink = ListSink("sink", notes)
    run(lambda image: poses, ListSource([np.zeros((5, 5, 3), np.uint8)], notes), sinks=[sink])
    assert sink.written == [(0, 4)]


@pytest.mark.parametrize("frames", [0, 1, 2, 6])
def test_several_frames_at_once_come_out_in_order(runtime, picture, notes, frames) -> None:
    images = [picture(index) for index in range(frames)]
    find = Estimator(runtime)

    def slowest_first(image):
        poses = find(image)
        sleep(0.01 * (frames - len(poses)))
        return poses

    sink = ListSink("sink", notes)
    summary = run(slowest_first, ListSource(images, notes), sinks=[sink], num_parallel=3)
    assert sink.written == [(index, index) for index in range(frames)]
    assert summary.frames == frames


def test_frames_are_really_looked_at_at_once(runtime, picture, notes) -> None:
    poses, meeting = Estimator(runtime)(picture(1)), threading.Barrier(3, timeout=10)

    def wait_for_the_others(image):
        meeting.wait()
        return poses

    sink = ListSink("sink", notes)
    run(wait_for_the_others, ListSource([picture(1)] * 6, notes), sinks=[sink], num_parallel=3)
    assert len(sink.written) == 6


def test_an_error_comes_after_the_frames_before_it(runtime, picture, notes) -> None:
    poses = Estimator(runtime)(picture(1))

    def fail_at_white(image):
        if image.all():
            raise RuntimeError("boom")
        return poses

    images = [np.full((5, 5, 3), 255 * (index == 3), np.uint8) for index in range(5)]
    sink = ListSink("sink", notes)
    with pytest.raises(RuntimeError, match="boom"):
        run(fail_at_white, ListSource(images, notes), sinks=[sink], num_parallel=2)
    assert [index for index, _ in sink.written] == [0, 1, 2]
    assert notes[-2:] == ["close sink after RuntimeError", "close source after RuntimeError"]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("e2pose-estimator")]


def test_no_frame_at_once_is_refused(runtime, notes) -> None:
    with pytest.raises(OptionError, match="'num_parallel' must be at least 1, not 0"):
        run(Estimator(runtime), ListSource([], notes), num_parallel=0)


@pytest.mark.parametrize("count", [0, 1, 3, 10])
def test_an_error_of_the_source_comes_after_the_frames_before_it(runtime, picture, notes, count) -> None:
    class CutSource(ListSource):
        def __iter__(self):
            yield from super().__iter__()
            raise OptionError("cut")

    sink = ListSink("sink", notes)
    with pytest.raises(OptionError, match="cut"):
        run(Estimator(runtime), CutSource([picture(1)] * count, notes), sinks=[sink], num_parallel=3)
    assert sink.written == [(index, 1) for index in range(count)]


def test_a_sink_that_fails_ends_the_frames_in_flight(runtime, picture, notes) -> None:
    find, looked = Estimator(runtime), []

    def note(image):
        looked.append(1)
        return find(image)

    def fail(frame, poses):
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        run(note, ListSource([picture(1)] * 100, notes), [fail], [ListSink("sink", notes)], num_parallel=2)
    assert len(looked) <= 3
    assert notes[-2:] == ["close sink after RuntimeError", "close source after RuntimeError"]
