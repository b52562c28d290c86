"""open_sink: which sink a name selects, and errors that are raised before any work."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from e2pose.core.errors import OptionError, OutputError
from e2pose.core.frame import Frame, Origin
from e2pose.core.poses import Poses
from e2pose.core.schema import load_schema
from e2pose.sinks.open import check_distinct, open_sink
from helpers.media import draw_nothing, files_in, save, still_frame, write_frames

COCO = load_schema("coco")


@pytest.mark.parametrize(
    ("target", "sink"),
    [
        ("out", "FolderSink"),
        ("out/", "FolderSink"),
        ("v1.2/", "FolderSink"),
        ("is.folder", "FolderSink"),
        ("new/deep/a.jpg", "ImageFileSink"),
        ("a.TIFF", "ImageFileSink"),
        ("100%done.png", "ImageFileSink"),
        ("%06d.png", "NumberedFilesSink"),
        ("a.mp4", "VideoFileSink"),
        ("a.mkv", "VideoFileSink"),
        ("a.json", "CocoJsonSink"),
        ("a.jsonl", "JsonlSink"),
        ("a.csv", "CsvSink"),
    ],
)
def test_name_selects_the_sink_and_writes_nothing(tmp_path, monkeypatch, target, sink):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "is.folder").mkdir()
    assert type(open_sink(target, draw=draw_nothing)).__name__ == sink
    assert files_in(tmp_path) == []


def test_coco_results_reserve_the_numbers_of_images_but_not_of_videos(tmp_path):
    inputs = [Path("cat.jpg"), Path("1.jpg"), Path("2.mp4")]
    poses = Poses(np.ones((1, 17, 2), np.float32), np.ones((1, 17), np.float32), np.ones(1, np.float32), COCO)
    with open_sink(tmp_path / "a.json", draw=draw_nothing, inputs=inputs) as sink:
        for path in inputs[:2]:
            sink.write(Frame(np.zeros((2, 2, 3), np.uint8), Origin(str(path), path)), poses)
    entries = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert [entry["image_id"] for entry in entries] == [2, 1]


def test_unknown_suffix_lists_the_supported_ones(tmp_path):
    with pytest.raises(OptionError, match=r"unsupported output type '\.xyz'") as caught:
        open_sink(tmp_path / "a.xyz", draw=draw_nothing)
    assert all(suffix in caught.value.hint for suffix in (".jpg", ".mp4", ".json", ".jsonl", ".csv"))


@pytest.mark.parametrize("target", ["x" * 300 + ".json", "~no-such-user/out.png"])
def test_invalid_path_is_an_error(tmp_path, monkeypatch, target):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match="cannot write") as caught:
        open_sink(target, draw=draw_nothing)
    assert caught.value.hint


def test_empty_name_is_an_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match="the name of an output is empty"):
        open_sink("", draw=draw_nothing)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("-", "standard output"),
        ("f_%d_%d.png", "2 frame numbers"),
        ("%06d%3d.json", "2 frame"),
        ("%d/%06d.json", "in the name of a folder"),
        ("run_%02d/a.csv", "in the name of a folder"),
        ("run_%d/b/a.csv", "in the name of a folder"),
        ("run_%d/", "in the name of a folder"),
        (".jsonl", "no name before its suffix"),
        ("out/.MP4", "no name before its suffix"),
    ],
)
def test_name_that_selects_no_output_is_an_error(tmp_path, monkeypatch, target, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match=message) as caught:
        open_sink(target, draw=draw_nothing)
    assert caught.value.hint
    assert files_in(tmp_path) == []


def test_existing_folder_with_a_percent_sign_is_accepted(tmp_path):
    (tmp_path / "run_%d").mkdir()
    for name in ("run_%d", "run_%d/a.csv", "run_%d/new/%06d.json"):
        open_sink(tmp_path / name, draw=draw_nothing)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes in folders")
def test_pipe_is_not_replaced(tmp_path):
    pipe = tmp_path / "a.jsonl"
    os.mkfifo(pipe)
    with pytest.raises(OutputError, match="it is a device or a pipe, not a file") as caught:
        open_sink(pipe, draw=draw_nothing)
    assert caught.value.hint == "choose another output path"
    assert pipe.is_fifo()


def test_link_stays_and_its_file_is_replaced(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    for name in ("a.jsonl", "a.png"):
        (tmp_path / name).symlink_to(folder / name)
        write_frames(open_sink(tmp_path / name, draw=draw_nothing), [still_frame("a.jpg")])
        assert (tmp_path / name).is_symlink()
    assert files_in(folder) == ["a.jsonl", "a.png"]


@pytest.mark.parametrize("target", ["link/", "link/a.png", "link/b/a.json"])
def test_link_to_a_missing_folder_is_an_error(tmp_path, target):
    (tmp_path / "link").symlink_to(tmp_path / "missing")
    with pytest.raises(OutputError, match="is a link to a missing folder"):
        open_sink(f"{tmp_path}/{target}", draw=draw_nothing)


@pytest.mark.parametrize(
    "targets",
    [
        ("a.json", "a.json"),
        ("a.json", "./a.json"),
        ("b/../a.json", "c.csv", "a.json"),
        ("out", "out/"),
        ("a.json", "link.json"),
        ("~/a.json", "a.json"),
    ],
)
def test_outputs_with_the_same_target_are_an_error(tmp_path, monkeypatch, targets):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    if "link.json" in targets:
        (tmp_path / "link.json").symlink_to(save(tmp_path / "a.json", b""))
    with pytest.raises(OptionError, match="are the same") as caught:
        check_distinct(targets)
    assert caught.value.hint


def test_different_outputs_are_accepted():
    check_distinct(["a.json", "a.jsonl", "b/a.json", "camera:", "%d.png", "~no-such-user/a.json"])


@pytest.mark.parametrize("target", ["file/out.png", "file/deeper/out.mp4", "file/out.json", "file/out", "file/"])
def test_folder_that_is_a_file_is_an_error(tmp_path, target):
    save(tmp_path / "file", b"")
    with pytest.raises(OutputError, match="is a file"):
        open_sink(f"{tmp_path}/{target}", draw=draw_nothing)


def test_folder_without_write_permission_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(OutputError, match="no write permission"):
        open_sink(tmp_path / "a.png", draw=draw_nothing)
