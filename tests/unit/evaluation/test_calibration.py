"""Calibration, by hand."""

import dataclasses

import numpy as np
import pytest

from e2pose.core.poses import Poses
from e2pose.evaluation.calibration import calibrate, calibration_of
from helpers.evaluations import CUSTOM, made_dataset


def test_the_error_is_the_weighted_mean_over_bins():
    scores = np.array([0.05, 0.15, 0.15, 0.72, 0.78, 1.0])
    right = np.array([False, True, False, True, True, True])
    found = calibration_of(scores, right)
    assert [one.poses for one in found.bins] == [1, 2, 0, 0, 0, 0, 0, 2, 0, 1]
    filled = [one for one in found.bins if one.poses]
    assert [one.mean_score for one in filled] == pytest.approx([0.05, 0.15, 0.75, 1])
    assert [one.precision for one in filled] == [0, 0.5, 1, 1]
    assert found.error == pytest.approx((0.05 + 2 * 0.35 + 2 * 0.25) / 6)
    assert [one.low for one in found.bins] == pytest.approx(np.arange(10) / 10)
    assert [one.high for one in found.bins[:-1]] == [one.low for one in found.bins[1:]]


def test_scores_that_are_probabilities_have_no_error():
    rng = np.random.default_rng(0)
    scores = rng.random(20000)
    assert calibration_of(scores, rng.random(20000) < scores).error < 0.02
    assert calibration_of(scores, np.ones(20000, bool)).error == pytest.approx(0.5, abs=0.02)


def test_a_score_on_the_border_belongs_to_the_upper_bin():
    scores = (np.arange(11) / 10).astype(np.float32)
    assert [one.poses for one in calibration_of(scores, np.ones(11, bool)).bins] == [1] * 9 + [2]


def test_no_poses():
    assert calibration_of(np.zeros(0), np.zeros(0, bool)).error == 0


def test_crowds_and_poses_beyond_the_twentieth_do_not_count():
    dataset = made_dataset(CUSTOM, np.random.default_rng(0))
    found = {image.id: Poses.empty(CUSTOM) for image in dataset.images}
    image = next(one for one in dataset.images if any(person.has_keypoints for person in one.persons))
    (person, *_) = (one for one in image.persons if one.has_keypoints)
    crowd = dataclasses.replace(person, is_crowd=True)

    def poses(count):
        ones = np.ones((count, 3), np.float32)
        return Poses(np.tile(person.keypoints, (count, 1, 1)), ones, ones[:, 0] * np.float32(0.5), CUSTOM)

    def counted(person, count):
        alone = dataclasses.replace(image, persons=(person,))
        return calibrate(dataclasses.replace(dataset, images=(alone,)), found | {image.id: poses(count)}).bins[5]

    assert (counted(person, 30).poses, counted(person, 30).precision) == (20, 0.05)
    assert counted(crowd, 30).poses == 0
