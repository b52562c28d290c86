"""Reading ahead changes nothing but the time it takes."""

import threading
import time
from itertools import count

import numpy as np
import pytest

from e2pose.core.errors import InputError, OptionError
from e2pose.core.frame import Frame
from e2pose.sources.prefetch import Prefetch


class Counting:
    """A source of numbered frames that fails, or waits, if it is told to."""

    def __init__(self, frames, fails_at=None):
        self.frame_count = frames
        self.fails_at = fails_at
        self.given = 0
        self.entered = self.left = 0

    def __iter__(self):
        for index in range(self.frame_count) if self.frame_count is not None else count():
            if index == self.fails_at:
                raise InputError("broken", "mend it")
            self.given += 1
            yield Frame(np.zeros((1, 1, 3), np.uint8), index=index)

    def __enter__(self):
        self.entered += 1
        return self

    def __exit__(self, kind, error, trace):
        self.left += 1


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


@pytest.mark.parametrize("depth", [1, 4, 100])
def test_all_frames_come_in_order(depth):
    source = Counting(50)
    with Prefetch(source, depth) as ahead:
        assert ahead.frame_count == 50
        assert [frame.index for frame in ahead] == list(range(50))
    assert (source.entered, source.left) == (1, 1)


def test_it_reads_ahead_but_not_too_far():
    source = Counting(None)
    with Prefetch(source, 3) as ahead:
        frames = iter(ahead)
        next(frames)
        deadline = time.monotonic() + 5
        while source.given < 5 and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(0.05)
        assert source.given == 5  # one taken, three that wait, one in the hand


def test_an_error_comes_after_the_frames_before_it():
    seen = []
    with pytest.raises(InputError, match="broken"), Prefetch(Counting(9, fails_at=5)) as ahead:
        for frame in ahead:
            seen.append(frame.index)  # noqa: PERF401 - a comprehension would lose them to the error
    assert seen == [0, 1, 2, 3, 4]


def test_breaking_off_ends_the_thread():
    source = Counting(None)
    with Prefetch(source, 2) as ahead:
        for frame in ahead:
            if frame.index == 3:
                break
    assert source.left == 1


def test_an_error_of_the_consumer_ends_the_thread():
    source = Counting(None)
    with pytest.raises(ZeroDivisionError), Prefetch(source) as ahead:
        for _ in ahead:
            raise ZeroDivisionError
    assert source.left == 1


def test_leaving_without_reading():
    with Prefetch(Counting(3)) as ahead:
        assert ahead.frame_count == 3


def test_a_depth_of_nothing():
    with pytest.raises(OptionError, match="at least 1, not 0"):
        Prefetch(Counting(3), 0)
