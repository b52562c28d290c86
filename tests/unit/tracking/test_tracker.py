"""Numbers that stay: made sequences with known identities, and every promise of the tracker."""

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
from helpers.sequences import COCO, Moment, Noise, Walker, identity_f1, play

FRAME_S = 1 / 30
QUIET = Noise(spread=0.2, gross=0, missed=0, ghosts=0)


def person(x=300.0, score=0.9, y=600.0, height=300.0):
    """The pose of somebody who stands at a place, and the score of it."""
    return Walker(lambda _: (x, y), height, steps_hz=0).keypoints(0), score


def poses_of(*people, schema=COCO):
    if not people:
        return Poses.empty(schema)
    keypoints = np.array([keypoints for keypoints, _ in people], np.float32)
    scores = np.array([score for _, score in people], np.float32)
    return Poses(keypoints, np.full(keypoints.shape[:2], 0.8, np.float32), scores, schema)


def numbers_over_time(frames, times_s=None, **options):
    """The numbers of the poses in each frame, sorted by the x of the first keypoint."""
    tracker = Tracker(**options)
    times_s = np.arange(len(frames)) * FRAME_S if times_s is None else times_s
    answers = []
    for people, time_s in zip(frames, times_s, strict=True):
        answer = tracker.update(poses_of(*people), float(time_s))
        answers.append(answer.track_ids[np.argsort(answer.keypoints[:, 0, 0])].tolist())
    return answers


def track(moments, **options):
    tracker = Tracker(**options)
    return [tracker.update(moment.found, moment.time_s) for moment in moments]


@pytest.mark.parametrize(
    ("sequence", "seed"),
    [
        *((sequence, seed) for sequence in ("crossing", "occlusion", "leaving") for seed in range(3)),
        ("occlusion", 34),  # one comes out where the other has just gone in
        *(("eight", seed) for seed in (0, 1, 2, 35, 43)),  # the last two need to know who is hidden
    ],
)
def test_numbers_follow_people(sequence, seed):
    moments = getattr(sequences, sequence)(seed)
    assert identity_f1(moments, track(moments)) >= 0.95


def truth_answers(moments, numbers):
    """Answers that are true, with the numbers that a function gives to identities at times."""
    answers = []
    for moment in moments:
        people = [(keypoints, 0.9) for keypoints in moment.truth.values()]
        ids = [numbers(identity[0], moment.time_s) for identity in moment.truth]
        answers.append(replace(poses_of(*people), track_ids=np.array(ids, np.int64)))
    return answers


def test_the_measure_itself():
    moments = play([Walker(lambda _, x=x: (x, 600)) for x in (200, 800)], 2, seed=0, noise=QUIET)
    assert len(moments) == 60
    assert identity_f1(moments, truth_answers(moments, lambda identity, _: 7 - identity)) == 1
    swapped = truth_answers(moments, lambda identity, time_s: identity if time_s < 1.49 else 1 - identity)
    assert identity_f1(moments, swapped) == pytest.approx(0.75)
    renamed = truth_answers(moments, lambda identity, time_s: identity if time_s < 0.99 else identity + 10)
    assert identity_f1(moments, renamed) == pytest.approx(0.5)
    half = [answer[answer.track_ids == 0] for answer in truth_answers(moments, lambda identity, _: identity)]
    assert identity_f1(moments, half) == pytest.approx(2 / 3)
    ghosts = truth_answers(moments, lambda identity, _: identity)
    away = [replace(answer, keypoints=answer.keypoints + np.float32([[[500]], [[0]]])) for answer in ghosts]
    assert identity_f1(moments, away) == pytest.approx(0.5)
    unnumbered = truth_answers(moments, lambda *_: NO_TRACK)
    assert identity_f1(moments, unnumbered) == 0


def test_the_first_frame_numbers_everybody_at_once():
    assert numbers_over_time([[person(100), person(500)]]) == [[1, 2]]


def test_somebody_new_gets_a_number_when_seen_again_and_a_ghost_none():
    frames = [[person(100)], [person(100), person(900)], [person(100), person(901)], [person(100), person(500)]]
    frames += [[person(100), person(905)], [person(100), person(905), person(500)], [person(500), person(505, y=300)]]
    assert numbers_over_time(frames) == [[1], [1, -1], [1, 2], [1, -1], [1, 2], [1, -1, 2], [3, -1]]


def test_poses_below_the_threshold_only_continue_people():
    frames = [[person(100), person(500, 0.3)], [person(100, 0.3), person(500, 0.3)], [person(100), person(500, 0.3)]]
    assert numbers_over_time(frames) == [[1], [1], [1]]
    assert numbers_over_time(frames, threshold=0.3) == [[1, 2]] * 3
    assert numbers_over_time([[person(score=0.4)]], threshold=0.4) == [[1]]


def test_a_double_of_somebody_is_left_out():
    frames = [[person(100)]] + [[person(100), person(104, 0.8)]] * 5
    assert numbers_over_time(frames) == [[1]] * 6


def test_a_double_with_left_and_right_exchanged_is_left_out_too():
    keypoints, score = person(104, 0.8)
    exchanged = keypoints[list(COCO.flip)], score
    assert numbers_over_time([[person(100)]] + [[person(100), exchanged]] * 5) == [[1]] * 6


def test_somebody_much_like_somebody_else_is_kept_without_a_number():
    frames = [[person(100)]] + [[person(100), person(118, 0.8)]] * 5 + [[person(100), person(200, 0.8)]] * 2
    assert numbers_over_time(frames) == [[1]] + [[1, -1]] * 6 + [[1, 2]]


def test_an_unsure_double_does_not_continue_the_one_who_is_hidden():
    hidden = [[person(300), person(306, 0.3)]] * 10
    frames = [[person(300), person(330, 0.8)]] * 5 + hidden
    assert numbers_over_time(frames)[-1] == [1]


def test_nobody_above_the_threshold_is_ever_left_out():
    for moment, answer in zip(moments := sequences.crossing(0), track(moments), strict=True):
        sure = moment.found[moment.found.scores >= 0.4]
        assert {pose.tobytes() for pose in sure.keypoints} <= {pose.tobytes() for pose in answer.keypoints}


@pytest.mark.parametrize("unseen_s", [0.1, 1.0, 1.9])
def test_somebody_out_of_sight_is_found_again_where_they_must_be(unseen_s):
    times_s = np.arange(0, 1, FRAME_S)
    times_s = [*times_s, *(times_s + 1 + unseen_s)]
    walkers = [[person(200 + 150 * time_s)] for time_s in times_s]
    answers = numbers_over_time(walkers, times_s)
    assert answers[:30] == [[1]] * 30
    assert answers[31:] == [[1]] * 29
    late = numbers_over_time(walkers, times_s, memory_s=0.05)
    assert late[31:] == [[2]] * 29


def test_a_child_is_not_the_adult_who_went_out_of_sight():
    frames = [[person(300)]] * 10 + [[]] * 15 + [[person(300, height=120)]] * 3
    assert numbers_over_time(frames)[-1] == [2]


@pytest.mark.parametrize("left", ["front", "hidden"])
def test_who_is_hidden_is_not_taken_for_who_stands_in_front(left):
    sure, unsure = np.full(17, 0.8), np.full(17, 0.25)

    def update(people, index):
        keypoints, keypoint_scores = (np.array(column, np.float32) for column in zip(*people, strict=True))
        scores = np.linspace(0.9, 0.8, len(people), dtype=np.float32)
        return tracker.update(Poses(keypoints, keypoint_scores, scores, COCO), index * FRAME_S).track_ids.tolist()

    tracker = Tracker()
    for index in range(20):
        assert update([(person(300)[0], sure), (person(400 - 5 * index)[0], unsure)], index) == [1, 2]
    assert update([(person(302)[0], sure if left == "front" else unsure)], 20) == [1 if left == "front" else 2]


def test_somebody_in_sight_comes_before_somebody_lost():
    frames = [[person(300), person(360)]] * 10 + [[person(360)]] * 20 + [[person(350)]] * 5
    assert numbers_over_time(frames)[-1] == [2]


def test_a_pose_that_suits_somebody_lost_best_waits_for_a_second_sight():
    small = [person(318, height=240)]
    frames = [[person(300), *small]] * 10 + [[person(300)]] * 15 + [[]] * 3 + [small] * 3
    assert numbers_over_time(frames)[-4:] == [[], [NO_TRACK], [2], [2]]


@pytest.mark.parametrize("speed", [2, 5, 8])
def test_who_sets_off_at_once_is_not_left_behind(speed):
    """In sizes per second."""
    times_s = np.arange(0, 1, FRAME_S)
    ahead = np.maximum(times_s - 0.5, 0) * speed * 105
    assert numbers_over_time([[person(200 + x)] for x in ahead], times_s) == [[1]] * 30


@pytest.mark.parametrize("frame_s", [1 / 120, 1 / 30, 1 / 10, 1 / 4, 1 / 2])
def test_any_frame_rate_will_do(frame_s):
    times_s = np.arange(0, 4, frame_s)
    frames = [[person(100 + 80 * time_s), person(900 - 80 * time_s)] for time_s in times_s]
    assert numbers_over_time(frames, times_s) == [[1, 2]] * len(frames)


def test_dropped_frames_and_uneven_times_do_no_harm():
    rng = np.random.default_rng(0)
    times_s = np.cumsum(rng.choice([1 / 60, 1 / 30, 0.3, 0.0], 100, p=[0.4, 0.4, 0.1, 0.1]))
    frames = [[person(100 + 100 * time_s), person(1100 - 60 * time_s)] for time_s in times_s]
    assert {tuple(sorted(numbers)) for numbers in numbers_over_time(frames, times_s)} == {(1, 2)}


def test_numbers_are_never_given_twice():
    tracker = Tracker()
    seen = []
    for time_s in (0, 1, 2):
        seen += tracker.update(poses_of(person(100), person(800)), time_s).track_ids.tolist()
        tracker.reset()
    assert seen == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_any_schema(count):
    schema = KeypointSchema.from_names("other", [f"k{index}" for index in range(count)])
    shape = np.random.default_rng(0).uniform(0, 100, (count, 2)) * (count > 1)
    tracker = Tracker()
    for frame in range(30):
        people = [(shape + np.array([2 * frame, 50]), 0.9), (shape + np.array([900 - 2 * frame, 50]), 0.8)]
        assert tracker.update(poses_of(*people, schema=schema), frame * FRAME_S).track_ids.tolist() == [1, 2]


def test_missing_keypoints_and_scores_do_no_harm():
    rng = np.random.default_rng(0)
    tracker = Tracker()
    for frame in range(40):
        poses = poses_of(person(100 + frame), person(700 - frame))
        keypoints, scores = poses.keypoints.copy(), poses.keypoint_scores.copy()
        gone = rng.random(scores.shape) < 0.5
        keypoints[gone], scores[gone] = ((np.nan, 0), (0, 0), (np.inf, np.nan))[frame % 3]
        answer = tracker.update(replace(poses, keypoints=keypoints, keypoint_scores=scores), frame * FRAME_S)
        assert sorted(answer.track_ids.tolist()) == [1, 2]
        np.testing.assert_array_equal(answer.keypoints, keypoints)
    nothing = replace(poses, keypoints=np.full_like(keypoints, np.nan), keypoint_scores=np.zeros_like(scores))
    assert len(tracker.update(nothing, 2)) == 2
    unscored = replace(poses, scores=np.full(2, np.nan, np.float32))
    assert len(tracker.update(unscored, 2.1)) == 0


def test_the_input_is_not_changed_and_its_numbers_are_replaced():
    poses = replace(poses_of(person(100), person(800)), track_ids=np.array([70, 80]))
    answer = Tracker().update(poses, 0)
    assert poses.track_ids.tolist() == [70, 80]
    assert answer.track_ids.tolist() == [1, 2]


def frame_at(time_s, origin, image=None):
    return Frame(np.zeros((90, 160, 3), np.uint8) if image is None else image, origin, 0, time_s)


VIDEO = Origin("a.mp4", rate=Fraction(30))


@pytest.mark.parametrize(
    ("second", "number"),
    [
        (frame_at(FRAME_S, VIDEO), 1),
        (frame_at(FRAME_S, Origin("b.mp4", rate=Fraction(30))), 2),
        (frame_at(-1.0, VIDEO), 2),
        (frame_at(FRAME_S, VIDEO, np.zeros((90, 100, 3), np.uint8)), 2),
        (frame_at(9.0, VIDEO), -1),
    ],
    ids=["same video", "another video", "time goes back", "another size", "long gap"],
)
def test_what_frames_continue(second, number):
    tracker = Tracker()
    tracker(frame_at(0, VIDEO), poses_of(person()))
    assert tracker(second, poses_of(person())).track_ids.tolist() == [number]


def test_pictures_in_a_row_are_a_video():
    tracker = Tracker()
    for index in range(5):
        answer = tracker(frame_at(0, Origin(f"{index}.jpg")), poses_of(person(100 + 3 * index)))
        assert answer.track_ids.tolist() == [1]


def test_a_scene_cut_makes_everybody_new():
    rng = np.random.default_rng(0)
    shots = [np.kron(rng.integers(0, 256, (9, 16, 3)), np.ones((10, 10, 1))).astype(np.uint8) for _ in range(2)]
    tracker = Tracker()
    numbers = [
        tracker(frame_at(index * FRAME_S, VIDEO, shots[index // 3]), poses_of(person())).track_ids.tolist()
        for index in range(6)
    ]
    assert numbers == [[1]] * 3 + [[2]] * 3


@pytest.mark.parametrize("options", [{"threshold": -0.1}, {"threshold": 1.1}, {"memory_s": 0}, {"memory_s": np.inf}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(OptionError, match=next(iter(options))) as caught:
        Tracker(**options)
    assert caught.value.hint


def test_the_threshold_may_change_on_the_way():
    tracker = Tracker(0.5)
    found = []
    for index, threshold in enumerate([0.5, 0.2, 0.2, 0.5, 0.9]):
        tracker.threshold = threshold
        people = poses_of(person(100, 0.9), person(700, 0.3))
        found.append(tracker.update(people, index * FRAME_S).track_ids.tolist())
    assert found == [[1], [1, NO_TRACK], [1, 2], [1, 2], [1, 2]]
    with pytest.raises(OptionError, match="threshold"):
        tracker.threshold = 1.1
    assert tracker.threshold == 0.9


@pytest.mark.parametrize("time_s", [0.9, np.nan, np.inf])
def test_a_time_that_goes_back_or_is_none_is_refused(time_s):
    tracker = Tracker()
    tracker.update(poses_of(person()), 1)
    with pytest.raises(OptionError, match="seconds from 1"):
        tracker.update(poses_of(person()), time_s)
    tracker.reset()
    tracker.update(poses_of(person()), 0)


def test_poses_of_another_schema_are_refused():
    tracker = Tracker()
    tracker.update(poses_of(person()), 0)
    with pytest.raises(OptionError, match="'dots' cannot continue poses of the schema 'coco'"):
        tracker.update(Poses.empty(KeypointSchema.from_names("dots", ["a"])), 1)


def test_moments_know_who_is_in_sight():
    moments = play([Walker(lambda _: (600, 600))], 0.1, seed=0, noise=QUIET, pillars=[(0, 1280)])
    assert moments == [Moment(moment.time_s, {}, {}, moment.found) for moment in moments]
    assert all(len(moment.found) == 0 for moment in moments)
