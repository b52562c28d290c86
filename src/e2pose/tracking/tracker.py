"""Stable track ids for persons across frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from e2pose.core.arguments import check_number, check_share, check_type
from e2pose.core.errors import OptionError
from e2pose.core.frame import Frame
from e2pose.core.poses import NO_TRACK, Poses
from e2pose.core.schema import KeypointSchema
from e2pose.tracking.association import assign_pairs, pose_similarity, pose_sizes
from e2pose.tracking.clock import Clock, check_time
from e2pose.tracking.scene_cut import CutDetector
from e2pose.tracking.track import Detections, Track

_MAX_GAP_S = 0.25  # a track without detection for longer is lost: recovering it takes two detections
_MIN_SIMILARITY = 0.1  # of predicted and detected pose, from 0 to 1, including the factor for the size
_WEAK_FACTOR = 0.3  # factor of the similarity of weak detections
_DUPLICATE_SIMILARITY = 0.7  # more similar detections of one frame show one person
_NEW_SIMILARITY = 0.25  # a detection more similar than this to another one starts no track; 1 in 200 real pairs is
_MIN_LIKELIHOOD = 0.01  # likelihood of an unrelated pair, below that of all accepted pairs
_LIKELIHOOD_PER_S = 0.5  # factor of the likelihood for each second without detection
_SIZE_SPREAD = 0.18  # standard deviation of the logarithm of the size ratio between two detections
_GATE_SIZE_SPREAD = 0.25  # the same for rejecting pairs; wider, so that one bad pose does not lose a person
_VISIBILITY_SPREAD = 0.2  # standard deviation of the change of the visible share of a person
_VISIBILITY_SPREAD_PER_S = 1.0  # added for each second without detection, for persons that reappear from occlusion

TRACKED_THRESHOLD = 0.5
"""A tracked person is kept while its score stays above this fraction of the threshold."""


class Tracker:
    """Assigns track ids that stay the same from frame to frame. A stage for `e2pose.run`.

    Ids start at 1 and are never reused, not even after a reset. All persons in the first frame get an id; later, a new
    person gets one with the second detection in consecutive frames and `NO_TRACK` until then, so that a single false
    positive uses no id.

    Detections at or above the threshold are kept, except duplicates. Detections below the threshold are kept only where
    they continue a recently detected person; to use that, let the estimator return poses down to about half the
    threshold.

    Args:
        threshold: Minimum score of a new person, in [0, 1].
        memory_s: Seconds without detection after which a person is forgotten; must exceed the time between frames.

    Raises:
        OptionError: An option is out of range.

    Source:
        Continuation with low scores: Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection
        Box", ECCV 2022. Scores and sizes distinguish overlapping persons: Yang et al., "Hybrid-SORT: Weak Cues Matter
        for Online Multi-Object Tracking", AAAI 2024.
    """

    def __init__(self, threshold: float = 0.4, *, memory_s: float = 2.0) -> None:
        memory_s = check_number("'memory_s'", memory_s, hint="omit it, or use 2 seconds")
        if memory_s <= 0:
            raise OptionError(f"'memory_s' must be a positive number of seconds, not {memory_s}", "omit it, or use 2")
        self.threshold = threshold
        self._memory_s = memory_s
        self._clock = Clock()
        self._is_cut = CutDetector()
        self._last_id = 0
        self.reset()

    @property
    def threshold(self) -> float:
        """Minimum score of a new person; may be changed between frames."""
        return self._threshold

    @threshold.setter
    def threshold(self, threshold: float) -> None:
        self._threshold = check_share("the threshold", threshold, hint="omit it to use 0.4")

    def __call__(self, frame: Frame, poses: Poses) -> Poses:
        """Assigns ids to the poses of a frame.

        Resets at scene cuts and where the video, the size of the image or the time starts anew.

        Args:
            frame: Frame of the poses; frames come in order.
            poses: As for `update`.

        Raises:
            OptionError: The poses have another schema than before.
        """
        check_type("a frame", frame, Frame, hint="wrap an image with e2pose.Frame(image), or call update")
        continues = self._clock.advance(frame)
        if self._is_cut(frame.image) or not continues:
            self.reset()
        return self.update(poses, self._clock.time_s)

    def reset(self) -> None:
        """Discards all tracks: the next persons are new."""
        self._tracks: list[Track] = []
        self._schema: KeypointSchema | None = None
        self._time_s = -np.inf

    def update(self, poses: Poses, time_s: float) -> Poses:
        """Assigns ids to poses without an image and without detection of scene cuts.

        Args:
            poses: Poses of any schema; existing track ids are replaced.
            time_s: Time of the poses in seconds; must not decrease, except after `reset`.

        Returns:
            The kept poses, with `track_ids`.

        Raises:
            OptionError: The time decreases or is not finite, or the poses have another schema than before.
        """
        check_type("'poses'", poses, Poses, hint="pass the result of an estimator")
        check_time(time_s, self._time_s)
        if self._schema is not None and poses.schema != self._schema:
            raise OptionError(
                f"poses of the schema '{poses.schema.name}' cannot continue tracks of the schema '{self._schema.name}'",
                "use one tracker per schema, or call reset() in between",
            )
        is_first = self._schema is None
        detections = Detections.of(poses)
        strong = [int(index) for index in np.flatnonzero(poses.scores >= self._threshold)]
        self._tracks = [track for track in self._tracks if time_s - track.last_seen_s <= self._memory_s]
        assigned = self._continue_tracks(detections, strong, time_s)
        self._tracks = [track for track in self._tracks if track.is_confirmed or track in assigned.values()]
        unassigned = (index for index in strong if index not in assigned)
        others = detections.without_duplicates(unassigned, assigned, _DUPLICATE_SIMILARITY)
        for index in detections.without_duplicates(others, assigned, _NEW_SIMILARITY):
            assigned[index] = Track.start(detections, index, time_s)
            self._tracks.append(assigned[index])
        confirmable = [
            index
            for index, track in sorted(assigned.items())
            if not track.is_confirmed and (is_first or track.num_detections > 1)
        ]
        self._confirm(confirmable, assigned, detections, time_s)
        self._time_s, self._schema = time_s, poses.schema
        kept = sorted({*assigned, *others})
        ids = [assigned[index].track_id if index in assigned else NO_TRACK for index in kept]
        return replace(poses[kept], track_ids=np.array(ids, np.int64))

    def undetected(self) -> list[tuple[Float[np.ndarray, "k 2"], float]]:
        """Predicts the persons with an id that the latest update did not detect and that are not forgotten.

        Returns:
            For each person, the keypoints in pixels (not a number where they have no score), and the standard deviation
            of their position in pixels.
        """
        missed = [track for track in self._tracks if track.is_confirmed and track.last_seen_s < self._time_s]
        return [
            (
                np.where(track.weights[:, None] > 0, track.expected(self._time_s), np.nan),
                float(track.drift(self._time_s)),
            )
            for track in missed
        ]

    def _continue_tracks(self, detections: Detections, strong: Sequence[int], time_s: float) -> dict[int, Track]:
        """Updates tracks with matching detections and returns them by the index of the detection.

        Confirmed tracks are matched first. Weak detections, which are below the threshold or duplicate a better one,
        must match more closely. A detection that matches a lost track best stays unassigned: it needs a second
        detection. Remaining strong detections are matched with unconfirmed tracks.
        """
        confirmed = [track for track in self._tracks if track.is_confirmed]
        unique = detections.without_duplicates(range(len(detections)), (), _DUPLICATE_SIMILARITY)
        candidates = sorted({*strong, *unique})
        factors = np.where(np.isin(candidates, strong) & np.isin(candidates, unique), 1.0, _WEAK_FACTOR)
        pairs = assign_pairs(_affinity(confirmed, detections, candidates, time_s, factors))
        matches = [(candidates[column], confirmed[row]) for row, column in pairs]
        assigned = {index: track for index, track in matches if not self._is_lost(track, time_s)}

        unconfirmed = [track for track in self._tracks if not track.is_confirmed]
        remaining = [index for index in strong if index not in assigned]
        pairs = assign_pairs(_affinity(unconfirmed, detections, remaining, time_s))
        assigned |= {remaining[column]: unconfirmed[row] for row, column in pairs}
        for index, track in assigned.items():
            track.update(detections, index, time_s)
        return assigned

    def _is_lost(self, track: Track, time_s: float) -> bool:
        """Returns whether a track was detected neither in the previous frame nor within the maximum gap."""
        return track.last_seen_s < min(self._time_s, time_s - _MAX_GAP_S)

    def _confirm(
        self, indices: Sequence[int], assigned: Mapping[int, Track], detections: Detections, time_s: float
    ) -> None:
        """Assigns each track the id of a matching lost track, which is removed, or a new id."""
        lost = [track for track in self._tracks if track.is_confirmed and self._is_lost(track, time_s)]
        for row, column in assign_pairs(_affinity(lost, detections, indices, time_s)):
            assigned[indices[column]].track_id = lost[row].track_id
            self._tracks.remove(lost[row])
        for index in indices:
            if not assigned[index].is_confirmed:
                self._last_id += 1
                assigned[index].track_id = self._last_id


def _affinity(
    tracks: Sequence[Track],
    detections: Detections,
    indices: Sequence[int],
    time_s: float,
    factors: Float[np.ndarray, "n"] | float = 1.0,
) -> Float[np.ndarray, "t n"]:
    """Returns the log likelihood ratio of each pair of track and detection, plus 1; 0 for rejected pairs.

    The likelihood combines position, pose, size, visible share and time since the last detection. The visible share
    (mean keypoint weight) distinguishes a person in front from a person occluded at the same place.
    """
    if not tracks or not indices:
        return np.zeros((len(tracks), len(indices)))
    sizes = np.array([track.size for track in tracks])[:, None]
    drifts = np.array([track.drift(time_s) for track in tracks])[:, None]
    unseen_s = np.array([time_s - track.last_seen_s for track in tracks])[:, None]
    expected = np.stack([track.expected(time_s) for track in tracks])[:, None]
    track_weights = np.stack([track.weights for track in tracks])[:, None]
    detected, detected_weights = detections.keypoints[None, indices], detections.weights[None, indices]
    weights = np.minimum(track_weights, detected_weights)
    tolerances = np.hypot(2 * detections.sigmas * sizes, drifts)[:, None]
    similarity = pose_similarity(expected, detected, weights, tolerances) * factors
    growth = np.log(pose_sizes(detected, weights) / pose_sizes(expected, weights))
    is_possible = similarity * _gaussian(growth, _GATE_SIZE_SPREAD) >= _MIN_SIMILARITY
    visibility_spread = _VISIBILITY_SPREAD + _VISIBILITY_SPREAD_PER_S * unseen_s
    visibility_change = (detected_weights.mean(axis=-1) - track_weights.mean(axis=-1)) / visibility_spread
    likelihood = (
        similarity * _gaussian(growth, _SIZE_SPREAD) * _gaussian(visibility_change, 1) * _LIKELIHOOD_PER_S**unseen_s
    )
    return np.where(is_possible, np.log(np.maximum(likelihood, _MIN_LIKELIHOOD) / _MIN_LIKELIHOOD) + 1, 0.0)


def _gaussian(values: Float[np.ndarray, "t n"], spread: float) -> Float[np.ndarray, "t n"]:
    """Returns the density of a normal distribution around 0, relative to its maximum."""
    return np.asarray(np.exp(-np.square(values / spread) / 2))
