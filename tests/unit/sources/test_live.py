"""LiveSource: reconnecting, delays, notices and closing, without a device or a network."""

import threading
from fractions import Fraction

import pytest

from e2pose.core.errors import InputError
from e2pose.sources.live import LiveSource
from e2pose.sources.open import open_source
from e2pose.sources.prefetch import LatestFrame
from helpers.media import RED, flat, save


class FakeConnection:
    """Yields some images, then ends or fails."""

    rate = Fraction(30)

    def __init__(self, count, error=None):
        self.count, self.error, self.is_closed = count, error, False

    def __iter__(self):
        for _ in range(self.count):
            yield flat(RED)
        if self.error:
            raise self.error

    def close(self):
        self.is_closed = True


def connector(*results):
    """Returns a function that returns the connections, and raises the errors, in order."""
    remaining = list(results)

    def connect():
        result = remaining.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    return connect


def test_delays_double_up_to_10_s_and_start_again_after_an_image():
    delays = []

    class InstantEvent(threading.Event):
        def wait(self, timeout=None):
            delays.append(timeout)
            return self.is_set()

    down = InputError("down")
    connections = [
        FakeConnection(2),
        *(down, down, FakeConnection(0)),
        *(down, down, down, down, FakeConnection(1)),
        FakeConnection(1),
    ]
    source = LiveSource("it", connector(*connections))
    source._closed = InstantEvent()
    frames = iter(source)
    assert [next(frames).index for _ in range(4)] == [0, 1, 2, 3]
    assert delays == [0.5, 1, 2, 4, 8, 10, 10, 10, 0.5]
    frames.close()
    assert all(connection.is_closed for connection in connections if isinstance(connection, FakeConnection))


def test_notices_name_the_source_the_frames_and_the_reason():
    notices = []
    connect = connector(FakeConnection(2, InputError("cable cut")), FakeConnection(1), FakeConnection(1))
    with LiveSource("it", connect, on_notice=notices.append, first_delay_s=0.01) as source:
        for frame in source:
            if frame.index == 3:
                break
    assert notices == [
        "lost connection to 'it' after 2 frames (cable cut); reconnecting",
        "reconnected to 'it'",
        "lost connection to 'it' after 3 frames (closed by the other side); reconnecting",
        "reconnected to 'it'",
    ]


def test_failure_of_the_first_connection_is_an_error():
    with pytest.raises(InputError, match="down"):
        LiveSource("it", connector(InputError("down")))


def test_given_connection_replaces_the_first_connect():
    connection = FakeConnection(1)
    with LiveSource("it", connector(FakeConnection(1)), connection=connection, first_delay_s=0.01) as source:
        frames = iter(source)
        next(frames)
        assert not connection.is_closed
        next(frames)
    assert connection.is_closed


@pytest.mark.parametrize("num_read", [0, 1])
def test_closing_the_source_closes_the_connection(num_read):
    connection = FakeConnection(5)
    with LiveSource("it", connector(connection)) as source:
        frames = iter(source)
        for _ in range(num_read):
            next(frames)
    assert list(frames) == []
    assert connection.is_closed


def test_stop_interrupts_the_delay_before_a_reconnect():
    lost = threading.Event()
    source = LiveSource("it", connector(FakeConnection(1)), on_notice=lambda _: lost.set(), first_delay_s=1000)
    with LatestFrame(source) as newest:
        frames = iter(newest)
        assert next(frames).index == 0
        assert lost.wait(60)
        newest.stop()
        assert list(frames) == []
    newest._thread.join(60)
    assert not newest._thread.is_alive()


def test_live_input_cannot_be_combined_with_others(tmp_path):
    save(tmp_path / "a.png", b"")
    errors = []
    open_source([tmp_path / "a.png", "0", "rtsp://me:secret@camera/1", "screen:"], on_error=errors.append)
    assert [error.message.partition(" is ")[0] for error in errors] == ["'0'", "'rtsp://camera/1'", "'screen:'"]
    assert all("use it as the only input" in error.hint for error in errors)


def test_foreign_exception_counts_as_a_lost_connection():
    notices = []
    connections = [FakeConnection(2, error=ValueError("bad packet")), FakeConnection(1)]
    source = LiveSource("cam", connector(*connections), on_notice=notices.append, first_delay_s=0)
    with source:
        frames = iter(source)
        assert [next(frames).index for _ in range(3)] == [0, 1, 2]
    assert "ValueError: bad packet" in notices[0]
    assert notices[1] == "reconnected to 'cam'"
