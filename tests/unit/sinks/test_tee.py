"""TeeSink: a failed sink is closed, reported and skipped, and the others continue."""

import av
import cv2
import pytest

from e2pose.core.errors import InputError, OutputError
from e2pose.sinks.open import open_sink
from e2pose.sinks.tee import TeeSink
from helpers.media import draw_nothing, files_in, some_persons, video_frame, write_frames


class ListSink:
    """Collects the indices of frames, and fails at a given frame or when it is exited."""

    def __init__(self, fails_at=None, fails_at_exit=False, error=None, exit_error=None):
        self.frames, self.exits = [], []
        self.fails_at, self.fails_at_exit = fails_at, fails_at_exit
        self.error, self.exit_error = error, exit_error

    def write(self, frame, poses):
        if frame.index == self.fails_at:
            raise self.error or OutputError(f"full at {frame.index}", "make room")
        self.frames.append(frame.index)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.exits.append((kind, str(error)))
        if self.exit_error is not None:
            raise self.exit_error
        if self.fails_at_exit:
            raise OutputError("full at the end", "make room")


def write_six(sink):
    write_frames(sink, [video_frame(index) for index in range(6)], some_persons())


def test_failed_sink_does_not_stop_the_others():
    good, bad, errors = ListSink(), ListSink(fails_at=2), []
    sink = TeeSink([bad, good], ["bad", "good"], on_error=errors.append)
    write_six(sink)
    assert sink.failed == {"bad"}
    assert good.frames == [0, 1, 2, 3, 4, 5]
    assert (bad.frames, bad.exits) == ([0, 1], [(OutputError, "full at 2")])
    assert good.exits == [(None, "None")]
    assert [error.message for error in errors] == ["full at 2"]


def test_failure_of_the_last_sink_stops_the_run():
    first, last, errors = ListSink(fails_at=1), ListSink(fails_at=3), []
    with pytest.raises(OutputError, match="full at 3"):
        write_six(TeeSink([first, last], on_error=errors.append))
    assert [error.message for error in errors] == ["full at 1"]
    assert last.exits == [(OutputError, "full at 3")]


def test_first_failure_stops_the_run_without_a_handler_and_every_sink_is_exited():
    good, bad = ListSink(), ListSink(fails_at=2)
    with pytest.raises(OutputError, match="full at 2"):
        write_six(TeeSink([bad, good]))
    assert good.exits == [(OutputError, "full at 2")]


def test_failure_at_exit_is_reported_and_the_others_are_exited():
    good, bad, errors = ListSink(), ListSink(fails_at_exit=True), []
    sink = TeeSink([good, bad], ["good", "bad"], on_error=errors.append)
    write_six(sink)
    assert sink.failed == {"bad"}
    assert good.exits == [(None, "None")]
    assert [error.message for error in errors] == ["full at the end"]


def test_failure_at_entry_is_reported_and_the_others_continue(tmp_path):
    bad, errors = open_sink(tmp_path / "a.jsonl", draw=draw_nothing), []
    (tmp_path / "a.jsonl").mkdir()  # after the check in `open_sink`
    good = ListSink()
    write_six(TeeSink([bad, good], on_error=errors.append))
    assert len(errors) == 1
    assert len(good.frames) == 6


FOREIGN = [KeyError(0), ValueError("x"), cv2.error("y"), av.FFmpegError(5, "z"), OSError(5, "no"), InputError("a", "b")]


@pytest.mark.parametrize("error", FOREIGN, ids=lambda error: type(error).__name__)
def test_foreign_exception_in_one_sink_is_its_failure(error):
    good, bad, errors = ListSink(), ListSink(fails_at=2, error=error), []
    write_six(TeeSink([bad, good], ["a.mp4", "b.csv"], on_error=errors.append))
    assert good.frames == [0, 1, 2, 3, 4, 5]
    assert bad.exits == [(type(error), str(error))]  # by which the sink discards its output
    assert [type(error) for error in errors] == [OutputError]
    assert errors[0].hint
    if not isinstance(error, InputError):
        assert f"the output 'a.mp4' failed and was discarded: {type(error).__name__}: {error}" in errors[0].message


def test_foreign_exception_at_exit_is_reported():
    good, bad, errors = ListSink(), ListSink(exit_error=KeyError("x")), []
    write_six(TeeSink([good, bad], on_error=errors.append))
    assert good.exits == [(None, "None")]
    assert "the output 'ListSink' failed" in errors[0].message


def test_foreign_exception_of_the_last_sink_stops_the_run():
    with pytest.raises(OutputError, match="KeyError"):
        write_six(TeeSink([ListSink(fails_at=1, error=KeyError(0))], on_error=pytest.fail))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), MemoryError()])
def test_errors_of_the_whole_program_pass(error):
    with pytest.raises(type(error)):
        write_six(TeeSink([ListSink(fails_at=1, error=error), ListSink()], on_error=pytest.fail))


def test_discarded_video_leaves_no_file(tmp_path):
    def draw(frame, poses):
        return frame.image if frame.index < 3 else 1 / 0

    errors = []
    sinks = [open_sink(tmp_path / name, draw=draw) for name in ("a.mp4", "b.jsonl")]
    write_six(TeeSink(sinks, ["a.mp4", "b.jsonl"], on_error=errors.append))
    assert ["ZeroDivisionError" in error.message for error in errors] == [True]
    assert files_in(tmp_path) == ["b.jsonl"]
