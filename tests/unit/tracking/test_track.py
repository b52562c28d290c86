"""State of one track: velocity, prediction, drift and size."""

import numpy as np
import pytest

from e2pose.core.poses import Poses
from e2pose.core.schema import KeypointSchema
from e2pose.tracking.track import Detections, Track

SQUARE = KeypointSchema("square", ("a", "b", "c", "d"), (), (1, 0, 2, 3), (0.05,) * 4)
CORNERS = np.array([[-50, -50], [50, -50], [50, 50], [-50, 50]], np.float32)
SIZE = 50 * np.sqrt(2)


def detect(x, weight=1.0, scale=1.0, y=0.0):
    keypoints = (CORNERS * np.float32(scale) + np.float32([x, y]))[None]
    return Detections.of(Poses(keypoints, np.full((1, 4), weight, np.float32), np.ones(1, np.float32), SQUARE))


def start(weight=1.0):
    return Track.start(detect(0, weight), 0, 0.0)


def walk(speed, seconds=3.0, step_s=1 / 30):
    """A track that moved uniformly for long; the time is 0 at its end."""
    track = Track.start(detect(-speed * seconds), 0, -seconds)
    for time_s in np.arange(-seconds + step_s, step_s / 2, step_s):
        track.update(detect(speed * time_s), 0, time_s)
    track.last_seen_s = 0.0
    return track


def x_of(keypoints):
    return float(keypoints[:, 0].mean())


def test_second_detection_sets_the_velocity():
    track = start()
    track.update(detect(10), 0, 0.1)
    assert x_of(track.expected(0.1 + 0.001)) == pytest.approx(10 + 0.1, rel=1e-3)


def test_velocity_is_averaged_over_a_fifth_of_a_second():
    track = walk(100)
    track.update(detect(0), 0, 0.1)  # stands still for 0.1 s
    expected = 100 * np.exp(-0.1 / 0.2)
    assert x_of(track.expected(0.1001) - track.expected(0.1)) == pytest.approx(expected * 1e-4, rel=0.01)


def test_prediction_slows_down_with_a_time_constant_of_one_and_a_half_seconds():
    track = walk(100)
    assert x_of(track.expected(1.5)) == pytest.approx(150 * (1 - np.exp(-1)), rel=0.01)
    assert x_of(track.expected(100)) == pytest.approx(150, rel=0.01)


def test_velocity_is_limited_to_eight_sizes_per_second():
    track = start()
    track.update(detect(20 * SIZE), 0, 0.1)
    assert x_of(track.expected(0.101) - track.expected(0.1)) == pytest.approx(8 * SIZE * 0.001, rel=0.01)


def test_low_scores_reduce_the_velocity_update_and_the_position_update():
    """A mean weight of 0.25 is half of what has full influence."""
    track = start(0.25)
    track.update(detect(10, 0.25), 0, 1e-3)
    assert x_of(track.keypoints) == pytest.approx(5, rel=0.01)
    full = start(0.5)
    full.update(detect(10, 0.5), 0, 1e-3)
    assert x_of(full.keypoints) == pytest.approx(10, rel=0.01)
    slow, fast = (x_of(t.expected(2e-3) - t.expected(1e-3)) for t in (track, full))
    assert slow == pytest.approx(fast / 2, rel=0.01)


def test_size_is_averaged_over_half_a_second():
    track = start()
    track.update(detect(0, scale=2), 0, 0.5)
    assert track.size == pytest.approx(SIZE * (2 - np.exp(-1)))


def test_drift_grows_with_time_and_is_larger_for_new_tracks():
    track = start()
    assert track.drift(0.5) == pytest.approx(SIZE * (4.0 * 0.5 + 1.0 * 0.25))
    track.update(detect(0), 0, 0.0)
    assert track.drift(0.5) == pytest.approx(SIZE * (0.6 * 0.5 + 1.0 * 0.25))


def test_duplicates_are_also_found_with_left_and_right_swapped():
    keypoints = np.stack([CORNERS, CORNERS[[1, 0, 2, 3]], CORNERS + np.float32([300, 0])])
    detections = Detections.of(Poses(keypoints, np.ones((3, 4), np.float32), np.float32([0.9, 0.8, 0.7]), SQUARE))
    assert detections.without_duplicates(range(3), (), 0.7) == [0, 2]
    assert detections.without_duplicates(range(3), [1], 0.7) == [2]
