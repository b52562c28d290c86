"""Poses as OpenPose JSON, one file per frame.

    {"version": 1.3, "schema": "coco", "keypoints": ["nose", ...], "people": [
        {"person_id": [3], "pose_keypoints_2d": [x, y, score, ...], "face_keypoints_2d": [], ...}]}

`pose_keypoints_2d` has the keypoints of the model's schema, listed in `keypoints`: 17 for COCO, whereas OpenPose's own
models return 25 or 18 in another order. `person_id` is -1 without tracking. Keypoints that are not finite are three
zeros, as OpenPose writes missing ones. Units and digits: `formats/record.py`.

Source: "OpenPose Doc - Output", section "JSON Output Format".
"""

from __future__ import annotations

from typing import Any

from e2pose.core.poses import Poses
from e2pose.formats.record import to_person_records


def to_openpose(poses: Poses) -> dict[str, Any]:
    """Returns the poses of one frame, ready for `json.dumps`."""
    return {
        "version": 1.3,
        "schema": poses.schema.name,
        "keypoints": list(poses.schema.keypoints),
        "people": [
            {
                "person_id": [-1 if person.track_id is None else person.track_id],
                "pose_keypoints_2d": [
                    value for point in person.keypoints for value in ([0.0, 0.0, 0.0] if None in point else point)
                ],
                "face_keypoints_2d": [],
                "hand_left_keypoints_2d": [],
                "hand_right_keypoints_2d": [],
            }
            for person in to_person_records(poses)
        ],
    }
