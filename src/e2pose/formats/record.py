"""Poses as rounded plain numbers, for the text formats.

Lengths are pixels of the source with two decimals, measured from the outer corner of its first pixel. Scores are from 0
to 1 with four decimals, times seconds with six.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32

from e2pose.core.poses import NO_TRACK, Poses

TIME_DIGITS = 6
_LENGTH_DIGITS = 2
_SCORE_DIGITS = 4


@dataclass(frozen=True)
class PersonRecord:
    """One person in rounded numbers; None stands for a number that is not finite."""

    score: float | None
    track_id: int | None  # None without tracking, and for a person that has no id yet
    box: list[float | None]  # x, y, width, height around all keypoints
    keypoints: list[list[float | None]]  # (x, y, score) of each


def to_person_records(poses: Poses) -> list[PersonRecord]:
    """Returns the persons in rounded numbers, in their order."""
    keypoints = np.concatenate(
        [_round(poses.keypoints, _LENGTH_DIGITS), _round(poses.keypoint_scores, _SCORE_DIGITS)[..., None]], axis=-1
    )
    scores = _round(poses.scores, _SCORE_DIGITS)
    boxes = _round(poses.boxes(), _LENGTH_DIGITS)
    track_ids = [NO_TRACK] * len(poses) if poses.track_ids is None else poses.track_ids.tolist()
    return [
        PersonRecord(score, None if track_id == NO_TRACK else track_id, box, points)
        for score, track_id, box, points in zip(
            scores.tolist(), track_ids, boxes.tolist(), keypoints.tolist(), strict=True
        )
    ]


def to_text(name: str) -> str:
    r"""Returns a file name as Unicode; a byte that is not UTF-8, such as FF, becomes `\udcff` as in JSON."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _round(values: Float32[np.ndarray, "..."], digits: int) -> np.ndarray[Any, np.dtype[np.object_]]:
    cells = np.asarray(values, dtype=np.float64).round(digits).astype(object)
    cells[~np.isfinite(values)] = None
    return cells
