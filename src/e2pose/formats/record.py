"""Poses as plain numbers and back, for the formats of text.

Lengths are pixels of the source with two decimals, counted from the outer corner of its first pixel; scores lie in
[0, 1] and have four decimals; times are seconds with six.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32

from e2pose.core.poses import NO_TRACK, Poses
from e2pose.core.schema import KeypointSchema

TIME_DIGITS = 6
_LENGTH_DIGITS = 2
_SCORE_DIGITS = 4


@dataclass(frozen=True, eq=False)
class PosesRecord:
    """The poses of one frame as read from a file.

    Args:
        file: What the frame was taken from.
        frame: 0-based position of the frame in it.
        time_s: Time of the frame in seconds.
        poses: Its people.
    """

    file: str
    frame: int
    time_s: float
    poses: Poses


@dataclass(frozen=True)
class PersonRecord:
    """One person in rounded numbers; None where a number is not finite.

    Args:
        score: Score of the person.
        track_id: Identity across frames; None if nobody was tracked, or this person has only just appeared.
        box: x, y, width, height around all keypoints.
        keypoints: (x, y, score) of each keypoint.
    """

    score: float | None
    track_id: int | None
    box: list[float | None]
    keypoints: list[list[float | None]]


def to_person_records(poses: Poses) -> list[PersonRecord]:
    """The persons in rounded numbers, in their order."""
    keypoints = np.concatenate(
        [_rounded(poses.keypoints, _LENGTH_DIGITS), _rounded(poses.keypoint_scores, _SCORE_DIGITS)[..., None]], axis=-1
    )
    scores = _rounded(poses.scores, _SCORE_DIGITS)
    boxes = _rounded(poses.boxes(), _LENGTH_DIGITS)
    track_ids = [NO_TRACK] * len(poses) if poses.track_ids is None else poses.track_ids.tolist()
    return [
        PersonRecord(score, None if track_id == NO_TRACK else track_id, box, points)
        for score, track_id, box, points in zip(
            scores.tolist(), track_ids, boxes.tolist(), keypoints.tolist(), strict=True
        )
    ]


def from_person_records(
    schema: KeypointSchema,
    keypoints: Sequence[Sequence[Sequence[float | None]]],
    scores: Sequence[float | None],
    track_ids: Sequence[int | None],
) -> Poses:
    """Builds poses from (x, y, score) of each person and keypoint; None becomes NaN.

    Raises:
        ValueError: The numbers do not belong together.
    """
    tracked = [NO_TRACK if track_id is None else track_id for track_id in track_ids]
    triples = np.array(keypoints, dtype=np.float32).reshape(len(scores), len(schema), 3)
    return Poses(
        keypoints=triples[..., :2],
        keypoint_scores=triples[..., 2],
        scores=np.array(scores, dtype=np.float32),
        schema=schema,
        track_ids=np.array(tracked, dtype=np.int64) if set(tracked) - {NO_TRACK} else None,
    )


def _rounded(values: Float32[np.ndarray, "..."], digits: int) -> np.ndarray[Any, np.dtype[np.object_]]:
    cells = np.asarray(values, dtype=np.float64).round(digits).astype(object)
    cells[~np.isfinite(values)] = None
    return cells
