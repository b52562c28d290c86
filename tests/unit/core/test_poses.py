"""Poses: shapes, order, selection and boxes."""

import numpy as np
import pytest

from e2pose.core.errors import OptionError
from e2pose.core.poses import Poses
from e2pose.core.schema import KeypointSchema, load_schema

PAIR = KeypointSchema.from_names("pair", ["a", "b"])


def random_poses(scores, track_ids=None, seed=0):
    rng = np.random.default_rng(seed)
    count = len(scores)
    return Poses(
        keypoints=rng.normal(50, 30, (count, 2, 2)).astype(np.float32),
        keypoint_scores=rng.random((count, 2), dtype=np.float32),
        scores=np.array(scores, np.float32),
        schema=PAIR,
        track_ids=None if track_ids is None else np.array(track_ids),
    )


def test_empty_poses_keep_their_shapes():
    empty = Poses.empty(load_schema("coco"))
    assert len(empty) == 0
    assert empty.keypoints.shape == (0, 17, 2)
    assert empty.keypoint_scores.shape == (0, 17)
    assert empty.boxes().shape == (0, 4)
    assert empty.visible(0.5).shape == (0, 17)
    assert empty.track_ids is None
    assert len(empty[empty.scores > 0.5]) == 0
    assert len(empty[:5]) == 0
    assert len(empty[[]]) == 0


def test_persons_are_sorted_by_descending_score():
    keypoints = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    scores = np.array([0.2, 0.9, 0.5], np.float32)
    poses = Poses(keypoints, np.ones((3, 2), np.float32), scores, PAIR, np.array([20, 90, 50]))
    assert poses.scores.tolist() == np.float32([0.9, 0.5, 0.2]).tolist()
    assert poses.track_ids.tolist() == [90, 50, 20]
    assert poses.keypoints[:, 0, 0].tolist() == [4, 8, 0]


def test_equal_scores_keep_their_order():
    assert random_poses([0.5, 0.7, 0.5, 0.5], track_ids=[1, 2, 3, 4]).track_ids.tolist() == [2, 1, 3, 4]


def test_arrays_are_read_only_copies():
    keypoints = np.zeros((1, 2, 2), np.float32)
    poses = Poses(keypoints, np.zeros((1, 2), np.float32), np.zeros(1, np.float32), PAIR, np.array([1]))
    keypoints[:] = 9
    assert (poses.keypoints == 0).all()
    for name in ("keypoints", "keypoint_scores", "scores", "track_ids"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(poses, name)[:] = 1


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (np.array([True, False, True]), [10, 30]),
        ([True, False, True], [10, 30]),
        ([0, 2], [10, 30]),
        ((0, 2), [10, 30]),
        (np.array([2, 0]), [10, 30]),  # sorted by score, not by index
        ([], []),
        (slice(0, 2), [10, 20]),
        (slice(5, 9), []),
        (1, [20]),
        (np.int64(1), [20]),
        (-1, [30]),
    ],
)
@pytest.mark.parametrize("tracked", [True, False])
def test_selection_by_mask_indices_and_slice(index, expected, tracked):
    poses = random_poses([0.9, 0.5, 0.2], track_ids=[10, 20, 30] if tracked else None)
    selected = poses[index]
    rows = [[10, 20, 30].index(track_id) for track_id in expected]
    np.testing.assert_array_equal(selected.scores, poses.scores[rows])
    np.testing.assert_array_equal(selected.keypoints, poses.keypoints[rows])
    np.testing.assert_array_equal(selected.keypoint_scores, poses.keypoint_scores[rows])
    assert selected.schema is PAIR
    assert (selected.track_ids.tolist() if tracked else selected.track_ids) == (expected if tracked else None)


def test_index_out_of_range_raises():
    with pytest.raises(IndexError):
        random_poses([0.9])[1]


def test_visible_includes_the_threshold():
    poses = Poses(np.zeros((1, 2, 2), np.float32), np.float32([[0.5, 0.49]]), np.ones(1, np.float32), PAIR)
    assert poses.visible(0.5).tolist() == [[True, False]]


def test_boxes_enclose_visible_keypoints():
    keypoints = np.float32([[[10, 40], [30, 20]], [[-5, 1], [-5, 1]]])
    scores = np.float32([[0.9, 0.2], [0.1, 0.1]])
    poses = Poses(keypoints, scores, np.float32([0.9, 0.8]), PAIR)
    assert poses.boxes().tolist() == [[10, 20, 20, 20], [-5, 1, 0, 0]]
    assert poses.boxes(0.5).tolist() == [[10, 40, 0, 0], [-5, 1, 0, 0]], "no visible keypoints: all count"
    assert poses.boxes().dtype == np.float32


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"keypoints": (2, 3, 2)}, r"'keypoints' must have the shape \(2, 2, 2\) for 2 persons of the schema 'pair'"),
        ({"keypoints": (2, 2, 3)}, r"'keypoints' must .* not \(2, 2, 3\)"),
        ({"keypoint_scores": (2, 3)}, r"'keypoint_scores' must have the shape \(2, 2\)"),
        ({"keypoint_scores": (1, 2)}, "'keypoint_scores' must"),
        ({"scores": (3,)}, r"'scores' must have the shape \(2,\)"),
        ({"track_ids": (1,)}, r"'track_ids' must have the shape \(2,\)"),
    ],
)
def test_inconsistent_shapes_are_rejected(shapes, message):
    sizes = {"keypoints": (2, 2, 2), "keypoint_scores": (2, 2), "scores": (2,), "track_ids": (2,)} | shapes
    arrays = {name: np.zeros(size, np.int64 if name == "track_ids" else np.float32) for name, size in sizes.items()}
    with pytest.raises(OptionError, match=message):
        Poses(schema=PAIR, **arrays)


def test_shapes_are_checked_in_tests():
    zeros = np.zeros((2, 2), np.float32)
    with pytest.raises(TypeError, match="keypoints"):
        Poses(keypoints=zeros, keypoint_scores=zeros, scores=zeros[0], schema=PAIR)
