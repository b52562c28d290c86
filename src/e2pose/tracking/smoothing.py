"""Steady keypoints: less trembling at rest, hardly any delay in motion."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from e2pose.core.errors import OptionError
from e2pose.core.frame import Frame
from e2pose.core.poses import NO_TRACK, Poses
from e2pose.tracking.association import pose_sizes, pose_weights
from e2pose.tracking.clock import Clock

_REST_HZ = 1.0  # cutoff for a keypoint at rest
_HZ_PER_SPEED = 10.0  # what a speed of one size per second adds to it
_TREMBLING = 0.85  # tolerances per second that a keypoint may seem to move at rest; they add nothing
_GOES_ON_S = 1.0  # a velocity that nothing confirms fades like this
_SURE = 0.5  # keypoints that score this much or more are believed in full
_GAP_S = 0.5  # a keypoint that was away for longer starts anew


class Smoother:
    """Makes the keypoints of tracked people steady: a stage of the belt, after a `Tracker`.

    Each keypoint has a One-Euro filter: a low-pass filter whose cutoff rises with speed. It smooths what a keypoint
    does other than go on as before, so that steady motion is not delayed at all. Speeds are relative to the person's
    size, gaps in time count as what they are, and the lower the score of a keypoint, the less it pulls. Scores stay as
    they are, and so do keypoints that are not finite or have no score.

    Source:
        Cutoff that rises with speed: Casiez, Roussel and Vogel, "1 Euro Filter: A Simple Speed-based Low-pass Filter
        for Noisy Input in Interactive Systems", CHI 2012. Position and velocity from one constant: LaViola, "Double
        Exponential Smoothing: An Alternative to Kalman Filter-Based Predictive Tracking", EGVE 2003.
    """

    def __init__(self) -> None:
        self._clock = Clock()
        self._filters: dict[int, _Filter] = {}
        self._time_s = -np.inf

    def __call__(self, frame: Frame, poses: Poses) -> Poses:
        """Smooths the poses of a frame; as `update`, with the time of the frame."""
        if not self._clock.advance(frame):
            self.reset()
        return self.update(poses, self._clock.time_s)

    def reset(self) -> None:
        """Forgets everybody: the next poses stay as they are."""
        self._filters.clear()
        self._time_s = -np.inf

    def update(self, poses: Poses, time_s: float) -> Poses:
        """Smooths tracked poses from anywhere; no picture is needed.

        Args:
            poses: With `track_ids`. People whose identity is `NO_TRACK` stay as they are.
            time_s: When they were seen, in seconds; at least the time before, unless there was a reset.

        Raises:
            OptionError: The poses have no identities, or the time goes back or is no number.
        """
        if poses.track_ids is None:
            raise OptionError(
                "poses without track ids cannot be smoothed: nobody knows who is who",
                "track them first, with e2pose.Tracker()",
            )
        if not np.isfinite(time_s) or time_s < self._time_s:
            raise OptionError(
                f"the time of a frame must be a number of seconds from {self._time_s}, not {time_s}",
                "give the frames in order; call reset() before another video",
            )
        self._time_s = time_s
        weights = pose_weights(poses.keypoints, poses.keypoint_scores)
        known = np.where(weights[..., None] > 0, poses.keypoints, 0).astype(np.float64)
        sizes = pose_sizes(known, weights)
        trembling = _TREMBLING * np.array(poses.schema.sigmas)
        smooth = poses.keypoints.copy()
        for index, number in enumerate(poses.track_ids.tolist()):
            if number == NO_TRACK:
                continue
            seen = weights[index] > 0
            person = self._filters.setdefault(number, _Filter.empty(len(poses.schema)))
            person.advance(known[index], weights[index], float(sizes[index]), trembling, time_s)
            smooth[index, seen] = person.keypoints[seen]
        self._filters = {n: person for n, person in self._filters.items() if time_s - person.seen_s.max() <= _GAP_S}
        return replace(poses, keypoints=smooth)


@dataclass(eq=False)
class _Filter:
    """One-Euro filters of all keypoints of a person.

    Args:
        keypoints: Filtered, in pixels.
        velocities: Filtered, in pixels per second.
        seen_s: When each was last seen.
    """

    keypoints: Float[np.ndarray, "k 2"]
    velocities: Float[np.ndarray, "k 2"]
    seen_s: Float[np.ndarray, "k"]

    @staticmethod
    def empty(count: int) -> _Filter:
        """Somebody of whom nothing was seen."""
        return _Filter(np.zeros((count, 2)), np.zeros((count, 2)), np.full(count, -np.inf))

    def advance(
        self,
        found: Float[np.ndarray, "k 2"],
        weights: Float[np.ndarray, "k"],
        size: float,
        trembling: Float[np.ndarray, "k"],
        time_s: float,
    ) -> None:
        """Takes in the next sight of the person; keypoints without weight wait, speeds up to `trembling` are rest."""
        elapsed_s = time_s - self.seen_s
        again = (weights > 0) & (elapsed_s <= _GAP_S) & (elapsed_s > 0)
        new = (weights > 0) & (elapsed_s > _GAP_S)
        step_s = elapsed_s[again, None]

        speeds = np.linalg.norm(self.velocities[again], axis=1, keepdims=True) / size
        trust = np.minimum(weights[again, None] / _SURE, 1)
        cutoff_hz = (_REST_HZ + _HZ_PER_SPEED * np.maximum(speeds - trembling[again, None], 0)) * trust
        kept = 1 / (1 + 2 * np.pi * cutoff_hz * step_s)  # of what was thought before the step
        velocities = self.velocities[again] * np.exp(-step_s / _GOES_ON_S)
        expected = self.keypoints[again] + velocities * step_s
        surprise = found[again] - expected
        self.keypoints[again] = expected + (1 - kept**2) * surprise
        self.velocities[again] = velocities + (1 - kept) ** 2 * surprise / step_s

        self.keypoints[new], self.velocities[new] = found[new], 0
        self.seen_s[again | new] = time_s
