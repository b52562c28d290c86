"""Weights, sizes, similarities and the optimal assignment, against references."""

from itertools import permutations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from e2pose.core.oks import object_keypoint_similarity
from e2pose.tracking.association import assign_pairs, pose_similarity, pose_sizes, pose_weights
from helpers.sequences import SIGMAS, Walker


def total(affinity, pairs):
    return sum(affinity[row, column] for row, column in pairs)


def brute_force(affinity):
    """The maximum total affinity of a small matrix."""
    wide = affinity if affinity.shape[0] <= affinity.shape[1] else affinity.T
    rows = range(len(wide))
    return max(
        sum(wide[row, column] for row, column in zip(rows, order, strict=True))
        for order in permutations(range(wide.shape[1]), len(wide))
    )


@pytest.mark.parametrize("kind", ["any", "ties", "sparse"])
def test_assignment_equals_brute_force(kind):
    rng = np.random.default_rng(0)
    for _ in range(150):
        affinity = rng.random(rng.integers(1, 6, 2))
        if kind == "ties":
            affinity = affinity.round(1)
        if kind == "sparse":
            affinity[rng.random(affinity.shape) < 0.7] = 0
        pairs = assign_pairs(affinity)
        assert total(affinity, pairs) == pytest.approx(brute_force(affinity))
        assert all(affinity[row, column] > 0 for row, column in pairs)
        assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
        assert pairs == sorted(pairs)


@pytest.mark.parametrize("shape", [(40, 40), (30, 70), (70, 30)])
def test_large_assignment_equals_scipy(shape):
    affinity = np.random.default_rng(1).random(shape)
    expected = affinity[linear_sum_assignment(-affinity)].sum()
    assert total(affinity, assign_pairs(affinity)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (2, 2)])
def test_nothing_allowed_gives_no_pairs(shape):
    assert assign_pairs(np.zeros(shape)) == []


def test_pairs_with_zero_affinity_are_never_assigned():
    assert assign_pairs(np.array([[1.0, 0.9], [0.0, 0.0]])) == [(0, 0)]
    assert assign_pairs(np.array([[1.0, 0.9], [0.8, 0.0]])) == [(0, 1), (1, 0)]


def test_similarity_equals_oks_with_equal_weights():
    rng = np.random.default_rng(2)
    expected, detected = rng.uniform(0, 100, (3, 17, 2)), rng.uniform(0, 100, (4, 17, 2))
    areas = np.array([900.0, 2500.0, 6400.0])
    tolerances = 2 * SIGMAS * np.sqrt(areas)[:, None, None]
    similarity = pose_similarity(expected[:, None], detected[None], np.ones((3, 4, 17)), tolerances)
    oks = object_keypoint_similarity(detected, expected, np.ones((3, 17), bool), areas, SIGMAS)
    np.testing.assert_allclose(similarity, oks.T, rtol=1e-12)


def test_similarity_is_weighted_by_keypoint():
    expected, detected = np.zeros((2, 2)), np.array([[0.0, 0.0], [1000.0, 0.0]])
    similarity = [
        float(pose_similarity(expected, detected, np.array(weights), np.ones(2)))
        for weights in ([1, 1.0], [0.6, 0.2], [1, 0.0], [0, 0.0])
    ]
    assert similarity == pytest.approx([0.5, 0.75, 1, 0])


def test_weights_are_clipped_scores_of_finite_keypoints():
    keypoints = np.array([[[1, 2], [np.nan, 2], [1, np.inf], [0, 0], [1, 1], [1, 1]]])
    scores = np.array([[0.4, 0.9, 0.9, 0.0, np.nan, 7.0]])
    assert pose_weights(keypoints, scores).tolist() == [[0.4, 0, 0, 0, 0, 1]]


def test_size_is_about_the_square_root_of_the_area_and_scales_with_the_pose():
    person = Walker(lambda _: (500, 600), height=300, steps_hz=0).keypoints(0)
    size = float(pose_sizes(person, np.ones(17)))
    width, height = np.ptp(person, axis=0)
    assert size == pytest.approx(np.sqrt(0.53 * width * height), rel=0.35)
    assert float(pose_sizes(2 * person + 70, np.ones(17))) == pytest.approx(2 * size)


def test_size_ignores_keypoints_without_weight_and_is_at_least_8_pixels():
    keypoints = np.array([[0.0, 0.0], [60.0, 80.0], [9000.0, 0.0]])
    assert float(pose_sizes(keypoints, np.array([1.0, 1.0, 0.0]))) == pytest.approx(50)
    assert float(pose_sizes(keypoints, np.zeros(3))) == 8
    assert float(pose_sizes(np.array([[5.0, 5.0]]), np.ones(1))) == 8
