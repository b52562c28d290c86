"""Detections of one frame, and the state of one tracked person."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from e2pose.core.poses import NO_TRACK, Poses
from e2pose.tracking.association import pose_similarity, pose_sizes, pose_weights

_VELOCITY_S = 0.2  # time constant of the velocity average
_COASTING_S = 1.5  # time constant with which an undetected person slows down
_MAX_SIZES_PER_S = 8.0  # about the speed of a sprinter
_FULL_SCORE = 0.5  # keypoints with at least this score have full influence
_SIZE_S = 0.5  # time constant of the size average

# Standard deviation of the predicted position after t seconds without detection, in sizes: v t + a t^2.
_DRIFT_NEW = 4.0  # v after the first detection, when the velocity is unknown
_DRIFT_KNOWN = 0.6  # v afterwards
_DRIFT_TURN = 1.0  # a, for changes of direction


@dataclass(frozen=True, eq=False)
class Detections:
    """The poses of one frame, prepared for comparison."""

    keypoints: Float[np.ndarray, "n k 2"]  # pixels; finite, and 0 where the weight is 0
    weights: Float[np.ndarray, "n k"]  # in [0, 1]
    sizes: Float[np.ndarray, "n"]  # pixels
    sigmas: Float[np.ndarray, "k"]  # tolerance of each keypoint, relative to the size
    flip: Int[np.ndarray, "k"]  # index of the left-right partner of each keypoint

    @staticmethod
    def of(poses: Poses) -> Detections:
        """Prepares the poses of a frame."""
        weights = pose_weights(poses.keypoints, poses.keypoint_scores)
        keypoints = np.where(weights[..., None] > 0, poses.keypoints, 0).astype(np.float64)
        sigmas, flip = np.array(poses.schema.sigmas), np.array(poses.schema.flip)
        return Detections(keypoints, weights, pose_sizes(keypoints, weights), sigmas, flip)

    def __len__(self) -> int:
        return len(self.sizes)

    def without_duplicates(self, indices: Iterable[int], taken: Collection[int], similarity: float) -> list[int]:
        """Returns the indices, best first, of poses that duplicate no taken pose and no earlier pose in `indices`.

        Duplicates are at least as similar as `similarity`, from 0 to 1. Poses are also compared with left and right
        swapped, because a person seen from behind may be detected twice, once with swapped sides.
        """
        kept: list[int] = []
        for index in indices:
            if (self._similarities[[*taken, *kept], index] < similarity).all():
                kept.append(index)
        return kept

    @cached_property
    def _similarities(self) -> Float[np.ndarray, "n n"]:
        """Similarity of each pair of poses, as they are or with left and right swapped, whichever is higher."""
        tolerances = (2 * self.sigmas * self.sizes[:, None])[:, None]

        def similarity(order: Int[np.ndarray, "k"]) -> Float[np.ndarray, "n n"]:
            weights = np.minimum(self.weights[:, None], self.weights[:, order])
            return pose_similarity(self.keypoints[:, None], self.keypoints[:, order], weights, tolerances)

        result: Float[np.ndarray, "n n"] = np.maximum(similarity(np.arange(len(self.flip))), similarity(self.flip))
        return result


@dataclass(eq=False)
class Track:
    """State of one person."""

    keypoints: Float[np.ndarray, "k 2"]  # at the last detection, in pixels; finite
    weights: Float[np.ndarray, "k"]  # of the keypoints, in [0, 1]
    size: float  # pixels, averaged over time
    last_seen_s: float  # time of the last detection
    track_id: int = NO_TRACK  # `NO_TRACK` while the track is unconfirmed
    num_detections: int = 1
    _velocity: Float[np.ndarray, "2"] = field(default_factory=lambda: np.zeros(2))  # pixels per second

    @staticmethod
    def start(detections: Detections, index: int, time_s: float) -> Track:
        """Starts an unconfirmed track from one of the detections of a frame."""
        return Track(detections.keypoints[index], detections.weights[index], float(detections.sizes[index]), time_s)

    @property
    def is_confirmed(self) -> bool:
        """Whether the track has an id."""
        return self.track_id != NO_TRACK

    def expected(self, time_s: float) -> Float[np.ndarray, "k 2"]:
        """Predicts the keypoints at a time, in pixels."""
        coasting_s = _COASTING_S * (1 - np.exp(-(time_s - self.last_seen_s) / _COASTING_S))
        return np.asarray(self.keypoints + self._velocity * coasting_s)

    def drift(self, time_s: float) -> float:
        """Returns the standard deviation of the prediction in pixels."""
        unseen_s = time_s - self.last_seen_s
        speed = _DRIFT_KNOWN if self.num_detections > 1 else _DRIFT_NEW
        return self.size * (speed * unseen_s + _DRIFT_TURN * unseen_s**2)

    def update(self, detections: Detections, index: int, time_s: float) -> None:
        """Continues the track with one of the detections of a frame."""
        detected, weights = detections.keypoints[index], detections.weights[index]
        elapsed_s = time_s - self.last_seen_s
        common = np.minimum(weights, self.weights)
        refresh = 1 - np.exp(-elapsed_s / _VELOCITY_S)
        expected = self.expected(time_s)
        if elapsed_s > 0 and common.any():
            velocity = np.average(detected - self.keypoints, axis=0, weights=common) / elapsed_s
            velocity *= min(1.0, _MAX_SIZES_PER_S * self.size / max(float(np.hypot(*velocity)), 1e-9))
            gain = max(1 / self.num_detections, refresh) * min(1.0, common.mean() / _FULL_SCORE)
            self._velocity = self._velocity + gain * (velocity - self._velocity)
        influence = np.where(self.weights > 0, np.maximum(np.minimum(weights / _FULL_SCORE, 1), refresh), 1)[:, None]
        self.keypoints = expected + influence * (detected - expected)
        self.weights, self.last_seen_s = weights, time_s
        self.size += (1 - np.exp(-elapsed_s / _SIZE_S)) * (float(detections.sizes[index]) - self.size)
        self.num_detections += 1
