"""Lines of JSON and tables: what is written can be read back."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from e2pose.core.errors import AnnotationError
from e2pose.core.frame import Frame, Origin
from e2pose.core.poses import NO_TRACK, Poses
from e2pose.core.schema import KeypointSchema, load_schema
from e2pose.formats.jsonl import read_poses_jsonl, to_json_line
from e2pose.formats.table import read_poses_csv, to_header, to_rows
from e2pose.sinks.text import CsvSink, JsonlSink

COCO = load_schema("coco")
TOOL = KeypointSchema.from_names("tool", ["tip", "grip"])


def frame(index=0, name='ünï, "a".mp4'):
    return Frame(np.zeros((4, 4, 3), np.uint8), Origin(name, Path(name), rate=None), index, index / 30)


def people(count, schema=COCO, tracked=False, seed=0):
    rng = np.random.default_rng(seed)
    return Poses(
        keypoints=rng.normal(500, 900, (count, len(schema), 2)).astype(np.float32),
        keypoint_scores=rng.random((count, len(schema)), dtype=np.float32),
        scores=rng.random(count, dtype=np.float32),
        schema=schema,
        track_ids=rng.integers(0, 2**40, count) if tracked else None,
    )


def assert_close(read, written):
    assert read.schema == written.schema
    np.testing.assert_allclose(read.keypoints, written.keypoints, atol=0.0051)
    np.testing.assert_allclose(read.keypoint_scores, written.keypoint_scores, atol=0.000051)
    np.testing.assert_allclose(read.scores, written.scores, atol=0.000051)
    if written.track_ids is None or len(written) == 0:
        assert read.track_ids is None
    else:
        assert read.track_ids.tolist() == written.track_ids.tolist()


@pytest.mark.parametrize("schema", [COCO, TOOL])
@pytest.mark.parametrize("tracked", [False, True])
@pytest.mark.parametrize(("sink", "read"), [(JsonlSink, read_poses_jsonl), (CsvSink, read_poses_csv)])
def test_round_trip(tmp_path, sink, read, tracked, schema):
    written = [people(count, schema, tracked, seed=count) for count in (2, 0, 1, 5)]
    with sink(tmp_path / "poses.txt") as opened:
        for index, poses in enumerate(written):
            opened.write(frame(index), poses)
    records = list(read(tmp_path / "poses.txt", schema))
    expected = [index for index, poses in enumerate(written) if len(poses) or sink is JsonlSink]
    assert [record.frame for record in records] == expected, "only a table leaves out frames without people"
    for record in records:
        assert record.file == 'ünï, "a".mp4'
        assert record.time_s == pytest.approx(record.frame / 30, abs=1e-6)
        assert_close(record.poses, written[record.frame])


@pytest.mark.parametrize(("sink", "read"), [(JsonlSink, read_poses_jsonl), (CsvSink, read_poses_csv)])
def test_somebody_who_has_only_just_appeared_has_no_number(tmp_path, sink, read):
    tracked = replace(people(3), track_ids=np.array([5, NO_TRACK, 7]))
    with sink(tmp_path / "poses.txt") as opened:
        opened.write(frame(), tracked)
        opened.write(frame(1), replace(people(1), track_ids=np.array([NO_TRACK])))
    assert f"{NO_TRACK}" not in [cell.strip() for cell in (tmp_path / "poses.txt").read_text("utf-8").split(",")]
    first, second = read(tmp_path / "poses.txt", COCO)
    assert first.poses.track_ids.tolist() == [5, NO_TRACK, 7]
    assert second.poses.track_ids is None


def test_a_line_of_json():
    poses = Poses(
        keypoints=np.array([[[1.234, 2], [3, np.nan]]], np.float32),
        keypoint_scores=np.array([[0.123456, 1]], np.float32),
        scores=np.array([0.5], np.float32),
        schema=TOOL,
        track_ids=np.array([7]),
    )
    assert json.loads(to_json_line(frame(3, "é.mp4"), poses)) == {
        "file": "é.mp4",
        "frame": 3,
        "time_s": 0.1,
        "persons": [
            {
                "score": 0.5,
                "track_id": 7,
                "box": [1.23, None, 1.77, None],
                "keypoints": {"tip": [1.23, 2.0, 0.1235], "grip": [3.0, None, 1.0]},
            }
        ],
    }
    assert "é.mp4" in to_json_line(frame(3, "é.mp4"), poses), "text stays legible"
    assert json.loads(to_json_line(frame(), people(0)))["persons"] == []
    assert "track_id" not in to_json_line(frame(), people(1))


def test_a_row_of_a_table():
    poses = Poses(
        keypoints=np.array([[[1.234, 2], [3, np.nan]]], np.float32),
        keypoint_scores=np.array([[0.123456, 1]], np.float32),
        scores=np.array([0.5], np.float32),
        schema=TOOL,
    )
    assert to_header(TOOL)[:6] == ["file", "frame", "time_s", "person", "track_id", "score"]
    assert to_header(TOOL)[6:] == ["tip_x", "tip_y", "tip_score", "grip_x", "grip_y", "grip_score"]
    assert to_rows(frame(3, "a.mp4"), poses) == [["a.mp4", 3, 0.1, 0, None, 0.5, 1.23, 2.0, 0.1235, 3.0, None, 1.0]]


@pytest.mark.parametrize(("sink", "read"), [(JsonlSink, read_poses_jsonl), (CsvSink, read_poses_csv)])
def test_what_is_not_finite_comes_back_as_nan(tmp_path, sink, read):
    keypoints = np.array([[[np.inf, 2], [3, np.nan]]], np.float32)
    with sink(tmp_path / "poses.txt") as opened:
        opened.write(frame(), Poses(keypoints, np.ones((1, 2), np.float32), np.ones(1, np.float32), TOOL))
    (record,) = read(tmp_path / "poses.txt", TOOL)
    np.testing.assert_array_equal(record.poses.keypoints, [[[np.nan, 2], [3, np.nan]]])


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"file": "a", "frame": 0, "time_s": 0, "persons": [{"score": 1}]}'])
def test_a_wrong_line_of_json_is_named(tmp_path, line):
    path = tmp_path / "poses.jsonl"
    path.write_text(to_json_line(frame(), people(1)) + "\n" + line + "\n", encoding="utf-8")
    with pytest.raises(AnnotationError, match="line 2"):
        list(read_poses_jsonl(path, COCO))


@pytest.mark.parametrize("row", ["a,0", "a,0,0,0,,0.5,1,2,x,4,5,6", "a,b,0,0,,0.5,1,2,3,4,5,6", "a,0,0,0,,0.5,1,2,3"])
def test_a_wrong_row_of_a_table_is_named(tmp_path, row):
    path = tmp_path / "poses.csv"
    path.write_text(",".join(to_header(TOOL)) + "\n" + row + "\n", encoding="utf-8")
    with pytest.raises(AnnotationError, match="line 2"):
        list(read_poses_csv(path, TOOL))


def test_the_wrong_schema_is_refused(tmp_path):
    with CsvSink(tmp_path / "a.csv") as table, JsonlSink(tmp_path / "a.jsonl") as lines:
        table.write(frame(), people(1))
        lines.write(frame(), people(1))
    with pytest.raises(AnnotationError, match="'tool'"):
        list(read_poses_csv(tmp_path / "a.csv", TOOL))
    with pytest.raises(AnnotationError, match="'tool'"):
        list(read_poses_jsonl(tmp_path / "a.jsonl", TOOL))


@pytest.mark.parametrize("read", [read_poses_jsonl, read_poses_csv])
def test_a_file_that_cannot_be_read(tmp_path, read):
    with pytest.raises(AnnotationError, match="none"):
        list(read(tmp_path / "none", COCO))
    for content in (b"\xff\xfe\x00", b'"' + b"x" * 200_000):
        (tmp_path / "binary").write_bytes(content)
        with pytest.raises(AnnotationError, match="binary"):
            list(read(tmp_path / "binary", COCO))
