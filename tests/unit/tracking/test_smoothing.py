"""Steady keypoints: half the trembling, at most a frame of delay, and nothing invented."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from e2pose.core.errors import OptionError
from e2pose.core.frame import Frame, Origin
from e2pose.core.poses import NO_TRACK, Poses
from e2pose.core.schema import KeypointSchema
from e2pose.tracking.smoothing import Smoother
from helpers.sequences import COCO, SIGMAS, Walker

FRAME_S = 1 / 30
SIZE = 100.0  # pixels, of a person 285 pixels tall
DOT = KeypointSchema.from_names("dots", ["a", "b"])


def person(keypoints, scores=0.9, numbers=(1,), schema=COCO):
    keypoints = np.asarray(keypoints, np.float32).reshape(len(numbers), len(schema), 2)
    keypoint_scores = np.broadcast_to(np.asarray(scores, np.float32), keypoints.shape[:2])
    scores = np.linspace(0.9, 0.5, len(numbers), dtype=np.float32)
    return Poses(keypoints, keypoint_scores, scores, schema, np.array(numbers))


def smoothed(sequence, times_s=None, scores=0.9):
    """The keypoints (T, K, 2) of one person, smoothed."""
    smoother = Smoother()
    times_s = np.arange(len(sequence)) * FRAME_S if times_s is None else times_s
    return np.stack(
        [
            smoother.update(person(pose, scores), time_s).keypoints[0]
            for pose, time_s in zip(sequence, times_s, strict=True)
        ]
    )


def standing():
    return Walker(lambda _: (500, 600), height=285, steps_hz=0).keypoints(0)


def walking(speed, seconds=4.0):
    walker = Walker(lambda time_s: (100 + speed * SIZE * time_s, 600), height=285, steps_hz=0)
    return np.stack([walker.keypoints(time_s) for time_s in np.arange(0, seconds, FRAME_S)])


@pytest.mark.parametrize("spread", [0.03, 0.1, 0.2, 0.3, 0.4])
def test_trembling_of_a_resting_person_is_at_least_halved(spread):
    """Each trembles anew in every frame, as noise of a camera makes it; hips by 0.3 to 4 percent of the size."""
    noise = np.random.default_rng(0).normal(size=(300, 17, 2)) * spread * SIGMAS[:, None] * SIZE
    trembling = standing() + noise
    steady = smoothed(trembling)
    settled = slice(30, None)
    assert steady[settled].std(axis=0).mean() < 0.5 * trembling[settled].std(axis=0).mean()
    assert np.diff(steady[settled], axis=0).std() < 0.35 * np.diff(trembling[settled], axis=0).std()
    assert np.abs(steady[settled].mean(axis=0) - standing()).max() < 0.15 * noise.std() + 1, "it stays in its place"


def trembling(shape, seed):
    return np.random.default_rng(seed).normal(size=shape) * 0.1 * SIGMAS[:, None] * SIZE


@pytest.mark.parametrize("speed", [0.1, 0.2, 0.5, 1, 2, 5])
def test_a_moving_person_is_late_by_a_frame_at_most(speed):
    truth = walking(speed)
    late = (truth - smoothed(truth + trembling(truth.shape, 1)))[30:, :, 0].mean() / (speed * SIZE * FRAME_S)
    assert -0.2 < late < 1, "nor is it early"


@pytest.mark.parametrize(
    ("hz", "reach"), [(0.25, 0.1), (0.25, 0.5), (0.5, 0.1), (0.5, 1), (1, 0.1), (1, 0.5), (2, 0.1), (2, 0.5), (3, 0.3)]
)
def test_to_and_fro_is_late_by_a_frame_at_most_and_hardly_larger(hz, reach):
    """Peak speeds from 0.16 to 6 sizes per second; the delay is where cross-correlation with the truth is greatest."""

    def place(times_s):
        return reach * SIZE * np.sin(2 * np.pi * hz * times_s)[:, None]

    times_s = np.arange(0, 9, FRAME_S)
    truth = standing() + place(times_s)[..., None] * [1, 0]
    steady = smoothed(truth + trembling(truth.shape, 2))[30:, :, 0] - standing()[:, 0]
    delays = np.arange(-1, 4, 0.1)
    alike = [(steady * place(times_s[30:] - delay * FRAME_S)).sum() for delay in delays]
    assert -0.5 <= delays[np.argmax(alike)] <= 1
    assert 0.95 < np.abs(steady).mean() / np.abs(place(times_s[30:])).mean() < 1.12


def test_swinging_limbs_are_late_by_a_frame_at_most():
    walker = Walker(lambda _: (500, 600), height=285)
    times_s = np.arange(0, 5, FRAME_S)
    limbs = np.stack([walker.keypoints(time_s) for time_s in times_s])
    truth, steady = (sequence[30:, [9, 10, 15, 16], 0] for sequence in (limbs, smoothed(limbs)))
    errors = [np.square(steady[9:] - truth[9 - late : len(truth) - late]).mean() for late in range(4)]
    assert np.argmin(errors) <= 1
    assert errors[0] < np.square(0.05 * np.ptp(truth, axis=0)).mean()


def test_an_outlier_is_gone_after_a_frame():
    sequence = np.stack([standing()] * 12)
    sequence[5] += 0.5 * SIZE
    off = np.abs(smoothed(sequence) - standing()).max(axis=(1, 2)) / (0.5 * SIZE)
    assert off[5] < 0.4
    assert off[6:].max() < 0.15


def test_who_stops_stays_and_does_not_swing_past():
    sequence = np.concatenate([walking(2, 2), np.repeat(walking(2, 2)[-1:], 30, axis=0)])
    past = (smoothed(sequence) - sequence)[60:, :, 0] / SIZE
    assert past.max() < 0.02
    assert np.abs(past[10:]).max() < 0.02


def test_size_does_not_matter():
    sequence = walking(1) + np.random.default_rng(2).normal(size=(120, 17, 2))
    np.testing.assert_allclose(smoothed(3 * sequence), 3 * smoothed(sequence), rtol=1e-5)


def test_gaps_in_time_count_as_what_they_are():
    step = np.stack([standing(), standing() + 20])
    soon, late = (smoothed(step, [0, elapsed])[1] - standing() for elapsed in (FRAME_S, 5 * FRAME_S))
    assert (soon < late).all()
    np.testing.assert_allclose(smoothed(step, [0, 0.6])[1], step[1], err_msg="after a long gap it starts anew")
    np.testing.assert_allclose(smoothed(step, [0, 0])[1], step[0], err_msg="no time, no change")


def test_an_unsure_keypoint_pulls_less():
    jump = np.stack([standing(), standing() + 20])
    sure, unsure = (smoothed(jump, scores=score)[1] - standing() for score in (0.9, 0.1))
    assert (unsure > 0).all()
    assert (unsure < 0.5 * sure).all()


@pytest.mark.parametrize("missing", [(np.nan, 0.9), (np.inf, 0.9), (0.0, 0.0), (0.0, np.nan)])
def test_a_missing_keypoint_stays_missing_and_does_no_harm(missing):
    value, score = missing
    smoother = Smoother()
    smoother.update(person([[100, 100], [200, 100]], schema=DOT), 0)
    gone = smoother.update(person([[101, 100], [value, value]], [[0.9, score]], schema=DOT), FRAME_S)
    np.testing.assert_array_equal(gone.keypoints[0, 1], [value, value])
    assert np.isfinite(gone.keypoints[0, 0]).all()
    back = smoother.update(person([[101, 100], [210, 100]], schema=DOT), 2 * FRAME_S)
    assert 200 < back.keypoints[0, 1, 0] < 210, "it goes on from where it was"


def test_people_are_told_apart_by_their_number():
    smoother = Smoother()
    first, second = standing(), standing() + 300
    smoother.update(person([first, second], numbers=(1, 2)), 0)
    turned = smoother.update(person([second, first], numbers=(2, 1)), FRAME_S)
    np.testing.assert_allclose(turned.keypoints, [second, first], atol=1e-3)
    new = smoother.update(person([second], numbers=(3,)), 2 * FRAME_S)
    np.testing.assert_allclose(new.keypoints[0], second, atol=1e-3)


def test_somebody_without_a_number_stays_as_they_are():
    smoother = Smoother()
    for time_s, shift in ((0, 0), (FRAME_S, 50)):
        poses = person([standing() + shift], numbers=(NO_TRACK,))
        np.testing.assert_array_equal(smoother.update(poses, time_s).keypoints, poses.keypoints)


def test_everything_but_keypoints_is_kept_and_the_input_is_not_changed():
    smoother = Smoother()
    smoother.update(person([standing()]), 0)
    poses = person([standing() + 5], scores=0.3)
    before = poses.keypoints.copy()
    answer = smoother.update(poses, FRAME_S)
    np.testing.assert_array_equal(poses.keypoints, before)
    assert answer.track_ids.tolist() == [1]
    np.testing.assert_array_equal(answer.keypoint_scores, poses.keypoint_scores)
    np.testing.assert_array_equal(answer.scores, poses.scores)


def test_who_is_gone_is_forgotten():
    smoother = Smoother()
    for number in range(1, 200):
        smoother.update(person([standing()], numbers=(number,)), number)
    assert len(smoother._filters) == 1


def test_another_video_begins_anew():
    smoother = Smoother()
    image = np.zeros((8, 8, 3), np.uint8)
    first, other = (Origin(name, rate=Fraction(30)) for name in "ab")
    smoother(Frame(image, first, 0, 0), person([standing()]))
    moved = smoother(Frame(image, first, 1, FRAME_S), person([standing() + 10]))
    assert (moved.keypoints < standing() + 9.9).all()
    anew = smoother(Frame(image, other, 0, 0), person([standing() + 20]))
    np.testing.assert_allclose(anew.keypoints[0], standing() + 20, rtol=1e-6)


def test_poses_that_nobody_tracked_are_refused():
    untracked = replace(person([standing()]), track_ids=None)
    with pytest.raises(OptionError, match="without track ids") as caught:
        Smoother().update(untracked, 0)
    assert "e2pose.Tracker()" in caught.value.hint


@pytest.mark.parametrize("time_s", [0.5, np.nan, np.inf])
def test_a_time_that_goes_back_or_is_none_is_refused(time_s):
    smoother = Smoother()
    smoother.update(person([standing()]), 1)
    with pytest.raises(OptionError, match="seconds from 1"):
        smoother.update(person([standing()]), time_s)
    smoother.reset()
    smoother.update(person([standing()]), 0.5)
