"""A model that is changed while it runs, and a tracker that goes along."""

import numpy as np
import pytest

from e2pose.core.errors import ModelError
from e2pose.core.schema import KeypointSchema
from e2pose.core.spec import ModelSpec
from e2pose.inference.estimator import Estimator, load
from e2pose.live.estimator import LiveEstimator
from e2pose.tracking.tracker import Tracker


class OtherRuntime:
    """One person with two keypoints, or a fault."""

    description = "other"
    spec = ModelSpec("other", (8, 8), "stretch", KeypointSchema.from_names("ends", ["left_end", "right_end"]), 0.3, 0.2)

    def __init__(self, fails=False):
        self.fails = fails

    def __call__(self, pixels):
        from e2pose.core.candidates import Candidates

        if self.fails:
            raise ModelError("out of memory")
        ones = np.ones((len(pixels), 1), np.float32)
        points = np.tile(np.array([[0.2, 0.2], [0.7, 0.8]], np.float32), (len(pixels), 1, 1, 1))
        return Candidates(ones, np.ones((len(pixels), 1, 2), np.float32), points)


def picture(brightness):
    return np.full((40, 60, 3), brightness, np.uint8)


@pytest.fixture
def estimator(tiny_model):
    return load(tiny_model, threads=1)


def test_it_finds_what_the_estimator_finds(estimator):
    model = LiveEstimator(estimator)
    np.testing.assert_array_equal(model(picture(200)).keypoints, estimator(picture(200)).keypoints)
    assert (model.threshold, model.keypoint_threshold, model.spec) == (0.4, 0.5, estimator.spec)


def test_another_threshold(estimator):
    model = LiveEstimator(estimator, keypoint_threshold=0.1)
    model.look_for(0.9)
    assert len(model(picture(200))) == 0
    model.look_for(0.7)
    assert len(model(picture(200))) == 1
    assert (model.threshold, model.keypoint_threshold) == (0.7, 0.1)


def test_the_tracker_has_the_same_threshold_and_the_model_a_margin(estimator):
    tracker = Tracker(estimator.threshold)
    model = LiveEstimator(estimator, tracker, keeps_doubtful=True)
    assert len(model(picture(60))) == 1, "half of 0.4 is enough to be continued"
    model.look_for(0.8)
    assert tracker.threshold == 0.8
    assert (len(model(picture(90))), len(model(picture(110)))) == (0, 1)
    assert len(model.look_again(picture(110))) == 0


def test_a_person_keeps_the_number_whatever_the_threshold(estimator):
    tracker = Tracker(estimator.threshold)
    model = LiveEstimator(estimator, tracker, keeps_doubtful=True)
    numbers = []
    for index, threshold in enumerate([0.4, 0.9, 0.9, 0.05, 0.4]):
        model.look_for(threshold)
        numbers.append(tracker.update(model(picture(200)), index / 30).track_ids.tolist())
    assert numbers == [[1]] * 5


def test_other_keypoints_are_new_people_and_the_way_back_too(estimator):
    tracker = Tracker(estimator.threshold)
    model = LiveEstimator(estimator, tracker)
    numbers = []
    for index, another in enumerate([estimator, Estimator(OtherRuntime()), estimator]):
        model.use(another)
        numbers.append(tracker.update(model(picture(255)), index / 30).track_ids.tolist())
        assert (tracker.threshold, model.keypoint_threshold) == (another.threshold, another.spec.keypoint_threshold)
    assert numbers == [[1], [2], [3]]


def test_another_model_with_the_same_keypoints_keeps_the_numbers(estimator, tiny_model):
    tracker = Tracker(estimator.threshold)
    model = LiveEstimator(estimator, tracker)
    tracker.update(model(picture(255)), 0.0)
    model.use(load(tiny_model, threads=1))
    assert tracker.update(model(picture(255)), 0.1).track_ids.tolist() == [1]


def test_a_model_that_fails_at_once_changes_nothing(estimator):
    tracker = Tracker(estimator.threshold)
    model = LiveEstimator(estimator, tracker)
    tracker.update(model(picture(255)), 0.0)
    with pytest.raises(ModelError, match="out of memory"):
        model.use(Estimator(OtherRuntime(fails=True)))
    assert model.spec.name == "tiny"
    assert tracker.threshold == 0.4
    assert tracker.update(model(picture(255)), 0.1).track_ids.tolist() == [1]
