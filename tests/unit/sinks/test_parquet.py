"""ParquetSink: one row for each person."""

import os
import sys

import numpy as np
import pytest

from e2pose.core.errors import MissingExtraError
from e2pose.core.poses import Poses
from e2pose.core.schema import load_schema
from e2pose.formats.table import to_header
from e2pose.sinks.open import open_sink
from e2pose.sinks.parquet import ParquetSink
from helpers.media import draw_nothing, some_persons, still_frame, video_frame, write_frames

COCO = load_schema("coco")


def test_columns_types_and_values_are_those_of_the_table(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    sink = open_sink(tmp_path / "ä.parquet", draw=draw_nothing)
    frames = [video_frame(index) for index in range(700)]  # more than one row group
    write_frames(sink, frames, some_persons(2, np.array([7, 8])))
    table = parquet.read_table(tmp_path / "ä.parquet")
    assert table.column_names == to_header(COCO)
    assert table.num_rows == 1400
    assert [str(dtype) for dtype in table.schema.types[:7]] == [
        *("string", "int64", "double", "int32", "int64"),
        *("float", "float"),
    ]
    assert table.column("frame").to_pylist() == [index for index in range(700) for _ in range(2)]
    last = table.slice(1399).to_pylist()[0]
    assert (last["file"], last["frame"], last["time_s"], last["person"]) == ("clip", 699, 27.96, 1)
    assert (last["track_id"], last["nose_x"], last["nose_score"]) == (8, 34.25, 0.5)


def test_file_name_that_is_not_utf_8_is_escaped(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    write_frames(ParquetSink(tmp_path / "a.parquet"), [still_frame(os.fsdecode(b"caf\xe9.png"))], some_persons(1))
    assert parquet.read_table(tmp_path / "a.parquet").column("file").to_pylist() == ["caf\\udce9.png"]


def test_missing_values_are_null(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    keypoints = np.full((1, 17, 2), np.nan, np.float32)
    poses = Poses(keypoints, np.zeros((1, 17), np.float32), np.ones(1, np.float32), COCO)
    write_frames(open_sink(tmp_path / "a.parquet", draw=draw_nothing), [video_frame(0)], poses)
    row = parquet.read_table(tmp_path / "a.parquet").to_pylist()[0]
    assert (row["track_id"], row["nose_x"], row["nose_score"]) == (None, None, 0.0)


def test_frames_without_persons_give_an_empty_table_and_no_frames_no_file(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    write_frames(open_sink(tmp_path / "a.parquet", draw=draw_nothing), [video_frame(0)])
    assert parquet.read_table(tmp_path / "a.parquet").num_rows == 0
    write_frames(open_sink(tmp_path / "b.parquet", draw=draw_nothing), [])
    assert not (tmp_path / "b.parquet").exists()


def test_missing_parquet_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError) as caught:
        open_sink(tmp_path / "a.parquet", draw=draw_nothing)
    assert "e2pose[parquet]" in caught.value.hint
