"""ThreadedSink: order, depth and errors."""

import threading

import pytest

from e2pose.core.errors import OptionError, OutputError
from e2pose.sinks.threaded import ThreadedSink
from helpers.media import some_persons, video_frame, write_frames

TIMEOUT_S = 60


class ListSink:
    """Collects the indices of frames once `gate` is open, and fails at a given frame."""

    def __init__(self, fails_at=None):
        self.frames, self.exits, self.fails_at = [], [], fails_at
        self.thread = None
        self.gate = threading.Event()
        self.gate.set()

    def write(self, frame, poses):
        assert self.gate.wait(TIMEOUT_S)
        if frame.index == self.fails_at:
            raise OutputError(f"full at {frame.index}", "make room")
        self.frames.append(frame.index)
        self.thread = threading.current_thread()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.exits.append(str(error))


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("depth", [1, 4])
def test_order_is_kept_in_another_thread(depth):
    sink = ListSink()
    write_frames(ThreadedSink(sink, depth), [video_frame(index) for index in range(50)])
    assert sink.frames == list(range(50))
    assert sink.exits == ["None"]
    assert sink.thread is not threading.current_thread()


def test_write_waits_for_a_slot_rather_than_for_the_sink():
    sink = ListSink()
    sink.gate.clear()
    written = threading.Semaphore(0)

    def write_more():
        for index in (3, 4, 5):
            threaded.write(video_frame(index), some_persons())
            written.release()

    with ThreadedSink(sink, 3) as threaded:
        for index in range(3):
            threaded.write(video_frame(index), some_persons())
        assert sink.frames == []
        thread = threading.Thread(target=write_more)
        thread.start()
        assert not written.acquire(timeout=0.1)  # all slots are in use
        sink.gate.set()
        for _ in range(3):
            assert written.acquire(timeout=TIMEOUT_S)
        thread.join(TIMEOUT_S)
    assert sink.frames == list(range(6))


@pytest.mark.parametrize("fails_at", [0, 3, 5])
def test_error_of_the_sink_is_raised_in_the_calling_thread(fails_at):
    sink = ListSink(fails_at=fails_at)
    with pytest.raises(OutputError, match=f"full at {fails_at}"):
        write_frames(ThreadedSink(sink), [video_frame(index) for index in range(6)])
    assert sink.frames == list(range(fails_at))
    assert sink.exits == [f"full at {fails_at}"]


def test_error_of_the_caller_is_passed_to_the_sink_after_all_frames():
    sink = ListSink()
    with pytest.raises(ZeroDivisionError), ThreadedSink(sink) as threaded:
        for index in range(3):
            threaded.write(video_frame(index), some_persons())
        raise ZeroDivisionError("division")
    assert (sink.frames, sink.exits) == ([0, 1, 2], ["division"])


def test_depth_below_1_is_rejected():
    with pytest.raises(OptionError, match="at least 1, not 0"):
        ThreadedSink(ListSink(), 0)
