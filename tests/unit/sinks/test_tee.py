"""TeeSink: a failed sink is closed, reported and skipped, and the others continue."""

import pytest

from e2pose.core.errors import OutputError
from e2pose.sinks.open import open_sink
from e2pose.sinks.tee import TeeSink
from helpers.media import draw_nothing, some_persons, video_frame, write_frames


class ListSink:
    """Collects the indices of frames, and fails at a given frame or when it is exited."""

    def __init__(self, fails_at=None, fails_at_exit=False):
        self.frames, self.exits = [], []
        self.fails_at, self.fails_at_exit = fails_at, fails_at_exit

    def write(self, frame, poses):
        if frame.index == self.fails_at:
            raise OutputError(f"full at {frame.index}", "make room")
        self.frames.append(frame.index)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.exits.append((kind, str(error)))
        if self.fails_at_exit:
            raise OutputError("full at the end", "make room")


def write_six(sink):
    write_frames(sink, [video_frame(index) for index in range(6)], some_persons())


def test_failed_sink_does_not_stop_the_others():
    good, bad, errors = ListSink(), ListSink(fails_at=2), []
    write_six(TeeSink([bad, good], on_error=errors.append))
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
    write_six(TeeSink([good, bad], on_error=errors.append))
    assert good.exits == [(None, "None")]
    assert [error.message for error in errors] == ["full at the end"]


def test_failure_at_entry_is_reported_and_the_others_continue(tmp_path):
    bad, errors = open_sink(tmp_path / "a.jsonl", draw=draw_nothing), []
    (tmp_path / "a.jsonl").mkdir()  # after the check in `open_sink`
    good = ListSink()
    write_six(TeeSink([bad, good], on_error=errors.append))
    assert len(errors) == 1
    assert len(good.frames) == 6
