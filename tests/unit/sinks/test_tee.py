"""Sinks around sinks, and what becomes of the outputs when one of them cannot go on."""

import errno
import json
import threading
from fractions import Fraction

import av
import numpy as np
import pytest

from e2pose.core.errors import OptionError, OutputError
from e2pose.core.frame import Frame, Origin
from e2pose.core.poses import Poses
from e2pose.core.schema import load_schema
from e2pose.sinks.open import open_sink
from e2pose.sinks.reserved_file import ReservedFile
from e2pose.sinks.tee import TeeSink
from e2pose.sinks.threaded import ThreadedSink
from helpers.media import decode_video

CLIP = Origin("clip", None, Fraction(25))


def noise(index):
    image = np.random.default_rng(index).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    return Frame(image, CLIP, index, index / 25)


def people(count=1):
    ones = np.ones((count, 17, 2), np.float32)
    return Poses(ones, ones[..., 0], ones[:, 0, 0], load_schema("coco"))


def show(frame, poses):
    return frame.image


class Listed:
    """A sink that keeps a list, and fails where it is told to."""

    def __init__(self, fails_at=None, fails_at_end=False):
        self.frames, self.ends = [], []
        self.fails_at, self.fails_at_end = fails_at, fails_at_end
        self.thread = None

    def write(self, frame, poses):
        if frame.index == self.fails_at:
            raise OutputError(f"full at {frame.index}", "make room")
        self.frames.append(frame.index)
        self.thread = threading.current_thread()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.ends.append(str(error))
        if self.fails_at_end:
            raise OutputError("full at the end", "make room")


def write(sink, count=6):
    with sink:
        for index in range(count):
            sink.write(noise(index), people())


def test_one_sink_that_fails_does_not_stop_the_others():
    good, bad, errors = Listed(), Listed(fails_at=2), []
    write(TeeSink([bad, good], on_error=errors.append))
    assert good.frames == [0, 1, 2, 3, 4, 5]
    assert (bad.frames, bad.ends) == ([0, 1], ["full at 2"])
    assert good.ends == ["None"]
    assert [error.message for error in errors] == ["full at 2"]


def test_the_last_sink_that_fails_ends_the_run():
    first, last, errors = Listed(fails_at=1), Listed(fails_at=3), []
    with pytest.raises(OutputError, match="full at 3"):
        write(TeeSink([first, last], on_error=errors.append))
    assert [error.message for error in errors] == ["full at 1"]
    assert last.ends == ["full at 3"]


def test_without_a_handler_the_first_failure_ends_the_run_and_every_sink_is_left():
    good, bad = Listed(), Listed(fails_at=2)
    with pytest.raises(OutputError, match="full at 2"):
        write(TeeSink([bad, good]))
    assert good.ends == ["full at 2"]


def test_a_sink_that_fails_at_its_end_is_told_of_and_the_others_are_left():
    good, bad, errors = Listed(), Listed(fails_at_end=True), []
    write(TeeSink([good, bad], on_error=errors.append))
    assert good.ends == ["None"]
    assert [error.message for error in errors] == ["full at the end"]


def test_an_output_that_cannot_be_begun_is_told_of(tmp_path):
    (tmp_path / "file").write_text("")
    bad, errors = open_sink(tmp_path / "a.jsonl", draw=show), []
    (tmp_path / "a.jsonl").mkdir()  # after it was checked
    good = Listed()
    write(TeeSink([bad, good], on_error=errors.append))
    assert len(errors) == 1
    assert len(good.frames) == 6


@pytest.fixture
def no_thread_is_left():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


@pytest.mark.usefixtures("no_thread_is_left")
@pytest.mark.parametrize("depth", [1, 4])
def test_writing_behind_keeps_the_order_and_uses_another_thread(depth):
    sink = Listed()
    write(ThreadedSink(sink, depth), 50)
    assert sink.frames == list(range(50))
    assert sink.ends == ["None"]
    assert sink.thread is not threading.current_thread()


@pytest.mark.usefixtures("no_thread_is_left")
def test_writing_behind_does_not_wait_for_the_sink_but_for_room():
    gate, sink = threading.Event(), Listed()

    class Slow(Listed):
        def write(self, frame, poses):
            gate.wait(5)
            super().write(frame, poses)

    sink = Slow()
    with ThreadedSink(sink, 3) as behind:
        for index in range(3):
            behind.write(noise(index), people())
        assert sink.frames == []  # nobody has waited
        blocked = threading.Thread(target=lambda: [behind.write(noise(index), people()) for index in (3, 4, 5)])
        blocked.start()
        blocked.join(0.1)
        assert blocked.is_alive()
        gate.set()
        blocked.join(5)
    assert sink.frames == list(range(6))


@pytest.mark.usefixtures("no_thread_is_left")
@pytest.mark.parametrize("fails_at", [0, 3, 5])
def test_an_error_behind_comes_out_in_front(fails_at):
    sink = Listed(fails_at=fails_at)
    with pytest.raises(OutputError, match=f"full at {fails_at}"):
        write(ThreadedSink(sink))
    assert sink.frames == list(range(fails_at))
    assert sink.ends == [f"full at {fails_at}"]


@pytest.mark.usefixtures("no_thread_is_left")
def test_an_error_in_front_is_told_to_the_sink_behind():
    sink = Listed()
    with pytest.raises(ZeroDivisionError), ThreadedSink(sink) as behind:
        behind.write(noise(0), people())
        raise ZeroDivisionError("oh")
    assert (sink.frames, sink.ends) == ([0], ["oh"])


def test_a_depth_of_nothing():
    with pytest.raises(OptionError, match="at least 1, not 0"):
        ThreadedSink(Listed(), 0)


# A full disk.


class Disk:
    """A disk of some bytes, on which the space held back counts."""

    def __init__(self, monkeypatch, room):
        self.room, self.put = room, ReservedFile._put
        monkeypatch.setattr(ReservedFile, "_put", lambda file, data: self.write(file, data))  # noqa: PLW0108 - a method of the file

    def write(self, file, data):
        room = self.room + (10**7 if file._spare.closed else 0)
        if len(data) > room:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= len(data)
        return self.put(file, data)


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.json", "a.jsonl", "a.csv", "a.parquet"])
def test_what_was_written_before_the_disk_was_full_can_be_read(tmp_path, monkeypatch, name):
    Disk(monkeypatch, 60_000)
    written = 0
    with (
        pytest.raises(OutputError, match="No space left") as caught,
        open_sink(tmp_path / name, draw=show) as sink,
    ):
        for index in range(3000):
            sink.write(noise(index), people(8))
            written += 1
    assert "is complete" in caught.value.hint
    assert 3 < written < 2999
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert written - 60 < read_back(tmp_path / name) <= written + 1


def read_back(path):
    """How many frames there are in a file, which must be whole."""
    if path.suffix == ".jsonl":
        return len([json.loads(line) for line in path.read_text().splitlines()])
    if path.suffix == ".json":
        return len(json.loads(path.read_text())) / 8
    if path.suffix == ".csv":
        lines = path.read_text().splitlines()
        assert all(len(line.split(",")) == 57 for line in lines)
        return (len(lines) - 1) / 8
    if path.suffix == ".parquet":
        from pyarrow import parquet

        return parquet.read_table(path).num_rows / 8
    return len(decode_video(path)[0])


def test_a_disk_that_is_full_from_the_start(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    for name in ("a.jsonl", "a.mp4", "a.parquet"):
        with pytest.raises(OutputError, match="No space left"):
            write(open_sink(tmp_path / name, draw=show))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_ends_one_output_and_the_others_go_on(tmp_path, monkeypatch):
    Disk(monkeypatch, 100_000)
    other, errors = Listed(), []
    with TeeSink([open_sink(tmp_path / "a.mp4", draw=show), other], on_error=errors.append) as sinks:
        for index in range(60):
            sinks.write(noise(index), people())
    assert len(errors) == 1
    assert len(other.frames) == 60
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].frames > 3
