"""Smoothing halves jitter, lags by at most a frame, and invents nothing."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from e2pose.core.errors import OptionError
from e2pose.core.frame import Frame, Origin
from e2pose.core.poses import NO_TRACK, Poses
from e2pose.core.schema import KeypointSchema
from e2pose.tracking.association import pose_sizes
from e2pose.tracking.smoothing import Smoother
from helpers.sequences import COCO, SIGMAS, Walker

FRAME_S = 1 / 30
SIZE = 100.0  # pixels, of a person with a height of 285 pixels
DOT = KeypointSchema.from_names("dots", ["a", "b"])


def make_poses(keypoints, scores=0.9, ids=(1,), schema=COCO):
    keypoints = np.asarray(keypoints, np.float32).reshape(len(ids), len(schema), 2)
    keypoint_scores = np.broadcast_to(np.asarray(scores, np.float32), keypoints.shape[:2])
    person_scores = np.linspace(0.9, 0.5, len(ids), dtype=np.float32)
    return Poses(keypoints, keypoint_scores, person_scores, schema, np.array(ids))


def smooth(sequence, times_s=None, scores=0.9):
    """Smooths the keypoints (T, K, 2) of one person; the scores are those of all frames or of each (T, K)."""
    smoother = Smoother()
    times_s = np.arange(len(sequence)) * FRAME_S if times_s is None else times_s
    scores = np.broadcast_to(scores, np.shape(sequence)[:2])
    return np.stack(
        [
            smoother.update(make_poses(pose, score), time_s).keypoints[0]
            for pose, score, time_s in zip(sequence, scores, times_s, strict=True)
        ]
    )


def standing():
    return Walker(lambda _: (500, 600), height=285, steps_hz=0).keypoints(0)


def walking(speed, seconds=4.0):
    walker = Walker(lambda time_s: (100 + speed * SIZE * time_s, 600), height=285, steps_hz=0)
    return np.stack([walker.keypoints(time_s) for time_s in np.arange(0, seconds, FRAME_S)])


def jitter(shape, seed):
    return np.random.default_rng(seed).normal(size=shape) * 0.1 * SIGMAS[:, None] * SIZE


# Jitter and lag.


@pytest.mark.parametrize("spread", [0.03, 0.1, 0.2, 0.3, 0.4])
def test_jitter_of_a_resting_person_is_at_least_halved(spread):
    """Noise is independent from frame to frame, as from a camera; hips move by 0.3 to 4 percent of the size."""
    noise = np.random.default_rng(0).normal(size=(300, 17, 2)) * spread * SIGMAS[:, None] * SIZE
    noisy = standing() + noise
    steady = smooth(noisy)
    settled = slice(30, None)
    assert steady[settled].std(axis=0).mean() < 0.5 * noisy[settled].std(axis=0).mean()
    assert np.diff(steady[settled], axis=0).std() < 0.35 * np.diff(noisy[settled], axis=0).std()
    assert np.abs(steady[settled].mean(axis=0) - standing()).max() < 0.15 * noise.std() + 1, "no drift"


@pytest.mark.parametrize("speed", [0.1, 0.2, 0.5, 1, 2, 5])
def test_lag_of_uniform_motion_is_at_most_a_frame(speed):
    truth = walking(speed)
    lag = (truth - smooth(truth + jitter(truth.shape, 1)))[30:, :, 0].mean() / (speed * SIZE * FRAME_S)
    assert -0.2 < lag < 1


@pytest.mark.parametrize(
    ("hz", "reach"), [(0.25, 0.1), (0.25, 0.5), (0.5, 0.1), (0.5, 1), (1, 0.1), (1, 0.5), (2, 0.1), (2, 0.5), (3, 0.3)]
)
def test_lag_of_oscillation_is_at_most_a_frame_with_little_overshoot(hz, reach):
    """Peak speeds from 0.16 to 6 sizes per second; the lag is at the maximum of the cross-correlation."""

    def offset(times_s):
        return reach * SIZE * np.sin(2 * np.pi * hz * times_s)[:, None]

    times_s = np.arange(0, 9, FRAME_S)
    truth = standing() + offset(times_s)[..., None] * [1, 0]
    steady = smooth(truth + jitter(truth.shape, 2))[30:, :, 0] - standing()[:, 0]
    lags = np.arange(-1, 4, 0.1)
    correlations = [(steady * offset(times_s[30:] - lag * FRAME_S)).sum() for lag in lags]
    assert -0.5 <= lags[np.argmax(correlations)] <= 1
    assert 0.95 < np.abs(steady).mean() / np.abs(offset(times_s[30:])).mean() < 1.12


def test_lag_of_swinging_limbs_is_at_most_a_frame():
    walker = Walker(lambda _: (500, 600), height=285)
    times_s = np.arange(0, 5, FRAME_S)
    limbs = np.stack([walker.keypoints(time_s) for time_s in times_s])
    truth, steady = (sequence[30:, [9, 10, 15, 16], 0] for sequence in (limbs, smooth(limbs)))
    errors = [np.square(steady[9:] - truth[9 - lag : len(truth) - lag]).mean() for lag in range(4)]
    assert np.argmin(errors) <= 1
    assert errors[0] < np.square(0.05 * np.ptp(truth, axis=0)).mean()


def test_single_outlier_is_damped_and_gone_after_a_frame():
    sequence = np.stack([standing()] * 12)
    sequence[5] += 0.5 * SIZE
    offset = np.abs(smooth(sequence) - standing()).max(axis=(1, 2)) / (0.5 * SIZE)
    assert offset[5] < 0.4
    assert offset[6:].max() < 0.15


def test_stopping_does_not_overshoot():
    sequence = np.concatenate([walking(2, 2), np.repeat(walking(2, 2)[-1:], 30, axis=0)])
    overshoot = (smooth(sequence) - sequence)[60:, :, 0] / SIZE
    assert overshoot.max() < 0.02
    assert np.abs(overshoot[10:]).max() < 0.02


def test_result_scales_with_the_person():
    sequence = walking(1) + np.random.default_rng(2).normal(size=(120, 17, 2))
    np.testing.assert_allclose(smooth(3 * sequence), 3 * smooth(sequence), rtol=1e-5)


# The filter itself.


def filter_one_keypoint(positions, weights, sizes, sigma, times_s):
    """The filter of one coordinate that is always present, written out: 1 Hz at rest, 10 Hz per size per second."""
    position, velocity, filtered = positions[0], np.zeros(2), [positions[0]]
    for index in range(1, len(positions)):
        step_s = times_s[index] - times_s[index - 1]
        speed = np.hypot(*velocity) / sizes[index]
        cutoff_hz = (1 + 10 * max(speed - 0.85 * sigma, 0)) * min(weights[index] / 0.5, 1)
        retained = 1 / (1 + 2 * np.pi * cutoff_hz * step_s)
        velocity = velocity * np.exp(-step_s / 1.0)
        expected = position + velocity * step_s
        residual = positions[index] - expected
        position = expected + (1 - retained**2) * residual
        velocity = velocity + (1 - retained) ** 2 * residual / step_s
        filtered.append(position)
    return np.stack(filtered)


def test_filter_follows_the_published_equations():
    """Every constant matters: random motion with random scores and uneven times, keypoint by keypoint."""
    rng = np.random.default_rng(3)
    sequence = standing() + np.cumsum(rng.normal(size=(60, 17, 2)) * rng.choice([0.2, 4], (60, 1, 1)), axis=0)
    scores = rng.uniform(0.1, 0.9, (60, 17)).astype(np.float32)
    times_s = np.cumsum(rng.choice([1 / 60, 1 / 30, 0.2], 60))
    sequence = sequence.astype(np.float32).astype(np.float64)
    sizes = pose_sizes(sequence, scores.astype(np.float64))
    result = smooth(sequence, times_s, scores)
    for index in range(17):
        expected = filter_one_keypoint(sequence[:, index], scores[:, index], sizes, SIGMAS[index], times_s)
        np.testing.assert_allclose(result[:, index], expected, rtol=1e-5)


def test_elapsed_time_counts_and_a_gap_above_half_a_second_restarts():
    step = np.stack([standing(), standing() + 20])
    soon, late = (smooth(step, [0, elapsed])[1] - standing() for elapsed in (FRAME_S, 5 * FRAME_S))
    assert (soon < late).all()
    assert (smooth(step, [0, 0.45])[1] < step[1] - 0.1).all()
    np.testing.assert_allclose(smooth(step, [0, 0.55])[1], step[1], rtol=1e-6)
    np.testing.assert_allclose(smooth(step, [0, 0])[1], step[0], rtol=1e-6, err_msg="no time, no change")


def test_low_score_keypoint_has_less_influence():
    jump = np.stack([standing(), standing() + 20])
    high, full, low = (smooth(jump, scores=score)[1] - standing() for score in (0.9, 0.51, 0.1))
    assert (low > 0).all()
    assert (low < 0.5 * high).all()
    np.testing.assert_allclose(full, high, atol=1e-4)


@pytest.mark.parametrize("missing", [(np.nan, 0.9), (np.inf, 0.9), (0.0, 0.0), (0.0, np.nan)])
def test_missing_keypoint_stays_missing_and_resumes_from_its_last_state(missing):
    value, score = missing
    smoother = Smoother()
    smoother.update(make_poses([[100, 100], [200, 100]], schema=DOT), 0)
    gone = smoother.update(make_poses([[101, 100], [value, value]], [[0.9, score]], schema=DOT), FRAME_S)
    np.testing.assert_array_equal(gone.keypoints[0, 1], [value, value])
    assert np.isfinite(gone.keypoints[0, 0]).all()
    back = smoother.update(make_poses([[101, 100], [210, 100]], schema=DOT), 2 * FRAME_S)
    assert 200 < back.keypoints[0, 1, 0] < 210


# Persons.


def test_persons_are_distinguished_by_track_id():
    smoother = Smoother()
    first, second = standing(), standing() + 300
    smoother.update(make_poses([first, second], ids=(1, 2)), 0)
    swapped = smoother.update(make_poses([second, first], ids=(2, 1)), FRAME_S)
    np.testing.assert_allclose(swapped.keypoints, [second, first], atol=1e-3)
    new = smoother.update(make_poses([second], ids=(3,)), 2 * FRAME_S)
    np.testing.assert_allclose(new.keypoints[0], second, atol=1e-3)


def test_person_without_id_is_not_smoothed():
    smoother = Smoother()
    for time_s, shift in ((0, 0), (FRAME_S, 50)):
        poses = make_poses([standing() + shift], ids=(NO_TRACK,))
        np.testing.assert_array_equal(smoother.update(poses, time_s).keypoints, poses.keypoints)


def test_only_keypoints_change_and_the_input_is_not_modified():
    smoother = Smoother()
    smoother.update(make_poses([standing()]), 0)
    poses = make_poses([standing() + 5], scores=0.3)
    before = poses.keypoints.copy()
    result = smoother.update(poses, FRAME_S)
    np.testing.assert_array_equal(poses.keypoints, before)
    assert result.track_ids.tolist() == [1]
    np.testing.assert_array_equal(result.keypoint_scores, poses.keypoint_scores)
    np.testing.assert_array_equal(result.scores, poses.scores)


def test_filters_of_absent_persons_are_discarded():
    smoother = Smoother()
    for track_id in range(1, 200):
        smoother.update(make_poses([standing()], ids=(track_id,)), track_id)
    assert len(smoother._filters) == 1


def test_another_video_resets_the_filters():
    smoother = Smoother()
    image = np.zeros((8, 8, 3), np.uint8)
    first, other = (Origin(name, rate=Fraction(30)) for name in "ab")
    smoother(Frame(image, first, 0, 0), make_poses([standing()]))
    moved = smoother(Frame(image, first, 1, FRAME_S), make_poses([standing() + 10]))
    assert (moved.keypoints < standing() + 9.9).all()
    restarted = smoother(Frame(image, other, 0, 0), make_poses([standing() + 20]))
    np.testing.assert_allclose(restarted.keypoints[0], standing() + 20, rtol=1e-6)


def test_poses_without_track_ids_are_rejected():
    untracked = replace(make_poses([standing()]), track_ids=None)
    with pytest.raises(OptionError, match="without track ids") as caught:
        Smoother().update(untracked, 0)
    assert "e2pose.Tracker()" in caught.value.hint


@pytest.mark.parametrize("time_s", [0.5, np.nan, np.inf])
def test_decreasing_or_infinite_time_is_rejected(time_s):
    smoother = Smoother()
    smoother.update(make_poses([standing()]), 1)
    with pytest.raises(OptionError, match="must be at least 1, not"):
        smoother.update(make_poses([standing()]), time_s)
    smoother.reset()
    smoother.update(make_poses([standing()]), 0.5)
