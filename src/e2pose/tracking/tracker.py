"""Who is who: the same number for the same person in every frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from e2pose.core.errors import OptionError
from e2pose.core.frame import Frame
from e2pose.core.poses import NO_TRACK, Poses
from e2pose.core.schema import KeypointSchema
from e2pose.tracking.association import best_pairs, pose_similarity, pose_sizes
from e2pose.tracking.clock import Clock
from e2pose.tracking.scene_cut import CutDetector
from e2pose.tracking.track import Sightings, Track

_BLINK_S = 0.25  # somebody out of sight for longer must be seen twice to be found again
_LEAST_SIMILARITY = 0.1  # between what is expected and found, from 0 to 1
_TRUST_IF_UNSURE = 0.3  # so much less does it count for a pose below the threshold or a double of a better one
_DOUBLE = 0.7  # poses of one frame that are more alike show one person
_DOUBLE_IF_NEW = 0.25  # of people in photographs one pair in 200 is more alike
_CHANCE = 0.01  # the same for a pose and somebody that have nothing to do with each other, below all that is accepted
_FADING = 0.5  # a second out of sight makes people this much less likely to be who they seem
_GROWTH = 0.18  # how much sizes differ from sight to sight: standard deviation of their logarithm
_MOST_GROWTH = 0.25  # the same, to tell what is possible: a person is not lost for a single bad pose
_HIDING = 0.2  # how much the share of a person that can be seen differs from sight to sight: standard deviation
_HIDING_PER_S = 1.0  # what each second out of sight adds: who was hidden comes out from behind others


class Tracker:
    """Gives everybody a number that stays the same from frame to frame: a stage of the belt.

    Numbers start at 1 and are never given twice, not even after a reset. In the first frame everybody gets one; later,
    somebody new gets one when seen for the second time in a row and `NO_TRACK` until then, so that a single false pose
    uses up no number.

    Nobody is left out who scores at least the threshold; only poses that show somebody a second time are. Poses below
    the threshold are kept only where they continue somebody who was seen a moment ago; to make use of that, let the
    estimator give poses down to about half the threshold.

    Args:
        threshold: Least score of somebody new, in [0, 1].
        memory_s: For how many seconds somebody out of sight is remembered; frames must follow each other faster.

    Raises:
        OptionError: An option is out of range.

    Source:
        Poses below the threshold continue people: Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every
        Detection Box", ECCV 2022. Scores and sizes tell people at the same place apart: Yang et al., "Hybrid-SORT: Weak
        Cues Matter for Online Multi-Object Tracking", AAAI 2024.
    """

    def __init__(self, threshold: float = 0.4, *, memory_s: float = 2.0) -> None:
        if not 0 < memory_s < np.inf:
            raise OptionError(
                f"'memory_s' must be a number of seconds above 0, not {memory_s}", "leave it out, or say 2"
            )
        self.threshold = threshold
        self._memory_s = memory_s
        self._clock = Clock()
        self._is_cut = CutDetector()
        self._last_number = 0
        self.reset()

    @property
    def threshold(self) -> float:
        """Least score of somebody new; may be changed between frames."""
        return self._threshold

    @threshold.setter
    def threshold(self, threshold: float) -> None:
        if not 0 <= threshold <= 1:
            raise OptionError(f"the threshold must lie between 0 and 1, not {threshold}", "leave it out, or say 0.4")
        self._threshold = threshold

    def __call__(self, frame: Frame, poses: Poses) -> Poses:
        """Numbers the poses of a frame.

        Everybody is forgotten at a scene cut, and where another video, size of picture or count of time begins.

        Args:
            frame: Where the poses were found; frames come in order.
            poses: As for `update`.

        Raises:
            OptionError: The poses have other keypoints than those before.
        """
        continues = self._clock.advance(frame)
        if self._is_cut(frame.image) or not continues:
            self.reset()
        return self.update(poses, self._clock.time_s)

    def reset(self) -> None:
        """Forgets everybody: whoever comes next is new."""
        self._tracks: list[Track] = []
        self._schema: KeypointSchema | None = None
        self._time_s = -np.inf

    def update(self, poses: Poses, time_s: float) -> Poses:
        """Numbers poses from anywhere; no picture is needed, and no scene cut is noticed.

        Args:
            poses: Of any schema. Numbers that they already have are replaced.
            time_s: When they were seen, in seconds; at least the time before, unless there was a reset.

        Returns:
            The poses with `track_ids`.

        Raises:
            OptionError: The time goes back or is no number, or the poses have other keypoints than those before.
        """
        self._check(poses, time_s)
        is_first = self._schema is None
        sightings = Sightings.of(poses)
        sure = [int(index) for index in np.flatnonzero(poses.scores >= self._threshold)]
        self._tracks = [track for track in self._tracks if time_s - track.seen_s <= self._memory_s]
        owners = self._recognise(sightings, sure, time_s)
        self._tracks = [track for track in self._tracks if track.is_confirmed or track in owners.values()]
        others = sightings.without_doubles((index for index in sure if index not in owners), owners, _DOUBLE)
        for index in sightings.without_doubles(others, owners, _DOUBLE_IF_NEW):
            owners[index] = Track.begin(sightings, index, time_s)
            self._tracks.append(owners[index])
        seen_twice = [
            index
            for index, track in sorted(owners.items())
            if not track.is_confirmed and (is_first or track.sightings > 1)
        ]
        self._number(seen_twice, owners, sightings, time_s)
        self._time_s, self._schema = time_s, poses.schema
        kept = sorted({*owners, *others})
        numbers = [owners[index].number if index in owners else NO_TRACK for index in kept]
        return replace(poses[kept], track_ids=np.array(numbers, np.int64))

    def _check(self, poses: Poses, time_s: float) -> None:
        if not np.isfinite(time_s) or time_s < self._time_s:
            raise OptionError(
                f"the time of a frame must be a number of seconds from {self._time_s}, not {time_s}",
                "give the frames in order; call reset() before another video",
            )
        if self._schema is not None and poses.schema != self._schema:
            raise OptionError(
                f"poses of the schema '{poses.schema.name}' cannot continue poses of the schema '{self._schema.name}'",
                "use a tracker for each schema, or call reset() in between",
            )

    def _recognise(self, sightings: Sightings, sure: Sequence[int], time_s: float) -> dict[int, Track]:
        """The tracks that poses continue, by the index of the pose.

        First come people with numbers. A pose that is unsure, or looks like a better one, must suit them better. One
        that suits somebody lost best is nobody's yet: it waits for a second sight of them. Sure poses that are left go
        to those who have only just appeared.
        """
        known = [track for track in self._tracks if track.is_confirmed]
        singles = sightings.without_doubles(range(len(sightings)), (), _DOUBLE)
        candidates = sorted({*sure, *singles})
        trust = np.where(np.isin(candidates, sure) & np.isin(candidates, singles), 1.0, _TRUST_IF_UNSURE)
        pairs = best_pairs(_worth(known, sightings, candidates, time_s, trust))
        found = [(candidates[column], known[row]) for row, column in pairs]
        owners = {index: track for index, track in found if not self._is_lost(track, time_s)}

        recent = [track for track in self._tracks if not track.is_confirmed]
        left = [index for index in sure if index not in owners]
        pairs = best_pairs(_worth(recent, sightings, left, time_s))
        owners |= {left[column]: recent[row] for row, column in pairs}
        for index, track in owners.items():
            track.see(sightings, index, time_s)
        return owners

    def _is_lost(self, track: Track, time_s: float) -> bool:
        """Whether somebody was not seen in the frame before, nor shortly before that."""
        return track.seen_s < min(self._time_s, time_s - _BLINK_S)

    def _number(self, indices: Sequence[int], owners: Mapping[int, Track], sightings: Sightings, time_s: float) -> None:
        """Gives each of some people the number of somebody lost whom they suit, or else a new one."""
        lost = [track for track in self._tracks if track.is_confirmed and self._is_lost(track, time_s)]
        for row, column in best_pairs(_worth(lost, sightings, indices, time_s)):
            owners[indices[column]].number = lost[row].number
            self._tracks.remove(lost[row])
        for index in indices:
            if not owners[index].is_confirmed:
                self._last_number += 1
                owners[index].number = self._last_number


def _worth(
    tracks: Sequence[Track],
    sightings: Sightings,
    indices: Sequence[int],
    time_s: float,
    trust: Float[np.ndarray, "n"] | float = 1.0,
) -> Float[np.ndarray, "t n"]:
    """How well poses suit people who were seen before, or 0 if not at all.

    Place, pose and size count, how much of a person can be seen, and the time out of sight. How much can be seen tells
    whoever stands in front from whoever is hidden there.
    """
    if not tracks or not indices:
        return np.zeros((len(tracks), len(indices)))
    sizes = np.array([track.size for track in tracks])[:, None]
    drifts = np.array([track.drift(time_s) for track in tracks])[:, None]
    unseen_s = np.array([time_s - track.seen_s for track in tracks])[:, None]
    expected = np.stack([track.expected(time_s) for track in tracks])[:, None]
    found = sightings.keypoints[None, indices]
    known, seen = np.stack([track.weights for track in tracks])[:, None], sightings.weights[None, indices]
    weights = np.minimum(known, seen)
    similarity = pose_similarity(expected, found, weights, np.hypot(2 * sightings.sigmas * sizes, drifts)[:, None])
    growth = np.log(pose_sizes(found, weights) / pose_sizes(expected, weights))
    similarity *= trust
    possible = similarity * _normal(growth, _MOST_GROWTH) >= _LEAST_SIMILARITY
    hiding = (seen.mean(axis=-1) - known.mean(axis=-1)) / (_HIDING + _HIDING_PER_S * unseen_s)
    likelihood = similarity * _normal(growth, _GROWTH) * _normal(hiding, 1) * _FADING**unseen_s
    return np.where(possible, np.log(np.maximum(likelihood, _CHANCE) / _CHANCE) + 1, 0.0)


def _normal(values: Float[np.ndarray, "t n"], spread: float) -> Float[np.ndarray, "t n"]:
    """The density of a normal distribution around 0, relative to that at 0."""
    return np.asarray(np.exp(-np.square(values / spread) / 2))
