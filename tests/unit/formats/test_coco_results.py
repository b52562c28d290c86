"""COCO results."""

import json

import numpy as np
import pytest

from e2pose.core.errors import AnnotationError
from e2pose.core.poses import NO_TRACK, Poses
from e2pose.core.schema import KeypointSchema, load_schema
from e2pose.formats.coco_results import read_coco_results, results_to_poses, to_coco_results
from e2pose.formats.fields import to_id

COCO = load_schema("coco")
PAIR = KeypointSchema.from_names("pair", ["head", "foot"])


def entry(**changes):
    return {"image_id": 4, "category_id": 1, "keypoints": [1, 2, 0.5, 5, 10, 0.25], "score": 0.75} | changes


def write(folder, content):
    path = folder / "results.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_results_subtract_half_a_pixel_and_are_valid_json():
    keypoints = np.full((2, 17, 2), 10.5, np.float32)
    keypoints[1, 0] = np.nan
    poses = Poses(keypoints, np.full((2, 17), 0.25, np.float32), np.array([0.9, 0.123456789], np.float32), COCO)
    first, second = to_coco_results(poses, 139, "ünï 139.jpg")
    assert first == {
        "image_id": 139,
        "category_id": 1,
        "keypoints": [10.0, 10.0, 0.25] * 17,
        "score": 0.9,
        "bbox": [10.5, 10.5, 0.0, 0.0],
        "file_name": "ünï 139.jpg",
    }
    assert second["score"] == 0.12346
    assert second["keypoints"][:3] == [0, 0, 0], "JSON has no NaN"
    json.dumps(second, allow_nan=False)
    assert to_coco_results(Poses.empty(COCO), 1, "a.jpg") == []


def test_only_tracked_persons_have_a_track_id():
    ones = np.ones((2, 17, 2), np.float32)
    tracked = Poses(ones, ones[..., 0], ones[:, 0, 0], COCO, np.array([4, NO_TRACK]))
    first, second = to_coco_results(tracked, 1, "a.jpg")
    assert first["track_id"] == 4
    assert "track_id" not in second
    json.dumps(first)


def test_reading_is_the_inverse_of_writing(tmp_path):
    keypoints = np.array([[[3.25, 4], [5, 6]], [[1, 2], [2.5, -8]]], np.float32)
    poses = Poses(keypoints, np.full((2, 2), 0.5, np.float32), np.array([0.5, 0.9], np.float32), PAIR)
    written = to_coco_results(poses, 4, "a.jpg")
    results = read_coco_results(write(tmp_path, written), PAIR)
    assert [result | {"file_name": "a.jpg"} for result in results] == written
    read = results_to_poses(results, PAIR)
    np.testing.assert_array_equal(read.keypoints, poses.keypoints)
    np.testing.assert_array_equal(read.keypoint_scores, poses.keypoint_scores)
    np.testing.assert_array_equal(read.scores, poses.scores)


def test_empty_results_are_read(tmp_path):
    assert read_coco_results(write(tmp_path, []), PAIR) == []
    assert results_to_poses([], PAIR).keypoints.shape == (0, 2, 2)


def test_missing_box_encloses_all_keypoints(tmp_path):
    bare = entry()
    del bare["category_id"]
    (result,) = read_coco_results(write(tmp_path, [bare]), PAIR)
    assert (result["category_id"], result["bbox"]) == (1, [1.5, 2.5, 4, 8])


def test_given_box_is_kept_because_coco_computes_areas_from_it(tmp_path):
    (result,) = read_coco_results(write(tmp_path, [entry(bbox=[1, 2, 30, 40.5])]), PAIR)
    assert result["bbox"] == [1, 2, 30, 40.5]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("pose", "must have 'image_id', 'keypoints' and 'score'"),
        ({"image_id": 4, "score": 1}, "must have 'image_id', 'keypoints' and 'score'"),
        (entry(image_id=4.5), "'image_id' must be a whole number or text, not 4.5"),
        (entry(image_id=None), "'image_id' must be a whole number or text, not null"),
        (entry(keypoints=[1, 2, 3]), "'keypoints' must be 6 finite numbers: .*, not 3 values"),
        (entry(keypoints=[1, 2, 3, 4, 5, float("nan")]), "'keypoints' must be 6 finite numbers"),
        (entry(keypoints=[1, 2, 3, 4, 5, "6"]), "'keypoints' must be 6 finite numbers"),
        (entry(keypoints=[1, 2, 3, 4, 5, 10**400]), "'keypoints' must be 6 finite numbers"),
        (entry(keypoints=None), "'keypoints' must be 6 finite numbers"),
        (entry(score=1.5), "'score' must be from 0 to 1, not 1.5"),
        (entry(score=None), "'score' must be from 0 to 1, not null"),
        (entry(bbox=[1, 2, 3]), "'bbox' must be x, y, width and height"),
        (entry(bbox=[1, 2, -3, 4]), "'bbox' must be x, y, width and height"),
    ],
)
def test_invalid_entry_is_named_in_the_error(tmp_path, wrong, message):
    with pytest.raises(AnnotationError, match=message) as caught:
        read_coco_results(write(tmp_path, [entry(), wrong]), PAIR)
    assert "results.json' has an invalid entry: the pose at position 1: " in caught.value.message


@pytest.mark.parametrize(("image_id", "expected"), [("4", 4), (4.0, 4), ("img_a", to_id("img_a", "id"))])
def test_forms_of_image_ids(tmp_path, image_id, expected):
    assert read_coco_results(write(tmp_path, [entry(image_id=image_id)]), PAIR)[0]["image_id"] == expected


def test_invalid_entries_are_reported_together(tmp_path):
    with pytest.raises(AnnotationError, match=r"has 7 invalid entries: the pose at position 0: .*; and 2 more"):
        read_coco_results(write(tmp_path, ["pose"] * 7), PAIR)


def test_byte_order_mark_is_skipped(tmp_path):
    path = write(tmp_path, [])
    path.write_bytes(b"\xef\xbb\xbf[]")
    assert read_coco_results(path, PAIR) == []


@pytest.mark.parametrize("content", ["", "{", "\xff", '{"images": [], "annotations": [], "categories": []}'])
def test_file_of_another_kind_is_refused(tmp_path, content):
    with pytest.raises(AnnotationError, match=r"results\.json"):
        read_coco_results(write(tmp_path, content), PAIR)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(AnnotationError, match=r"none\.json"):
        read_coco_results(tmp_path / "none.json", PAIR)
