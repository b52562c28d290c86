"""Reading files of COCO results."""

import json

import numpy as np
import pytest

from e2pose.core.errors import AnnotationError
from e2pose.core.poses import Poses
from e2pose.core.schema import KeypointSchema
from e2pose.formats.coco import to_coco_results
from e2pose.formats.coco_results import read_coco_results, results_to_poses

PAIR = KeypointSchema.from_names("pair", ["head", "foot"])


def entry(**changes):
    return {"image_id": 4, "category_id": 1, "keypoints": [1, 2, 0.5, 5, 10, 0.25], "score": 0.75} | changes


def write(folder, content):
    path = folder / "results.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_what_was_written_is_read(tmp_path):
    keypoints = np.array([[[3.25, 4], [5, 6]], [[1, 2], [2.5, -8]]], np.float32)
    poses = Poses(keypoints, np.full((2, 2), 0.5, np.float32), np.array([0.5, 0.9], np.float32), PAIR)
    written = to_coco_results(poses, 4, "a.jpg")
    read = read_coco_results(write(tmp_path, written), PAIR)
    assert [one | {"file_name": "a.jpg"} for one in read] == written
    again = results_to_poses(read, PAIR)
    assert np.array_equal(again.keypoints, poses.keypoints)
    assert np.array_equal(again.keypoint_scores, poses.keypoint_scores)
    assert np.array_equal(again.scores, poses.scores)


def test_no_poses(tmp_path):
    assert read_coco_results(write(tmp_path, []), PAIR) == []
    assert results_to_poses([], PAIR).keypoints.shape == (0, 2, 2)


def test_a_box_and_a_category_may_be_missing(tmp_path):
    bare = entry()
    del bare["category_id"]
    (read,) = read_coco_results(write(tmp_path, [bare]), PAIR)
    assert (read["category_id"], read["bbox"]) == (1, [1.5, 2.5, 4, 8])
    (read,) = read_coco_results(write(tmp_path, [entry(bbox=[1, 2, 30, 40.5])]), PAIR)
    assert read["bbox"] == [1, 2, 30, 40.5], "the area that COCO's evaluation gives a pose is that of its box"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("pose", "must have 'image_id', 'keypoints' and 'score'"),
        ({"image_id": 4, "score": 1}, "must have 'image_id', 'keypoints' and 'score'"),
        (entry(image_id="4"), "image_id must be a whole number, not '4'"),
        (entry(keypoints=[1, 2, 3]), "keypoints must be 6 finite numbers"),
        (entry(keypoints=[1, 2, 3, 4, 5, float("nan")]), "keypoints must be 6 finite numbers"),
        (entry(keypoints=[1, 2, 3, 4, 5, "6"]), "keypoints must be 6 finite numbers"),
        (entry(keypoints=None), "keypoints must be 6 finite numbers"),
        (entry(score=1.5), "score must lie between 0 and 1, not 1.5"),
        (entry(score=None), "score must lie between 0 and 1, not None"),
        (entry(bbox=[1, 2, 3]), "bbox must be x, y, width and height"),
        (entry(bbox=[1, 2, -3, 4]), "bbox must be x, y, width and height"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path, wrong, message):
    with pytest.raises(AnnotationError, match=message) as caught:
        read_coco_results(write(tmp_path, [entry(), wrong]), PAIR)
    assert "results.json': the pose at position 1 is wrong" in caught.value.message


@pytest.mark.parametrize("content", ["", "{", "\xff", '{"images": [], "annotations": [], "categories": []}'])
def test_a_file_that_is_something_else(tmp_path, content):
    with pytest.raises(AnnotationError, match=r"results\.json"):
        read_coco_results(write(tmp_path, content), PAIR)


def test_a_file_that_is_missing(tmp_path):
    with pytest.raises(AnnotationError, match=r"none\.json"):
        read_coco_results(tmp_path / "none.json", PAIR)
