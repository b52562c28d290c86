"""Poses as a table, one row per person.

The columns are `file`, `frame`, `time_s`, `person` (0 for the highest score of the frame), `track_id` (empty without
tracking), `score`, and then `<name>_x`, `<name>_y`, `<name>_score` for each keypoint. A frame without persons has no
row. Numbers that are not finite are empty cells. Units and digits: `formats/record.py`.
"""

from __future__ import annotations

from e2pose.core.frame import Frame
from e2pose.core.poses import Poses
from e2pose.core.schema import KeypointSchema
from e2pose.formats.record import TIME_DIGITS, to_person_records, to_text

Cell = str | float | None


def to_header(schema: KeypointSchema) -> list[str]:
    """Returns the names of all columns."""
    columns = [f"{name}_{part}" for name in schema.keypoints for part in ("x", "y", "score")]
    return ["file", "frame", "time_s", "person", "track_id", "score", *columns]


def to_rows(frame: Frame, poses: Poses) -> list[list[Cell]]:
    """Returns the rows of one frame; None stands for an empty cell."""
    first: list[Cell] = [to_text(frame.origin.name), frame.index, round(frame.time_s, TIME_DIGITS)]
    return [
        [*first, index, person.track_id, person.score, *(value for point in person.keypoints for value in point)]
        for index, person in enumerate(to_person_records(poses))
    ]
