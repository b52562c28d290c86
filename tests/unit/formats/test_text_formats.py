"""JSON lines, tables and OpenPose JSON: files written by the sinks are parsed with the standard library."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from e2pose.core.frame import Frame, Origin
from e2pose.core.poses import NO_TRACK, Poses
from e2pose.core.schema import KeypointSchema, load_schema
from e2pose.formats.jsonl import to_json_line
from e2pose.formats.openpose import to_openpose
from e2pose.formats.table import to_header, to_rows
from e2pose.sinks.text import CsvSink, JsonlSink

COCO = load_schema("coco")
TOOL = KeypointSchema.from_names("tool", ["tip", "grip"])
NAME = 'ünï, "a".mp4'


def make_frame(index=0, name=NAME):
    return Frame(np.zeros((4, 4, 3), np.uint8), Origin(name, Path(name), rate=None), index, index / 30)


def make_poses(count, schema=COCO, tracked=False, seed=0):
    rng = np.random.default_rng(seed)
    return Poses(
        keypoints=rng.normal(500, 900, (count, len(schema), 2)).astype(np.float32),
        keypoint_scores=rng.random((count, len(schema)), dtype=np.float32),
        scores=rng.random(count, dtype=np.float32),
        schema=schema,
        track_ids=rng.integers(0, 2**40, count) if tracked else None,
    )


def pose_of_tool():
    """A pose with numbers to round and one that is not finite."""
    return Poses(
        keypoints=np.array([[[1.234, 2], [3, np.nan]]], np.float32),
        keypoint_scores=np.array([[0.123456, 1]], np.float32),
        scores=np.array([0.5], np.float32),
        schema=TOOL,
        track_ids=np.array([7]),
    )


def read_jsonl(path, schema):
    """Yields frame index, time, track id, score and keypoints (K, 3) of each person."""
    for record in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        assert record["file"] == NAME
        for person in record["persons"]:
            keypoints = [person["keypoints"][name] for name in schema.keypoints]
            yield record["frame"], record["time_s"], person.get("track_id"), person["score"], keypoints


def read_csv(path, schema):
    """Yields the same as `read_jsonl`."""
    with path.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            assert row["file"] == NAME
            keypoints = [[float(row[f"{name}_{part}"]) for part in ("x", "y", "score")] for name in schema.keypoints]
            track_id = int(row["track_id"]) if row["track_id"] else None
            yield int(row["frame"]), float(row["time_s"]), track_id, float(row["score"]), keypoints


@pytest.mark.parametrize("schema", [COCO, TOOL])
@pytest.mark.parametrize("tracked", [False, True])
@pytest.mark.parametrize(("sink", "read"), [(JsonlSink, read_jsonl), (CsvSink, read_csv)])
def test_written_files_contain_all_persons_of_all_frames(tmp_path, sink, read, tracked, schema):
    written = [make_poses(count, schema, tracked, seed=count) for count in (2, 0, 1, 5)]
    with sink(tmp_path / "poses.txt") as opened:
        for index, poses in enumerate(written):
            opened.write(make_frame(index), poses)
    expected = [(frame, poses, n) for frame, poses in enumerate(written) for n in range(len(poses))]
    persons = list(read(tmp_path / "poses.txt", schema))
    for (frame, time_s, track_id, score, keypoints), (index, poses, n) in zip(persons, expected, strict=True):
        assert (frame, time_s) == (index, pytest.approx(index / 30, abs=1e-6))
        assert track_id == (poses.track_ids[n] if tracked else None)
        assert score == pytest.approx(poses.scores[n], abs=0.000051)
        points, scores = np.split(np.array(keypoints), [2], axis=1)
        np.testing.assert_allclose(points, poses.keypoints[n], atol=0.0051)
        np.testing.assert_allclose(scores[:, 0], poses.keypoint_scores[n], atol=0.000051)


@pytest.mark.parametrize(("sink", "read"), [(JsonlSink, read_jsonl), (CsvSink, read_csv)])
def test_persons_without_an_id_have_no_track_id(tmp_path, sink, read):
    with sink(tmp_path / "poses.txt") as opened:
        opened.write(make_frame(), replace(make_poses(3), track_ids=np.array([5, NO_TRACK, 7])))
    assert [person[2] for person in read(tmp_path / "poses.txt", COCO)] == [5, None, 7]


def test_json_line_has_rounded_numbers_and_readable_text():
    line = to_json_line(make_frame(3, "é.mp4"), pose_of_tool())
    assert json.loads(line) == {
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
    assert "é.mp4" in line


def test_json_line_of_a_frame_without_persons_has_an_empty_list():
    assert json.loads(to_json_line(make_frame(), Poses.empty(COCO)))["persons"] == []


def test_table_has_a_header_and_rounded_numbers():
    header = ["file", "frame", "time_s", "person", "track_id", "score"]
    assert to_header(TOOL) == [*header, "tip_x", "tip_y", "tip_score", "grip_x", "grip_y", "grip_score"]
    assert to_rows(make_frame(3, "a.mp4"), pose_of_tool()) == [
        ["a.mp4", 3, 0.1, 0, 7, 0.5, 1.23, 2.0, 0.1235, 3.0, None, 1.0]
    ]
    assert [row[3] for row in to_rows(make_frame(), make_poses(3))] == [0, 1, 2]
    assert to_rows(make_frame(), Poses.empty(TOOL)) == []


def test_openpose_lists_the_keypoints_of_the_schema_and_zeros_for_missing_ones():
    record = to_openpose(pose_of_tool())
    assert (record["version"], record["schema"], record["keypoints"]) == (1.3, "tool", ["tip", "grip"])
    (person,) = record["people"]
    assert person["person_id"] == [7]
    assert person["pose_keypoints_2d"] == [1.23, 2.0, 0.1235, 0.0, 0.0, 0.0]
    assert to_openpose(make_poses(1))["people"][0]["person_id"] == [-1]
