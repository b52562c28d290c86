"""Outputs on a full disk: the file is completed in the reserved space, and the other sinks continue."""

import errno
import json

import pytest

from e2pose.core.errors import OutputError
from e2pose.sinks.open import open_sink
from e2pose.sinks.reserved_file import ReservedFile
from e2pose.sinks.tee import TeeSink
from helpers.media import decode_video, draw_nothing, files_in, noise, some_persons, video_frame, write_frames

IMAGES = noise(16, (96, 128))


def noisy_frame(index):
    return video_frame(index, IMAGES[index % len(IMAGES)])


class FakeDisk:
    """A disk with some free bytes, and 10 MB more once the reserved space is freed."""

    def __init__(self, monkeypatch, free_bytes):
        self.free_bytes, self.write_some = free_bytes, ReservedFile._write_some
        monkeypatch.setattr(ReservedFile, "_write_some", lambda file, data: self.write(file, data))  # noqa: PLW0108 - binds `file`

    def write(self, file, data):
        free_bytes = self.free_bytes + (10**7 if file._reserve.closed else 0)
        if len(data) > free_bytes:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.free_bytes -= len(data)
        return self.write_some(file, data)


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.json", "a.jsonl", "a.csv", "a.parquet"])
def test_file_on_a_full_disk_is_complete_up_to_the_last_frame(tmp_path, monkeypatch, name):
    if name == "a.parquet":
        pytest.importorskip("pyarrow")
    FakeDisk(monkeypatch, 60_000)
    num_written = 0
    with (
        pytest.raises(OutputError, match="No space left") as caught,
        open_sink(tmp_path / name, draw=draw_nothing) as sink,
    ):
        for index in range(3000):
            sink.write(noisy_frame(index), some_persons(8))
            num_written += 1
    assert "is complete" in caught.value.hint
    assert 3 < num_written < 2999
    assert files_in(tmp_path) == [name]
    assert num_written - 60 < count_frames(tmp_path / name) <= num_written + 1


def count_frames(path):
    """Returns the number of frames in a file, and fails if the file is not valid."""
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


@pytest.mark.parametrize("name", ["a.jsonl", "a.mp4", "a.parquet"])
def test_no_file_is_left_if_the_disk_is_full_from_the_start(tmp_path, monkeypatch, name):
    if name == "a.parquet":
        pytest.importorskip("pyarrow")

    def refuse(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(OutputError, match="No space left"):
        write_frames(open_sink(tmp_path / name, draw=draw_nothing), [noisy_frame(index) for index in range(6)])
    assert files_in(tmp_path) == []


def test_full_disk_stops_one_output_and_the_others_continue(tmp_path, monkeypatch):
    FakeDisk(monkeypatch, 100_000)
    errors = []
    targets = [tmp_path / "a.mp4", tmp_path / "frames" / "%d.png"]
    sinks = [open_sink(target, draw=draw_nothing) for target in targets]
    write_frames(TeeSink(sinks, on_error=errors.append), [noisy_frame(index) for index in range(60)])
    assert len(errors) == 1
    assert len(files_in(tmp_path / "frames")) == 60
    assert 3 < len(decode_video(tmp_path / "a.mp4")[0]) < 60
