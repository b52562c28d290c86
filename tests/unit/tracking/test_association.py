"""Who belongs to whom: sizes, similarities and the best pairs, against references."""

from itertools import permutations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from e2pose.core.oks import object_keypoint_similarity
from e2pose.core.schema import load_schema
from e2pose.tracking.association import best_pairs, pose_similarity, pose_sizes, pose_weights

SIGMAS = np.array(load_schema("coco").sigmas)


def total(worth, pairs):
    return sum(worth[row, column] for row, column in pairs)


def brute_force(worth):
    """The most that pairs of a small matrix can be worth together."""
    wide = worth if worth.shape[0] <= worth.shape[1] else worth.T
    rows = range(len(wide))
    return max(
        sum(wide[row, column] for row, column in zip(rows, order, strict=True))
        for order in permutations(range(wide.shape[1]), len(wide))
    )


@pytest.mark.parametrize("kind", ["any", "ties", "sparse"])
def test_pairs_are_worth_as_much_as_can_be(kind):
    rng = np.random.default_rng(0)
    for _ in range(150):
        worth = rng.random(rng.integers(1, 6, 2))
        if kind == "ties":
            worth = worth.round(1)
        if kind == "sparse":
            worth[rng.random(worth.shape) < 0.7] = 0
        pairs = best_pairs(worth)
        assert total(worth, pairs) == pytest.approx(brute_force(worth))
        assert all(worth[row, column] > 0 for row, column in pairs)
        assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
        assert pairs == sorted(pairs)


@pytest.mark.parametrize("shape", [(40, 40), (30, 70), (70, 30)])
def test_pairs_of_many_are_those_of_scipy(shape):
    worth = np.random.default_rng(1).random(shape)
    assert total(worth, best_pairs(worth)) == pytest.approx(worth[linear_sum_assignment(-worth)].sum(), rel=1e-12)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (2, 2)])
def test_nobody_and_nothing_allowed_make_no_pairs(shape):
    assert best_pairs(np.zeros(shape)) == []


def test_a_pair_that_must_not_be_made_is_not_made_to_please_others():
    assert best_pairs(np.array([[1.0, 0.9], [0.0, 0.0]])) == [(0, 0)]
    assert best_pairs(np.array([[1.0, 0.9], [0.8, 0.0]])) == [(0, 1), (1, 0)]


def test_similarity_is_oks_where_all_keypoints_count():
    rng = np.random.default_rng(2)
    expected, found = rng.uniform(0, 100, (3, 17, 2)), rng.uniform(0, 100, (4, 17, 2))
    areas = np.array([900.0, 2500.0, 6400.0])
    tolerances = 2 * SIGMAS * np.sqrt(areas)[:, None, None]
    mine = pose_similarity(expected[:, None], found[None], np.ones((3, 4, 17)), tolerances)
    oks = object_keypoint_similarity(found, expected, np.ones((3, 17), bool), areas, SIGMAS)
    np.testing.assert_allclose(mine, oks.T, rtol=1e-12)


def test_keypoints_count_by_their_weight():
    expected, found = np.zeros((2, 2)), np.array([[0.0, 0.0], [1000.0, 0.0]])
    similarity = [
        float(pose_similarity(expected, found, np.array(weights), np.ones(2)))
        for weights in ([1, 1.0], [0.6, 0.2], [1, 0.0], [0, 0.0])
    ]
    assert similarity == pytest.approx([0.5, 0.75, 1, 0])


def test_weights_are_scores_of_what_is_known():
    keypoints = np.array([[[1, 2], [np.nan, 2], [1, np.inf], [0, 0], [1, 1], [1, 1]]])
    scores = np.array([[0.4, 0.9, 0.9, 0.0, np.nan, 7.0]])
    assert pose_weights(keypoints, scores).tolist() == [[0.4, 0, 0, 0, 0, 1]]


def test_size_is_about_the_root_of_the_area_and_follows_the_scale():
    from helpers.sequences import Walker

    person = Walker(lambda _: (500, 600), height=300, steps_hz=0).keypoints(0)
    size = float(pose_sizes(person, np.ones(17)))
    width, height = np.ptp(person, axis=0)
    assert size == pytest.approx(np.sqrt(0.53 * width * height), rel=0.35)
    assert float(pose_sizes(2 * person + 70, np.ones(17))) == pytest.approx(2 * size)


def test_size_leaves_out_what_does_not_count_and_is_never_nothing():
    keypoints = np.array([[0.0, 0.0], [60.0, 80.0], [9000.0, 0.0]])
    assert float(pose_sizes(keypoints, np.array([1.0, 1.0, 0.0]))) == pytest.approx(50)
    assert float(pose_sizes(keypoints, np.zeros(3))) == 8
    assert float(pose_sizes(np.array([[5.0, 5.0]]), np.ones(1))) == 8
