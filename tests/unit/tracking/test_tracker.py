"""Stable track ids, on simulated sequences with known identities and on single situations."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from e2pose.core.errors import OptionError
from e2pose.core.frame import Frame, Origin
from e2pose.core.poses import NO_TRACK, Poses
from e2pose.core.schema import KeypointSchema
from e2pose.tracking.tracker import Tracker
from helpers import sequences
from helpers.sequences import COCO, DetectorNoise, SimulatedFrame, Walker, identity_f1, simulate

FRAME_S = 1 / 30
LOW_NOISE = DetectorNoise(spread=0.2, outliers=0, missed=0, false_positives=0)


def person(x=300.0, score=0.9, y=600.0, height=300.0):
    """Keypoints and score of a standing person."""
    return Walker(lambda _: (x, y), height, steps_hz=0).keypoints(0), score


def poses_of(*persons, schema=COCO):
    if not persons:
        return Poses.empty(schema)
    keypoints = np.array([keypoints for keypoints, _ in persons], np.float32)
    scores = np.array([score for _, score in persons], np.float32)
    return Poses(keypoints, np.full(keypoints.shape[:2], 0.8, np.float32), scores, schema)


def track_ids_over_time(frames, times_s=None, **options):
    """The ids in each frame, sorted by the x of the first keypoint."""
    tracker = Tracker(**options)
    times_s = np.arange(len(frames)) * FRAME_S if times_s is None else times_s
    ids = []
    for persons, time_s in zip(frames, times_s, strict=True):
        tracked = tracker.update(poses_of(*persons), float(time_s))
        ids.append(tracked.track_ids[np.argsort(tracked.keypoints[:, 0, 0])].tolist())
    return ids


def track(frames, **options):
    tracker = Tracker(**options)
    return [tracker.update(frame.detected, frame.time_s) for frame in frames]


# Simulated sequences.


@pytest.mark.parametrize(
    ("sequence", "seed"),
    [
        *((sequence, seed) for sequence in ("crossing", "occlusion", "leaving") for seed in range(3)),
        ("occlusion", 34),  # one person appears where the other has just disappeared
        *(("eight", seed) for seed in (0, 1, 2, 35, 43)),  # the last two need the visible share
    ],
)
def test_ids_follow_persons(sequence, seed, unchecked):  # three times as fast as with type checks
    frames = getattr(sequences, sequence)(seed)
    assert identity_f1(frames, track(frames)) >= 0.95


def true_poses(frames, id_of):
    """The ground truth as poses, with the ids that a function gives to identities at times."""
    results = []
    for frame in frames:
        persons = [(keypoints, 0.9) for keypoints in frame.truth.values()]
        ids = [id_of(identity[0], frame.time_s) for identity in frame.truth]
        results.append(replace(poses_of(*persons), track_ids=np.array(ids, np.int64)))
    return results


def test_idf1_of_known_errors():
    frames = simulate([Walker(lambda _, x=x: (x, 600)) for x in (200, 800)], 2, seed=0, noise=LOW_NOISE)
    assert len(frames) == 60
    assert identity_f1(frames, true_poses(frames, lambda identity, _: 7 - identity)) == 1
    swapped = true_poses(frames, lambda identity, time_s: identity if time_s < 1.49 else 1 - identity)
    assert identity_f1(frames, swapped) == pytest.approx(0.75)
    renamed = true_poses(frames, lambda identity, time_s: identity if time_s < 0.99 else identity + 10)
    assert identity_f1(frames, renamed) == pytest.approx(0.5)
    half = [poses[poses.track_ids == 0] for poses in true_poses(frames, lambda identity, _: identity)]
    assert identity_f1(frames, half) == pytest.approx(2 / 3)
    exact = true_poses(frames, lambda identity, _: identity)
    moved = [replace(poses, keypoints=poses.keypoints + np.float32([[[500]], [[0]]])) for poses in exact]
    assert identity_f1(frames, moved) == pytest.approx(0.5)
    assert identity_f1(frames, true_poses(frames, lambda *_: NO_TRACK)) == 0


def test_simulation_leaves_out_occluded_persons():
    frames = simulate([Walker(lambda _: (600, 600))], 0.1, seed=0, noise=LOW_NOISE, occluders=[(0, 1280)])
    assert frames == [SimulatedFrame(frame.time_s, {}, {}, frame.detected) for frame in frames]
    assert all(len(frame.detected) == 0 for frame in frames)


# New persons, thresholds and duplicates.


def test_first_frame_assigns_ids_at_once():
    assert track_ids_over_time([[person(100), person(500)]]) == [[1, 2]]


def test_new_person_gets_an_id_with_the_second_detection_in_a_row():
    frames = [[person(100)], [person(100), person(900)], [person(100), person(901)], [person(100), person(500)]]
    frames += [[person(100), person(905)], [person(100), person(905), person(500)], [person(500), person(505, y=300)]]
    assert track_ids_over_time(frames) == [[1], [1, -1], [1, 2], [1, -1], [1, 2], [1, -1, 2], [3, -1]]


def test_low_score_detections_only_continue_tracks():
    frames = [[person(100), person(500, 0.3)], [person(100, 0.3), person(500, 0.3)], [person(100), person(500, 0.3)]]
    assert track_ids_over_time(frames) == [[1], [1], [1]]
    assert track_ids_over_time(frames, threshold=0.3) == [[1, 2]] * 3
    assert track_ids_over_time([[person(score=0.4)]], threshold=0.4) == [[1]]


def test_duplicates_are_dropped():
    frames = [[person(100)]] + [[person(100), person(104, 0.8)]] * 5
    assert track_ids_over_time(frames) == [[1]] * 6


def test_duplicates_with_swapped_sides_are_dropped():
    keypoints, score = person(104, 0.8)
    swapped = keypoints[list(COCO.flip)], score
    assert track_ids_over_time([[person(100)]] + [[person(100), swapped]] * 5) == [[1]] * 6


def test_similar_detection_is_kept_without_an_id():
    frames = [[person(100)]] + [[person(100), person(118, 0.8)]] * 5 + [[person(100), person(200, 0.8)]] * 2
    assert track_ids_over_time(frames) == [[1]] + [[1, -1]] * 6 + [[1, 2]]


def test_low_score_duplicate_does_not_continue_an_occluded_person():
    occluded = [[person(300), person(306, 0.3)]] * 10
    frames = [[person(300), person(330, 0.8)]] * 5 + occluded
    assert track_ids_over_time(frames)[-1] == [1]


def test_every_detection_above_the_threshold_is_kept():
    for frame, tracked in zip(frames := sequences.crossing(0), track(frames), strict=True):
        strong = frame.detected[frame.detected.scores >= 0.4]
        assert {pose.tobytes() for pose in strong.keypoints} <= {pose.tobytes() for pose in tracked.keypoints}


def test_threshold_may_change_between_frames():
    tracker = Tracker(0.5)
    ids = []
    for index, threshold in enumerate([0.5, 0.2, 0.2, 0.5, 0.9]):
        tracker.threshold = threshold
        persons = poses_of(person(100, 0.9), person(700, 0.3))
        ids.append(tracker.update(persons, index * FRAME_S).track_ids.tolist())
    assert ids == [[1], [1, NO_TRACK], [1, 2], [1, 2], [1, 2]]
    with pytest.raises(OptionError, match="threshold"):
        tracker.threshold = 1.1
    assert tracker.threshold == 0.9


# Occlusion and motion.


@pytest.mark.parametrize("unseen_s", [0.1, 1.0, 1.9])
def test_undetected_person_is_recovered_at_the_predicted_position(unseen_s):
    times_s = np.arange(0, 1, FRAME_S)
    times_s = [*times_s, *(times_s + 1 + unseen_s)]
    walker = [[person(200 + 150 * time_s)] for time_s in times_s]
    ids = track_ids_over_time(walker, times_s)
    assert ids[:30] == [[1]] * 30
    assert ids[31:] == [[1]] * 29
    forgotten = track_ids_over_time(walker, times_s, memory_s=0.05)
    assert forgotten[31:] == [[2]] * 29


def test_person_of_another_size_is_a_new_person():
    frames = [[person(300)]] * 10 + [[]] * 15 + [[person(300, height=120)]] * 3
    assert track_ids_over_time(frames)[-1] == [2]


@pytest.mark.parametrize("remaining", ["front", "occluded"])
def test_visible_share_distinguishes_persons_at_the_same_place(remaining):
    high, low = np.full(17, 0.8), np.full(17, 0.25)

    def update(persons, index):
        keypoints, keypoint_scores = (np.array(column, np.float32) for column in zip(*persons, strict=True))
        scores = np.linspace(0.9, 0.8, len(persons), dtype=np.float32)
        return tracker.update(Poses(keypoints, keypoint_scores, scores, COCO), index * FRAME_S).track_ids.tolist()

    tracker = Tracker()
    for index in range(20):
        assert update([(person(300)[0], high), (person(400 - 5 * index)[0], low)], index) == [1, 2]
    assert update([(person(302)[0], high if remaining == "front" else low)], 20) == [1 if remaining == "front" else 2]


def test_detected_persons_take_precedence_over_lost_ones():
    frames = [[person(300), person(360)]] * 10 + [[person(360)]] * 20 + [[person(350)]] * 5
    assert track_ids_over_time(frames)[-1] == [2]


def test_detection_that_matches_a_lost_person_best_waits_for_a_second_one():
    small = [person(318, height=240)]
    frames = [[person(300), *small]] * 10 + [[person(300)]] * 15 + [[]] * 3 + [small] * 3
    assert track_ids_over_time(frames)[-4:] == [[], [NO_TRACK], [2], [2]]


@pytest.mark.parametrize("speed", [2, 5, 8])
def test_sudden_start_keeps_the_id(speed):
    """In sizes per second."""
    times_s = np.arange(0, 1, FRAME_S)
    distance = np.maximum(times_s - 0.5, 0) * speed * 105
    assert track_ids_over_time([[person(200 + x)] for x in distance], times_s) == [[1]] * 30


@pytest.mark.parametrize("frame_s", [1 / 120, 1 / 30, 1 / 10, 1 / 4, 1 / 2])
def test_any_frame_rate_works(frame_s, unchecked):
    times_s = np.arange(0, 4, frame_s)
    frames = [[person(100 + 80 * time_s), person(900 - 80 * time_s)] for time_s in times_s]
    assert track_ids_over_time(frames, times_s) == [[1, 2]] * len(frames)


def test_dropped_frames_and_uneven_times_keep_the_ids():
    rng = np.random.default_rng(0)
    times_s = np.cumsum(rng.choice([1 / 60, 1 / 30, 0.3, 0.0], 100, p=[0.4, 0.4, 0.1, 0.1]))
    frames = [[person(100 + 100 * time_s), person(1100 - 60 * time_s)] for time_s in times_s]
    assert {tuple(sorted(ids)) for ids in track_ids_over_time(frames, times_s)} == {(1, 2)}


def test_ids_are_never_reused():
    tracker = Tracker()
    ids = []
    for time_s in (0, 1, 2):
        ids += tracker.update(poses_of(person(100), person(800)), time_s).track_ids.tolist()
        tracker.reset()
    assert ids == [1, 2, 3, 4, 5, 6]


# Inputs.


@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_any_schema_is_accepted(count):
    schema = KeypointSchema.from_names("other", [f"k{index}" for index in range(count)])
    shape = np.random.default_rng(0).uniform(0, 100, (count, 2)) * (count > 1)
    tracker = Tracker()
    for frame in range(30):
        persons = [(shape + np.array([2 * frame, 50]), 0.9), (shape + np.array([900 - 2 * frame, 50]), 0.8)]
        assert tracker.update(poses_of(*persons, schema=schema), frame * FRAME_S).track_ids.tolist() == [1, 2]


def test_missing_keypoints_and_scores_are_tolerated():
    rng = np.random.default_rng(0)
    tracker = Tracker()
    for frame in range(40):
        poses = poses_of(person(100 + frame), person(700 - frame))
        keypoints, scores = poses.keypoints.copy(), poses.keypoint_scores.copy()
        gone = rng.random(scores.shape) < 0.5
        keypoints[gone], scores[gone] = ((np.nan, 0), (0, 0), (np.inf, np.nan))[frame % 3]
        tracked = tracker.update(replace(poses, keypoints=keypoints, keypoint_scores=scores), frame * FRAME_S)
        assert sorted(tracked.track_ids.tolist()) == [1, 2]
        np.testing.assert_array_equal(tracked.keypoints, keypoints)
    nothing = replace(poses, keypoints=np.full_like(keypoints, np.nan), keypoint_scores=np.zeros_like(scores))
    assert len(tracker.update(nothing, 2)) == 2
    unscored = replace(poses, scores=np.full(2, np.nan, np.float32))
    assert len(tracker.update(unscored, 2.1)) == 0


def test_existing_ids_are_replaced_and_the_input_is_not_modified():
    poses = replace(poses_of(person(100), person(800)), track_ids=np.array([70, 80]))
    tracked = Tracker().update(poses, 0)
    assert poses.track_ids.tolist() == [70, 80]
    assert tracked.track_ids.tolist() == [1, 2]


def frame_at(time_s, origin, image=None):
    return Frame(np.zeros((90, 160, 3), np.uint8) if image is None else image, origin, 0, time_s)


VIDEO = Origin("a.mp4", rate=Fraction(30))


@pytest.mark.parametrize(
    ("second", "track_id"),
    [
        (frame_at(FRAME_S, VIDEO), 1),
        (frame_at(FRAME_S, Origin("b.mp4", rate=Fraction(30))), 2),
        (frame_at(-1.0, VIDEO), 2),
        (frame_at(FRAME_S, VIDEO, np.zeros((90, 100, 3), np.uint8)), 2),
        (frame_at(9.0, VIDEO), -1),
    ],
    ids=["same video", "another video", "time decreases", "another size", "long gap"],
)
def test_tracks_continue_within_one_video_only(second, track_id):
    tracker = Tracker()
    tracker(frame_at(0, VIDEO), poses_of(person()))
    assert tracker(second, poses_of(person())).track_ids.tolist() == [track_id]


def test_still_images_are_tracked_like_a_video():
    tracker = Tracker()
    for index in range(5):
        tracked = tracker(frame_at(0, Origin(f"{index}.jpg")), poses_of(person(100 + 3 * index)))
        assert tracked.track_ids.tolist() == [1]


def test_scene_cut_resets_tracks():
    rng = np.random.default_rng(0)
    shots = [np.kron(rng.integers(0, 256, (9, 16, 3)), np.ones((10, 10, 1))).astype(np.uint8) for _ in range(2)]
    tracker = Tracker()
    ids = [
        tracker(frame_at(index * FRAME_S, VIDEO, shots[index // 3]), poses_of(person())).track_ids.tolist()
        for index in range(6)
    ]
    assert ids == [[1]] * 3 + [[2]] * 3


@pytest.mark.parametrize("options", [{"threshold": -0.1}, {"threshold": 1.1}, {"memory_s": 0}, {"memory_s": np.inf}])
def test_options_out_of_range_are_rejected(options):
    with pytest.raises(OptionError, match=next(iter(options))) as caught:
        Tracker(**options)
    assert caught.value.hint


@pytest.mark.parametrize("time_s", [0.9, np.nan, np.inf])
def test_decreasing_or_infinite_time_is_rejected(time_s):
    tracker = Tracker()
    tracker.update(poses_of(person()), 1)
    with pytest.raises(OptionError, match="must be at least 1, not"):
        tracker.update(poses_of(person()), time_s)
    tracker.reset()
    tracker.update(poses_of(person()), 0)


def test_another_schema_is_rejected():
    tracker = Tracker()
    tracker.update(poses_of(person()), 0)
    with pytest.raises(OptionError, match="'dots' cannot continue tracks of the schema 'coco'"):
        tracker.update(Poses.empty(KeypointSchema.from_names("dots", ["a"])), 1)
