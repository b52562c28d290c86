"""Poses as lines of JSON, one line for each frame.

    {"file": "run.mp4", "frame": 12, "time_s": 0.4, "persons": [
        {"score": 0.9312, "track_id": 3, "box": [x, y, width, height], "keypoints": {"nose": [x, y, score], ...}}]}

A frame without people has an empty list. `track_id` is there only if people were tracked. `box` encloses all keypoints.
What is not a finite number is null. Units and digits: `formats/record.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from e2pose.core.errors import AnnotationError
from e2pose.core.frame import Frame
from e2pose.core.poses import Poses
from e2pose.core.schema import KeypointSchema
from e2pose.formats.record import TIME_DIGITS, PersonRecord, PosesRecord, from_person_records, to_person_records


def to_json_line(frame: Frame, poses: Poses) -> str:
    """The poses of one frame as a line of JSON, without the line feed."""
    record = {
        "file": frame.origin.name,
        "frame": frame.index,
        "time_s": round(frame.time_s, TIME_DIGITS),
        "persons": [_person(person, poses.schema) for person in to_person_records(poses)],
    }
    return json.dumps(record, ensure_ascii=False, allow_nan=False)


def read_poses_jsonl(path: str | Path, schema: KeypointSchema) -> Iterator[PosesRecord]:
    """Reads the frames of a file of lines of JSON one by one.

    Args:
        path: The file.
        schema: What the keypoints are; each person in the file has all of them.

    Raises:
        AnnotationError: The file cannot be read or a line is wrong; the message names the line.
    """
    number = 0
    try:
        with Path(path).open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):  # noqa: B007  the handler below names the line
                yield _frame(json.loads(line), schema)
    except OSError as error:
        raise AnnotationError(f"cannot read the poses '{path}': {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise AnnotationError(
            f"'{path}', line {number}, does not hold poses of the schema '{schema.name}': {error!r}",
            "read it with the schema that it was written with",
        ) from error


def _person(person: PersonRecord, schema: KeypointSchema) -> dict[str, Any]:
    track = {} if person.track_id is None else {"track_id": person.track_id}
    keypoints = dict(zip(schema.keypoints, person.keypoints, strict=True))
    return {"score": person.score, **track, "box": person.box, "keypoints": keypoints}


def _frame(record: Mapping[str, Any], schema: KeypointSchema) -> PosesRecord:
    persons = record["persons"]
    return PosesRecord(
        file=str(record["file"]),
        frame=int(record["frame"]),
        time_s=float(record["time_s"]),
        poses=from_person_records(
            schema,
            [[person["keypoints"][name] for name in schema.keypoints] for person in persons],
            [person["score"] for person in persons],
            [person.get("track_id") for person in persons],
        ),
    )
