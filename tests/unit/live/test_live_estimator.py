"""Changing model and threshold during a run, with the tracker in step."""

import numpy as np
import pytest

from e2pose.core.candidates import Candidates
from e2pose.core.errors import ModelError
from e2pose.core.schema import KeypointSchema
from e2pose.core.spec import ModelSpec
from e2pose.inference.estimator import Estimator, load
from e2pose.live.estimator import LiveEstimator
from e2pose.tracking.tracker import Tracker


class OtherRuntime:
    """Returns one person with two keypoints, or fails."""

    description = "other"
    spec = ModelSpec("other", (8, 8), "stretch", KeypointSchema.from_names("ends", ["left_end", "right_end"]), 0.3, 0.2)

    def __init__(self, fails=False):
        self.fails = fails

    def __call__(self, pixels):
        if self.fails:
            raise ModelError("out of memory")
        ones = np.ones((len(pixels), 1), np.float32)
        points = np.tile(np.array([[0.2, 0.2], [0.7, 0.8]], np.float32), (len(pixels), 1, 1, 1))
        return Candidates(ones, np.ones((len(pixels), 1, 2), np.float32), points)


def flat_image(brightness):
    """An image whose person has the score brightness / 255 for the tiny model."""
    return np.full((40, 60, 3), brightness, np.uint8)


@pytest.fixture
def estimator(tiny_model):
    return load(tiny_model, threads=1)


def test_poses_are_those_of_the_estimator(estimator):
    model = LiveEstimator(estimator)
    np.testing.assert_array_equal(model(flat_image(200)).keypoints, estimator(flat_image(200)).keypoints)
    assert (model.threshold, model.keypoint_threshold, model.spec) == (0.4, 0.5, estimator.spec)


def test_threshold_can_change(estimator):
    model = LiveEstimator(estimator, keypoint_threshold=0.1)
    model.threshold = 0.9
    assert len(model(flat_image(200))) == 0
    model.threshold = 0.7
    assert len(model(flat_image(200))) == 1
    assert (model.threshold, model.keypoint_threshold) == (0.7, 0.1)


def test_without_keep_tracked_the_threshold_has_no_margin(estimator):
    model = LiveEstimator(estimator, Tracker(estimator.threshold))
    assert len(model(flat_image(90))) == 0


def test_keep_tracked_lowers_the_model_threshold_to_half_and_not_that_of_the_tracker(estimator):
    tracker = Tracker(estimator.threshold)
    model = LiveEstimator(estimator, tracker, keep_tracked=True)
    assert (len(model(flat_image(48))), len(model(flat_image(54)))) == (0, 1), "scores 0.19 and 0.21"
    model.threshold = 0.8
    assert tracker.threshold == 0.8
    assert (len(model(flat_image(100))), len(model(flat_image(104)))) == (0, 1), "scores 0.39 and 0.41"
    assert len(model.detect_once(flat_image(110))) == 0, "outside of the run there is no margin"


def test_detect_once_is_not_measured(estimator):
    model = LiveEstimator(estimator)
    model.detect_once(flat_image(200))
    assert model.stopwatch.latency_ms == 0


def test_track_ids_survive_threshold_changes(estimator):
    tracker = Tracker(estimator.threshold)
    model = LiveEstimator(estimator, tracker, keep_tracked=True)
    ids = []
    for index, threshold in enumerate([0.4, 0.9, 0.9, 0.05, 0.4]):
        model.threshold = threshold
        ids.append(tracker.update(model(flat_image(200)), index / 30).track_ids.tolist())
    assert ids == [[1]] * 5


def test_another_schema_restarts_tracking(estimator):
    tracker = Tracker(estimator.threshold)
    model = LiveEstimator(estimator, tracker)
    ids = []
    for index, other in enumerate([estimator, Estimator(OtherRuntime()), estimator]):
        model.switch_to(other)
        ids.append(tracker.update(model(flat_image(255)), index / 30).track_ids.tolist())
        assert (tracker.threshold, model.keypoint_threshold) == (other.threshold, other.spec.keypoint_threshold)
    assert ids == [[1], [2], [3]]


def test_another_model_with_the_same_schema_keeps_track_ids(estimator, tiny_model):
    tracker = Tracker(estimator.threshold)
    model = LiveEstimator(estimator, tracker)
    tracker.update(model(flat_image(255)), 0.0)
    model.switch_to(load(tiny_model, threads=1))
    assert tracker.update(model(flat_image(255)), 0.1).track_ids.tolist() == [1]


def test_model_that_fails_its_first_run_changes_nothing(estimator):
    tracker = Tracker(estimator.threshold)
    model = LiveEstimator(estimator, tracker)
    tracker.update(model(flat_image(255)), 0.0)
    with pytest.raises(ModelError, match="out of memory"):
        model.switch_to(Estimator(OtherRuntime(fails=True)))
    assert model.spec.name == "tiny"
    assert tracker.threshold == 0.4
    assert tracker.update(model(flat_image(255)), 0.1).track_ids.tolist() == [1]
