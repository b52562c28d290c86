"""Keypoint smoothing: less jitter at rest, almost no lag in motion."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from e2pose.core.arguments import check_type
from e2pose.core.errors import OptionError
from e2pose.core.frame import Frame
from e2pose.core.poses import NO_TRACK, Poses
from e2pose.tracking.association import pose_sizes, pose_weights
from e2pose.tracking.clock import Clock, check_time

_REST_CUTOFF_HZ = 1.0  # cutoff frequency of a keypoint at rest
_CUTOFF_HZ_PER_SPEED = 10.0  # added cutoff for a speed of one person size per second
_JITTER_SPEED = 0.85  # in sigmas of the keypoint per second; slower apparent motion counts as rest
_VELOCITY_DECAY_S = 1.0  # time constant
_FULL_SCORE = 0.5  # keypoints with at least this score have full influence
_MAX_GAP_S = 0.5  # a keypoint that is missing for longer starts anew


class Smoother:
    """Smooths the keypoints of tracked persons. A stage for `e2pose.run`, after a `Tracker`.

    Each keypoint has a One-Euro filter: a low-pass filter whose cutoff frequency rises with speed. It filters the
    deviation from uniform motion, so that uniform motion has no lag. Speeds are relative to the size of the person,
    times come from the frames, and keypoints with low scores have less influence. Scores are not changed, nor are
    keypoints that are not finite or have no score.

    Source:
        Speed-dependent cutoff: Casiez, Roussel and Vogel, "1 Euro Filter: A Simple Speed-based Low-pass Filter for
        Noisy Input in Interactive Systems", CHI 2012. Position and velocity from one constant: LaViola, "Double
        Exponential Smoothing: An Alternative to Kalman Filter-Based Predictive Tracking", EGVE 2003.
    """

    def __init__(self) -> None:
        self._clock = Clock()
        self._filters: dict[int, _Filter] = {}
        self._time_s = -np.inf

    def __call__(self, frame: Frame, poses: Poses) -> Poses:
        """Smooths the poses of a frame, like `update` with the time of the frame. Resets where a new video starts."""
        check_type("a frame", frame, Frame, hint="wrap an image with e2pose.Frame(image), or call update")
        if not self._clock.advance(frame):
            self.reset()
        return self.update(poses, self._clock.time_s)

    def reset(self) -> None:
        """Discards all filters: the next poses are returned unchanged."""
        self._filters.clear()
        self._time_s = -np.inf

    def update(self, poses: Poses, time_s: float) -> Poses:
        """Smooths tracked poses without an image.

        Args:
            poses: Poses with `track_ids`. Persons with the id `NO_TRACK` are returned unchanged.
            time_s: Time of the poses in seconds; must not decrease, except after `reset`.

        Raises:
            OptionError: The poses have no track ids, or the time decreases or is not finite.
        """
        check_type("'poses'", poses, Poses, hint="pass the result of a tracker")
        if poses.track_ids is None:
            raise OptionError(
                "cannot smooth poses without track ids", "assign them first, with e2pose.Tracker() or --track"
            )
        check_time(time_s, self._time_s)
        self._time_s = time_s
        weights = pose_weights(poses.keypoints, poses.keypoint_scores)
        detected = np.where(weights[..., None] > 0, poses.keypoints, 0).astype(np.float64)
        sizes = pose_sizes(detected, weights)
        jitter_speeds = _JITTER_SPEED * np.array(poses.schema.sigmas)
        smooth = poses.keypoints.copy()
        for index, track_id in enumerate(poses.track_ids.tolist()):
            if track_id == NO_TRACK:
                continue
            present = weights[index] > 0
            person = self._filters.setdefault(track_id, _Filter.empty(len(poses.schema)))
            person.update(detected[index], weights[index], float(sizes[index]), jitter_speeds, time_s)
            smooth[index, present] = person.keypoints[present]
        self._filters = {key: f for key, f in self._filters.items() if time_s - f.last_seen_s.max() <= _MAX_GAP_S}
        return replace(poses, keypoints=smooth)


@dataclass(eq=False)
class _Filter:
    """One-Euro filters of all keypoints of a person."""

    keypoints: Float[np.ndarray, "k 2"]  # filtered positions in pixels
    velocities: Float[np.ndarray, "k 2"]  # filtered, in pixels per second
    last_seen_s: Float[np.ndarray, "k"]  # time of the last detection of each keypoint

    @staticmethod
    def empty(num_keypoints: int) -> _Filter:
        """Returns filters without any detection."""
        shape = num_keypoints, 2
        return _Filter(np.zeros(shape), np.zeros(shape), np.full(num_keypoints, -np.inf))

    def update(
        self,
        detected: Float[np.ndarray, "k 2"],
        weights: Float[np.ndarray, "k"],
        size: float,
        jitter_speeds: Float[np.ndarray, "k"],
        time_s: float,
    ) -> None:
        """Filters a detection; keypoints with weight 0 keep their state, speeds up to `jitter_speeds` are rest."""
        elapsed_s = time_s - self.last_seen_s
        continued = (weights > 0) & (elapsed_s <= _MAX_GAP_S) & (elapsed_s > 0)
        new = (weights > 0) & (elapsed_s > _MAX_GAP_S)
        step_s = elapsed_s[continued, None]

        speeds = np.linalg.norm(self.velocities[continued], axis=1, keepdims=True) / size
        influence = np.minimum(weights[continued, None] / _FULL_SCORE, 1)
        motion = np.maximum(speeds - jitter_speeds[continued, None], 0)
        cutoff_hz = (_REST_CUTOFF_HZ + _CUTOFF_HZ_PER_SPEED * motion) * influence
        retained = 1 / (1 + 2 * np.pi * cutoff_hz * step_s)  # share of the prediction in the new state
        velocities = self.velocities[continued] * np.exp(-step_s / _VELOCITY_DECAY_S)
        expected = self.keypoints[continued] + velocities * step_s
        residual = detected[continued] - expected
        self.keypoints[continued] = expected + (1 - retained**2) * residual
        self.velocities[continued] = velocities + (1 - retained) ** 2 * residual / step_s

        self.keypoints[new], self.velocities[new] = detected[new], 0
        self.last_seen_s[continued | new] = time_s
