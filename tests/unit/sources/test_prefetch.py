"""Prefetch and LatestFrame: order, errors, depth, dropped frames, and stopping."""

import threading
from itertools import count

import numpy as np
import pytest

from e2pose.core.errors import InputError, OptionError
from e2pose.core.frame import Frame
from e2pose.sources.base import SourceInfo
from e2pose.sources.prefetch import LatestFrame, Prefetch

TIMEOUT_S = 60


class CountingSource:
    """Yields numbered frames, endless if `frames` is None, and fails at a given frame."""

    def __init__(self, frames, fails_at=None):
        self.info = SourceInfo(frames)
        self.fails_at = fails_at
        self.num_yielded = 0
        self.changed = threading.Condition()
        self.entered = self.exited = 0

    def __iter__(self):
        for index in range(self.info.frame_count) if self.info.frame_count is not None else count():
            if index == self.fails_at:
                raise InputError("broken", "mend it")
            with self.changed:
                self.num_yielded += 1
                self.changed.notify_all()
            yield Frame(np.zeros((1, 1, 3), np.uint8), index=index)

    def wait_for_frames(self, number):
        """Waits until this many frames were requested."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.num_yielded >= number, TIMEOUT_S)

    def __enter__(self):
        self.entered += 1
        return self

    def __exit__(self, kind, error, trace):
        self.exited += 1


class GatedSource(CountingSource):
    """Yields one frame for each `allowed.release()`, until it is exited or released."""

    def __init__(self):
        super().__init__(None)
        self.released = threading.Event()
        self.allowed = threading.Semaphore(0)

    def __iter__(self):
        for frame in super().__iter__():
            while not self.allowed.acquire(timeout=0.01):
                if self.exited or self.released.is_set():
                    return
            yield frame


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(TIMEOUT_S)
        assert not thread.is_alive()


@pytest.mark.parametrize("depth", [1, 4, 100])
def test_order_is_kept(depth):
    source = CountingSource(50)
    with Prefetch(source, depth) as ahead:
        assert ahead.info.frame_count == 50
        assert [frame.index for frame in ahead] == list(range(50))
    assert (source.entered, source.exited) == (1, 1)


def test_reads_ahead_up_to_its_depth():
    source = CountingSource(None)
    with Prefetch(source, 3) as ahead:
        for num_consumed, _ in enumerate(ahead, start=1):
            source.wait_for_frames(num_consumed + 4)  # three that wait and one that the thread holds
            assert source.num_yielded == num_consumed + 4
            if num_consumed == 20:
                break


@pytest.mark.parametrize("wrapper", [Prefetch, LatestFrame])
def test_error_is_raised_after_the_frames_before_it(wrapper):
    indices = []
    with pytest.raises(InputError, match="broken"), wrapper(CountingSource(9, fails_at=5)) as ahead:
        for frame in ahead:
            indices.append(frame.index)  # noqa: PERF401 - a comprehension would lose them to the error
    assert indices[-1] == 4
    assert wrapper is LatestFrame or indices == [0, 1, 2, 3, 4]


def test_break_stops_the_thread():
    source = CountingSource(None)
    with Prefetch(source, 2) as ahead:
        for frame in ahead:
            if frame.index == 3:
                break
    assert source.exited == 1


def test_error_of_the_consumer_stops_the_thread():
    source = CountingSource(None)
    with pytest.raises(ZeroDivisionError), Prefetch(source) as ahead:
        for _ in ahead:
            raise ZeroDivisionError
    assert source.exited == 1


def test_source_may_be_exited_without_iteration():
    source = CountingSource(3)
    with Prefetch(source) as ahead:
        assert ahead.info.frame_count == 3
    assert (source.num_yielded, source.exited) == (0, 1)


def test_depth_below_1_is_rejected():
    with pytest.raises(OptionError, match="at least 1, not 0"):
        Prefetch(CountingSource(3), 0)


def test_second_iteration_is_an_error():
    with Prefetch(CountingSource(3)) as ahead:
        assert len(list(ahead)) == 3
        with pytest.raises(InputError, match="can be iterated only once"):
            list(ahead)


def test_stop_ends_the_iteration_after_the_current_frame():
    source = CountingSource(None)
    with Prefetch(source) as ahead:
        last = 0
        for frame in ahead:
            last = frame.index
            if frame.index == 5:
                ahead.stop()
    assert last == 5
    assert source.exited == 1


@pytest.mark.parametrize("wrapper", [Prefetch, LatestFrame])
def test_stop_wakes_a_waiting_consumer(wrapper):
    source = GatedSource()
    with wrapper(source) as ahead:

        def stop():
            source.wait_for_frames(1)  # the consumer waits for a frame that does not arrive
            ahead.stop()

        thread = threading.Thread(target=stop)
        thread.start()
        if wrapper is Prefetch:  # which does not interrupt the other source
            source.released.set()
        assert [frame.index for frame in ahead] == []
        thread.join(TIMEOUT_S)


def test_latest_frame_is_yielded_and_dropped_frames_are_counted():
    source = GatedSource()
    with LatestFrame(source) as newest:
        frames = iter(newest)
        source.allowed.release()
        assert next(frames).index == 0
        for _ in range(10):
            source.allowed.release()
        source.wait_for_frames(12)
        assert next(frames).index == 10
        assert newest.num_dropped == 9
    assert source.exited


def test_latest_frame_yields_the_last_frame_of_a_source_that_ends():
    with LatestFrame(CountingSource(20)) as newest:
        indices = [frame.index for frame in newest]
    assert indices == sorted(set(indices))
    assert indices[-1] == 19
    assert newest.num_dropped == 20 - len(indices)


@pytest.mark.parametrize("wrapper", [Prefetch, LatestFrame])
def test_on_wait_is_called_in_the_consumer_thread_and_may_stop(wrapper):
    source, threads = GatedSource(), []

    def on_wait():
        threads.append(threading.current_thread())
        if len(threads) == 3:
            ahead.stop()
            source.released.set()

    with wrapper(source) as ahead:
        ahead.on_wait = on_wait
        source.allowed.release()
        assert not ahead.is_stopped
        assert [frame.index for frame in ahead] == [0]
        assert ahead.is_stopped
    assert threads == [threading.main_thread()] * 3


def test_on_wait_does_not_change_the_frames():
    with Prefetch(CountingSource(5)) as ahead:
        ahead.on_wait = lambda: None
        assert [frame.index for frame in ahead] == list(range(5))
