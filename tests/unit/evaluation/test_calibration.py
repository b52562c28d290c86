"""Expected calibration error, against values computed by hand."""

import dataclasses

import numpy as np
import pytest

from e2pose.core.poses import Poses
from e2pose.evaluation.calibration import calibration_from_scores, measure_calibration
from helpers.evaluations import CUSTOM, random_dataset


def test_error_is_the_weighted_mean_over_bins():
    scores = np.array([0.05, 0.15, 0.15, 0.72, 0.78, 1.0])
    correct = np.array([False, True, False, True, True, True])
    calibration = calibration_from_scores(scores, correct)
    assert [part.num_poses for part in calibration.bins] == [1, 2, 0, 0, 0, 0, 0, 2, 0, 1]
    filled = [part for part in calibration.bins if part.num_poses]
    assert [part.mean_score for part in filled] == pytest.approx([0.05, 0.15, 0.75, 1])
    assert [part.precision for part in filled] == [0, 0.5, 1, 1]
    assert calibration.error == pytest.approx((0.05 + 2 * 0.35 + 2 * 0.25) / 6)
    assert [part.low for part in calibration.bins] == pytest.approx(np.arange(10) / 10)
    assert [part.high for part in calibration.bins[:-1]] == [part.low for part in calibration.bins[1:]]


def test_scores_equal_to_probabilities_have_no_error():
    rng = np.random.default_rng(0)
    scores = rng.random(20000)
    assert calibration_from_scores(scores, rng.random(20000) < scores).error < 0.02
    assert calibration_from_scores(scores, np.ones(20000, bool)).error == pytest.approx(0.5, abs=0.02)


def test_score_on_the_border_belongs_to_the_upper_bin():
    scores = (np.arange(11) / 10).astype(np.float32)
    bins = calibration_from_scores(scores, np.ones(11, bool)).bins
    assert [part.num_poses for part in bins] == [1] * 9 + [2]


def test_no_poses_have_no_error():
    assert calibration_from_scores(np.zeros(0), np.zeros(0, bool)).error == 0


def test_crowds_and_poses_after_the_twentieth_are_left_out():
    dataset = random_dataset(CUSTOM, np.random.default_rng(0))
    poses_by_image = {image.id: Poses.empty(CUSTOM) for image in dataset.images}
    image = next(image for image in dataset.images if any(person.has_keypoints for person in image.persons))
    (person, *_) = (person for person in image.persons if person.has_keypoints)
    crowd = dataclasses.replace(person, is_crowd=True)

    def bin_of(person, count):
        ones = np.ones((count, 3), np.float32)
        poses = Poses(np.tile(person.keypoints, (count, 1, 1)), ones, ones[:, 0] * np.float32(0.5), CUSTOM)
        alone = dataclasses.replace(dataset, images=(dataclasses.replace(image, persons=(person,)),))
        return measure_calibration(alone, poses_by_image | {image.id: poses}).bins[5]

    assert (bin_of(person, 30).num_poses, bin_of(person, 30).precision) == (20, 0.05)
    assert bin_of(crowd, 30).num_poses == 0
