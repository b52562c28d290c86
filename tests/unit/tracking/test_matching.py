"""Thresholds and weights of the tracker, at poses with exactly known similarity."""

import numpy as np
import pytest

from e2pose.core.poses import NO_TRACK, Poses
from e2pose.core.schema import KeypointSchema
from e2pose.tracking.association import pose_similarity, pose_sizes
from e2pose.tracking.track import Detections, Track
from e2pose.tracking.tracker import Tracker, _affinity

SIGMA = 0.05
SQUARE = KeypointSchema("square", ("a", "b", "c", "d"), (), (0, 1, 2, 3), (SIGMA,) * 4)
CORNERS = np.array([[-50, -50], [50, -50], [50, 50], [-50, 50]], np.float64)
SIZE = 50 * np.sqrt(2)
FRAME_S = 1 / 30


def make_poses(*offsets, scores=None, weight=1.0, scale=1.0):
    """Equal squares, shifted along x."""
    keypoints = np.stack([scale * CORNERS + [x, 0] for x in offsets]).astype(np.float32)
    scores = np.linspace(0.9, 0.8, len(offsets)) if scores is None else scores
    return Poses(keypoints, np.full((len(offsets), 4), weight, np.float32), np.array(scores, np.float32), SQUARE)


def offset_with(similarity, drift=0.0):
    """The shift of a square that leaves this similarity, for a prediction with a standard deviation in sizes."""
    return SIZE * np.hypot(2 * SIGMA, drift) * np.sqrt(-2 * np.log(similarity))


def ids(tracker, poses, time_s):
    return tracker.update(poses, time_s).track_ids.tolist()


def steady_tracker(**options):
    """A tracker with one person at x = 0 who was detected in many frames until the time 0."""
    tracker = Tracker(**options)
    for index in range(-30, 1):
        assert ids(tracker, make_poses(0), index * FRAME_S) == [1]
    return tracker


DRIFT = 0.6 * FRAME_S + FRAME_S**2  # sizes, in the next frame


@pytest.mark.parametrize(("similarity", "expected"), [(0.12, [1]), (0.08, [NO_TRACK])])
def test_track_continues_from_a_similarity_of_a_tenth(similarity, expected):
    assert ids(steady_tracker(), make_poses(offset_with(similarity, DRIFT)), FRAME_S) == expected


@pytest.mark.parametrize(("similarity", "expected"), [(0.37, [1]), (0.29, [])])
def test_low_score_detection_needs_a_similarity_of_a_third(similarity, expected):
    """The similarity of a detection below the threshold is multiplied by 0.3."""
    weak = make_poses(offset_with(similarity, DRIFT), scores=[0.3])
    assert ids(steady_tracker(), weak, FRAME_S) == expected


@pytest.mark.parametrize(("other_x", "expected"), [(14, [1, 2]), (18, [1])])
def test_duplicate_of_a_person_needs_a_similarity_of_a_third_to_continue_another(other_x, expected):
    """The duplicate has a similarity of 0.75 to the person at 0, and of 0.48 or 0.21 to the other one."""
    tracker = Tracker()
    for index in range(-30, 1):
        assert ids(tracker, make_poses(0, other_x), index * FRAME_S) == [1, 2]
    assert ids(tracker, make_poses(0, 5.3), FRAME_S) == expected


def test_weak_detection_loses_against_a_strong_one_farther_away():
    near_weak, far_strong = offset_with(0.9, DRIFT), -offset_with(0.5, DRIFT)
    poses = make_poses(near_weak, far_strong, scores=[0.3, 0.9])
    tracked = steady_tracker().update(poses, FRAME_S)
    assert tracked.track_ids.tolist() == [1]
    assert tracked.keypoints[0].mean(axis=0)[0] == pytest.approx(far_strong, abs=0.01)


@pytest.mark.parametrize(
    ("similarity", "expected"), [(0.73, [1]), (0.67, [1, NO_TRACK]), (0.28, [1, NO_TRACK]), (0.22, [1, 2])]
)
def test_similar_detections_of_the_first_frame_are_duplicates_or_get_no_id(similarity, expected):
    assert ids(Tracker(), make_poses(0, offset_with(similarity)), 0) == expected


@pytest.mark.parametrize(("gap_s", "expected"), [(0.23, [1]), (0.28, [NO_TRACK])])
def test_person_lost_for_a_quarter_of_a_second_needs_two_detections(gap_s, expected):
    tracker = steady_tracker()
    for time_s in np.arange(FRAME_S, gap_s - 1e-6, 0.02).tolist():
        assert ids(tracker, make_poses(900, scores=[0.1]), time_s) == []
    assert ids(tracker, make_poses(0), gap_s) == expected
    assert ids(tracker, make_poses(0), gap_s + FRAME_S) == [1]


@pytest.mark.parametrize(("gap_s", "expected"), [(1.9, [1]), (2.1, [2])])
def test_persons_are_remembered_for_two_seconds_by_default(gap_s, expected):
    tracker = steady_tracker()
    ids(tracker, make_poses(0), gap_s)
    assert ids(tracker, make_poses(0), gap_s + FRAME_S) == expected


# Affinity: 1 + ln(100 * likelihood), where the likelihood is a product of factors.


def affinity_of(detected, unseen_s=0.0, weight=1.0):
    track = Track.start(Detections.of(make_poses(0, weight=weight)), 0, 0.0)
    track.num_detections = 2
    return float(_affinity([track], Detections.of(detected), [0], unseen_s)[0, 0])


def test_identical_pose_has_the_highest_affinity():
    assert affinity_of(make_poses(0)) == pytest.approx(1 + np.log(100))


def test_each_second_without_detection_halves_the_likelihood():
    assert affinity_of(make_poses(0), unseen_s=2) == pytest.approx(1 + np.log(100) + 2 * np.log(0.5))


@pytest.mark.parametrize("unseen_s", [0.0, 1.0])
def test_change_of_the_visible_share_lowers_the_likelihood(unseen_s):
    """One standard deviation is 0.2, plus 1 for each second without detection."""
    change = 0.4 / (0.2 + unseen_s)
    expected = 1 + np.log(100) + unseen_s * np.log(0.5) - change**2 / 2
    assert affinity_of(make_poses(0, weight=0.9), unseen_s, weight=0.5) == pytest.approx(expected, rel=1e-5)


def similarity_to_scaled(scale, unseen_s):
    track = Track.start(Detections.of(make_poses(0)), 0, 0.0)
    track.num_detections = 2
    tolerance = np.full(4, np.hypot(2 * SIGMA * SIZE, track.drift(unseen_s)))
    return float(pose_similarity(CORNERS, scale * CORNERS, np.ones(4), tolerance))


def test_change_of_size_lowers_the_likelihood():
    """One standard deviation of the logarithm is 0.18."""
    similarity = similarity_to_scaled(1.3, 1.0)
    expected = 1 + np.log(100 * similarity * 0.5) - np.square(np.log(1.3) / 0.18) / 2
    assert affinity_of(make_poses(0, scale=1.3), 1.0) == pytest.approx(expected, rel=1e-5)
    assert pose_sizes(1.3 * CORNERS, np.ones(4)) == pytest.approx(1.3 * SIZE)


@pytest.mark.parametrize(("margin", "is_possible"), [(1.05, True), (0.95, False)])
def test_change_of_size_beyond_the_gate_is_impossible(margin, is_possible):
    """Similarity times a normal density with a standard deviation of 0.25 must reach 0.1."""
    unseen_s = 1.8
    growths = np.linspace(0.3, 0.7, 2000)
    products = [
        similarity_to_scaled(np.exp(growth), unseen_s) * np.exp(-((growth / 0.25) ** 2) / 2) for growth in growths
    ]
    growth = growths[np.argmin(np.abs(np.array(products) - margin * 0.1))]
    assert (affinity_of(make_poses(0, scale=np.exp(growth)), unseen_s) > 0) == is_possible


def test_possible_pair_never_falls_to_zero():
    """The likelihood of an accepted pair counts as at least 0.01."""
    assert affinity_of(make_poses(0, scale=1.6, weight=0.1), 1.5) == pytest.approx(1)
