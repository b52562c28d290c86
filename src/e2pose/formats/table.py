"""Poses as a table, one row for each person.

The columns are `file`, `frame`, `time_s`, `person` (0 for the one with the highest score in the frame), `track_id`
(empty if nobody was tracked), `score`, and then `<name>_x`, `<name>_y`, `<name>_score` for each keypoint. A frame
without people has no row; a table without frames is an empty file. What is not a finite number is an empty cell. Units
and digits: `formats/record.py`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from e2pose.core.errors import AnnotationError
from e2pose.core.frame import Frame
from e2pose.core.poses import Poses
from e2pose.core.schema import KeypointSchema
from e2pose.formats.record import TIME_DIGITS, PosesRecord, from_person_records, to_person_records

Cell = str | float | None

_FIRST_COLUMNS = ("file", "frame", "time_s", "person", "track_id", "score")


def to_header(schema: KeypointSchema) -> list[str]:
    """The names of all columns."""
    return [*_FIRST_COLUMNS, *(f"{name}_{part}" for name in schema.keypoints for part in ("x", "y", "score"))]


def to_rows(frame: Frame, poses: Poses) -> list[list[Cell]]:
    """The rows of one frame; None is an empty cell."""
    place: list[Cell] = [frame.origin.name, frame.index, round(frame.time_s, TIME_DIGITS)]
    return [
        [*place, index, person.track_id, person.score, *(value for point in person.keypoints for value in point)]
        for index, person in enumerate(to_person_records(poses))
    ]


def read_poses_csv(path: str | Path, schema: KeypointSchema) -> Iterator[PosesRecord]:
    """Reads the frames of a table one by one; frames without people are not in it.

    Args:
        path: The file.
        schema: What the keypoints are; the table has just their columns.

    Raises:
        AnnotationError: The file cannot be read or a row is wrong; the message names the line.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as lines:
            rows = csv.reader(lines)
            if next(rows, to_header(schema)) != to_header(schema):
                raise AnnotationError(
                    f"'{path}' is not a table of poses of the schema '{schema.name}'",
                    f"its first line must be: {','.join(to_header(schema))}",
                )
            try:
                for _, persons in groupby(rows, key=lambda row: row[:2]):
                    yield _frame(list(persons), schema)
            except (ValueError, IndexError, csv.Error) as error:
                raise AnnotationError(f"'{path}', line {rows.line_num} or before, is wrong: {error}") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AnnotationError(f"cannot read the poses '{path}': {error}") from error


def _frame(rows: Sequence[Sequence[str]], schema: KeypointSchema) -> PosesRecord:
    file, frame, time_s, *_ = rows[0]
    numbers = [[float(cell) if cell else None for cell in row[5:]] for row in rows]
    return PosesRecord(
        file=file,
        frame=int(frame),
        time_s=float(time_s),
        poses=from_person_records(
            schema,
            [[row[column : column + 3] for column in range(1, len(row), 3)] for row in numbers],
            [row[0] for row in numbers],
            [int(row[4]) if row[4] else None for row in rows],
        ),
    )
