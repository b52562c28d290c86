"""What is remembered of one person."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from e2pose.core.poses import NO_TRACK, Poses
from e2pose.tracking.association import pose_similarity, pose_sizes, pose_weights

_VELOCITY_S = 0.2  # how long a velocity is averaged
_COASTING_S = 1.5  # somebody out of sight slows down like this: nobody walks straight on for ever
_MOST_SIZES_PER_S = 8.0  # a sprinter is about this fast
_SURE = 0.5  # keypoints that score this much or more are believed in full
_SIZE_S = 0.5  # how long a size is averaged

# How far from where they are expected people may turn up, in sizes: after t seconds without sight of them, v t + a t^2.
_DRIFT_NEW = 4.0  # v: at the second sight of them nothing is known of their movement
_DRIFT_KNOWN = 0.6
_DRIFT_TURN = 1.0  # a: they may go another way


@dataclass(frozen=True, eq=False)
class Sightings:
    """The poses of one frame, ready to be compared.

    Args:
        keypoints: Finite; without meaning where the weight is 0.
        weights: How much each keypoint counts, in [0, 1].
        sizes: Of each person, in pixels.
        sigmas: Tolerance of each keypoint, relative to the size.
        flip: For each keypoint the index of its partner on the other side.
    """

    keypoints: Float[np.ndarray, "n k 2"]
    weights: Float[np.ndarray, "n k"]
    sizes: Float[np.ndarray, "n"]
    sigmas: Float[np.ndarray, "k"]
    flip: Int[np.ndarray, "k"]

    @staticmethod
    def of(poses: Poses) -> Sightings:
        """Prepares the poses of a frame."""
        weights = pose_weights(poses.keypoints, poses.keypoint_scores)
        keypoints = np.where(weights[..., None] > 0, poses.keypoints, 0).astype(np.float64)
        schema = poses.schema
        sizes = pose_sizes(keypoints, weights)
        return Sightings(keypoints, weights, sizes, np.array(schema.sigmas), np.array(schema.flip))

    def __len__(self) -> int:
        return len(self.sizes)

    def without_doubles(self, indices: Iterable[int], taken: Collection[int], least: float) -> list[int]:
        """Those of some poses that are of nobody whose pose is taken, nor of anybody named before them.

        A person seen from behind may well be found twice, once with left and right exchanged.

        Args:
            indices: The poses to look through.
            taken: Poses that are somebody for sure.
            least: Poses that are at least so similar, from 0 to 1, count as the same person.
        """
        kept: list[int] = []
        for index in indices:
            if (self._alike[[*taken, *kept], index] < least).all():
                kept.append(index)
        return kept

    @cached_property
    def _alike(self) -> Float[np.ndarray, "n n"]:
        """How similar each pose is to each other one, or to that one with left and right exchanged."""
        tolerances = (2 * self.sigmas * self.sizes[:, None])[:, None]

        def similarity(order: Int[np.ndarray, "k"]) -> Float[np.ndarray, "n n"]:
            weights = np.minimum(self.weights[:, None], self.weights[:, order])
            return pose_similarity(self.keypoints[:, None], self.keypoints[:, order], weights, tolerances)

        alike: Float[np.ndarray, "n n"] = np.maximum(similarity(np.arange(len(self.flip))), similarity(self.flip))
        return alike


@dataclass(eq=False)
class Track:
    """One person: the last sight of them and how they move.

    Args:
        keypoints: Last seen in pixels; finite.
        weights: How much each keypoint counts, in [0, 1].
        size: In pixels, averaged over time.
        seen_s: When they were last seen.
        number: Their identity; `NO_TRACK` while they may yet be nobody.
        sightings: How often they were seen.
    """

    keypoints: Float[np.ndarray, "k 2"]
    weights: Float[np.ndarray, "k"]
    size: float
    seen_s: float
    number: int = NO_TRACK
    sightings: int = 1
    _velocity: Float[np.ndarray, "2"] = field(default_factory=lambda: np.zeros(2))  # pixels per second

    @staticmethod
    def begin(sightings: Sightings, index: int, time_s: float) -> Track:
        """Somebody seen for the first time, in one of the poses of a frame."""
        return Track(sightings.keypoints[index], sightings.weights[index], float(sightings.sizes[index]), time_s)

    @property
    def is_confirmed(self) -> bool:
        """Whether this is somebody for sure."""
        return self.number != NO_TRACK

    def expected(self, time_s: float) -> Float[np.ndarray, "k 2"]:
        """Where the keypoints should be at a time, in pixels."""
        coasting_s = _COASTING_S * (1 - np.exp(-(time_s - self.seen_s) / _COASTING_S))
        return np.asarray(self.keypoints + self._velocity * coasting_s)

    def drift(self, time_s: float) -> float:
        """How far off that may be, as a standard deviation in pixels."""
        unseen_s = time_s - self.seen_s
        speed = _DRIFT_KNOWN if self.sightings > 1 else _DRIFT_NEW
        return self.size * (speed * unseen_s + _DRIFT_TURN * unseen_s**2)

    def see(self, sightings: Sightings, index: int, time_s: float) -> None:
        """Takes over one of the poses of a frame."""
        found, weights = sightings.keypoints[index], sightings.weights[index]
        elapsed_s = time_s - self.seen_s
        common = np.minimum(weights, self.weights)
        newness = 1 - np.exp(-elapsed_s / _VELOCITY_S)
        expected = self.expected(time_s)
        if elapsed_s > 0 and common.any():
            velocity = np.average(found - self.keypoints, axis=0, weights=common) / elapsed_s
            velocity *= min(1.0, _MOST_SIZES_PER_S * self.size / max(float(np.hypot(*velocity)), 1e-9))
            gain = max(1 / self.sightings, newness) * min(1.0, common.mean() / _SURE)
            self._velocity = self._velocity + gain * (velocity - self._velocity)
        pull = np.where(self.weights > 0, np.maximum(np.minimum(weights / _SURE, 1), newness), 1)[:, None]
        self.keypoints, self.weights, self.seen_s = expected + pull * (found - expected), weights, time_s
        self.size += (1 - np.exp(-elapsed_s / _SIZE_S)) * (float(sightings.sizes[index]) - self.size)
        self.sightings += 1
