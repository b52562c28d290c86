"""Reading ahead changes nothing but the time it takes."""

import threading
import time
from itertools import count

import numpy as np
import pytest

from e2pose.core.errors import InputError, OptionError
from e2pose.core.frame import Frame
from e2pose.sources.base import SourceInfo
from e2pose.sources.prefetch import LatestFrame, Prefetch


class Counting:
    """A source of numbered frames that fails, or waits, if it is told to."""

    def __init__(self, frames, fails_at=None):
        self.info = SourceInfo(frames)
        self.fails_at = fails_at
        self.given = 0
        self.entered = self.left = 0

    def __iter__(self):
        for index in range(self.info.frame_count) if self.info.frame_count is not None else count():
            if index == self.fails_at:
                raise InputError("broken", "mend it")
            self.given += 1
            yield Frame(np.zeros((1, 1, 3), np.uint8), index=index)

    def __enter__(self):
        self.entered += 1
        return self

    def __exit__(self, kind, error, trace):
        self.left += 1


class Waiting(Counting):
    """A source that gives a frame for each one that it is allowed to."""

    def __init__(self):
        super().__init__(None)
        self.released = threading.Event()
        self.allowed = threading.Semaphore(0)

    def __iter__(self):
        for frame in super().__iter__():
            while not self.allowed.acquire(timeout=0.01):
                if self.left or self.released.is_set():
                    return
            yield frame


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


@pytest.mark.parametrize("depth", [1, 4, 100])
def test_all_frames_come_in_order(depth):
    source = Counting(50)
    with Prefetch(source, depth) as ahead:
        assert ahead.info.frame_count == 50
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
        assert ahead.info.frame_count == 3


def test_a_depth_of_nothing():
    with pytest.raises(OptionError, match="at least 1, not 0"):
        Prefetch(Counting(3), 0)


def test_it_is_read_once():
    with Prefetch(Counting(3)) as ahead:
        assert len(list(ahead)) == 3
        with pytest.raises(InputError, match="taken already"):
            list(ahead)


def test_stopping_ends_it_after_the_frame_in_hand():
    source = Counting(None)
    with Prefetch(source) as ahead:
        seen = 0
        for frame in ahead:
            seen = frame.index
            if frame.index == 5:
                ahead.stop()
    assert seen == 5
    assert source.left == 1


@pytest.mark.parametrize("kind", [Prefetch, LatestFrame])
def test_stopping_wakes_a_consumer_that_waits(kind):
    source = Waiting()
    with kind(source) as ahead:
        timer = threading.Timer(0.1, ahead.stop)
        timer.start()
        if kind is Prefetch:  # a file ends its wait by itself, a live source when it is told
            source.released.set()
        assert [frame.index for frame in ahead] == []
        timer.join()


def test_the_newest_frame_is_given_and_the_dropped_ones_are_counted():
    source = Waiting()
    with LatestFrame(source) as newest:
        frames = iter(newest)
        source.allowed.release()
        assert next(frames).index == 0
        for _ in range(10):
            source.allowed.release()
        deadline = time.monotonic() + 5
        while source.given < 12 and time.monotonic() < deadline:
            time.sleep(0.005)
        assert next(frames).index == 10
        assert newest.num_dropped == 9
    assert source.left


def test_the_newest_frame_of_a_source_that_ends_is_not_lost():
    with LatestFrame(Counting(20)) as newest:
        time.sleep(0.05)
        seen = [frame.index for frame in newest]
    assert seen == sorted(set(seen))
    assert seen[-1] == 19
    assert newest.num_dropped == 20 - len(seen)


def test_an_error_of_a_live_source_comes_after_its_newest_frame():
    seen = []
    with pytest.raises(InputError, match="broken"), LatestFrame(Counting(9, fails_at=5)) as newest:
        for frame in newest:
            seen.append(frame.index)  # noqa: PERF401 - a comprehension would lose them to the error
    assert seen[-1] == 4


@pytest.mark.parametrize("kind", [Prefetch, LatestFrame])
def test_a_consumer_that_waits_may_look_around_and_stop_it(kind):
    source, threads = Waiting(), []

    def look_around():
        threads.append(threading.current_thread())
        if len(threads) == 3:
            ahead.stop()
            source.released.set()

    with kind(source) as ahead:
        ahead.on_wait = look_around
        source.allowed.release()
        assert not ahead.is_stopped
        assert [frame.index for frame in ahead] == [0]
        assert ahead.is_stopped
    assert threads == [threading.main_thread()] * 3


def test_nobody_looks_around_while_frames_are_there():
    with Prefetch(Counting(5)) as ahead:
        ahead.on_wait = lambda: time.sleep(0.001)
        assert [frame.index for frame in ahead] == list(range(5))
