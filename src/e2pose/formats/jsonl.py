"""Poses as JSON lines, one line per frame.

    {"file": "run.mp4", "frame": 12, "time_s": 0.4, "persons": [
        {"score": 0.9312, "track_id": 3, "box": [x, y, width, height], "keypoints": {"nose": [x, y, score], ...}}]}

A frame without persons has an empty list. Only tracked persons have a `track_id`. `box` encloses all keypoints. Numbers
that are not finite are null. Units and digits: `formats/record.py`.
"""

from __future__ import annotations

import json
from typing import Any

from e2pose.core.frame import Frame
from e2pose.core.poses import Poses
from e2pose.formats.record import TIME_DIGITS, to_person_records


def to_json_line(frame: Frame, poses: Poses) -> str:
    """Returns the poses of one frame as a line of JSON, without the line feed."""
    record = {
        "file": frame.origin.name,
        "frame": frame.index,
        "time_s": round(frame.time_s, TIME_DIGITS),
        "persons": to_json_persons(poses),
    }
    return json.dumps(record, ensure_ascii=False, allow_nan=False)


def to_json_persons(poses: Poses) -> list[dict[str, Any]]:
    """Returns the entry `persons` of a line."""
    return [
        {
            "score": person.score,
            **({} if person.track_id is None else {"track_id": person.track_id}),
            "box": person.box,
            "keypoints": dict(zip(poses.schema.keypoints, person.keypoints, strict=True)),
        }
        for person in to_person_records(poses)
    ]
