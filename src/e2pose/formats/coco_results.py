"""COCO keypoint results: poses found by a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from e2pose.core.errors import AnnotationError
from e2pose.core.poses import NO_TRACK, Poses
from e2pose.core.schema import KeypointSchema
from e2pose.formats.coco import CATEGORY_ID
from e2pose.formats.coco_entries import HALF_PIXEL
from e2pose.formats.fields import LARGEST, FieldError, is_missing, show, to_id
from e2pose.formats.json_file import load_json
from e2pose.formats.reading_log import ReadingLog


def to_coco_results(poses: Poses, image_id: int, file_name: str) -> list[dict[str, Any]]:
    """Returns the poses of one image as entries of a COCO results file.

    An entry has `image_id`, `category_id`, `keypoints` (x, y, score for each), `score`, `bbox` around all keypoints and
    `file_name`; tracked persons also have `track_id`. A keypoint that is not finite becomes (0, 0, 0).
    """
    finite = np.isfinite(poses.keypoints).all(axis=-1)[..., None]
    points = np.where(finite, poses.keypoints - HALF_PIXEL, 0).astype(np.float64).round(2)
    scores = np.where(finite, poses.keypoint_scores[..., None], 0).astype(np.float64).round(5)
    boxes = np.nan_to_num(poses.boxes()).astype(np.float64).round(2)
    track_ids = [NO_TRACK] * len(poses) if poses.track_ids is None else poses.track_ids.tolist()
    return [
        {
            "image_id": image_id,
            "category_id": CATEGORY_ID,
            "keypoints": np.concatenate([points[index], scores[index]], axis=-1).ravel().tolist(),
            "score": round(float(poses.scores[index]), 5),
            "bbox": boxes[index].tolist(),
            "file_name": file_name,
            **({} if track_ids[index] == NO_TRACK else {"track_id": track_ids[index]}),
        }
        for index in range(len(poses))
    ]


def read_coco_results(path: str | Path, schema: KeypointSchema) -> list[dict[str, Any]]:
    """Reads a file of COCO results; returns entries as from `to_coco_results`, without `file_name` and `track_id`.

    The file is a JSON list; each entry has `image_id`, `keypoints` (x, y, any number) and `score` from 0 to 1. Without
    `bbox`, the box around all keypoints is used, from which COCO's evaluation computes the area of a pose. An image id
    may be text, as in `read_coco`.

    Raises:
        AnnotationError: The file cannot be read or has invalid entries; the message lists the first of them.
    """
    entries = load_json(path, "the results", "use a JSON file of COCO results")
    if not isinstance(entries, list):
        raise AnnotationError(
            f"'{path}' is not a file of COCO results: it must be a list of poses",
            "use results, not annotations; e2pose predict -o poses.json writes them",
        )
    log = ReadingLog(path)
    results = []
    for index, entry in enumerate(entries):
        with log.entry(f"the pose at position {index}"):
            results.append(_parse(entry, schema))
    log.raise_if_invalid()
    return results


def results_to_poses(results: Sequence[Mapping[str, Any]], schema: KeypointSchema) -> Poses:
    """Returns the poses of one image from its entries in a file of COCO results."""
    triples = np.array([result["keypoints"] for result in results], dtype=np.float64).reshape(-1, len(schema), 3)
    return Poses(
        keypoints=triples[..., :2].astype(np.float32) + HALF_PIXEL,
        keypoint_scores=triples[..., 2].astype(np.float32),
        scores=np.array([result["score"] for result in results], dtype=np.float32),
        schema=schema,
    )


def _parse(entry: object, schema: KeypointSchema) -> dict[str, Any]:
    if not isinstance(entry, dict) or not {"image_id", "keypoints", "score"} <= entry.keys():
        raise FieldError(f"it must have 'image_id', 'keypoints' and 'score', not {show(entry)}")
    image_id, keypoints, score = to_id(entry["image_id"], "image_id"), entry["keypoints"], entry["score"]
    if not _are_numbers(keypoints, 3 * len(schema)):
        is_count_wrong = isinstance(keypoints, list) and len(keypoints) != 3 * len(schema)
        received = f"{len(keypoints)} values" if is_count_wrong else show(keypoints)
        raise FieldError(
            f"'keypoints' must be {3 * len(schema)} finite numbers: x, y, score for each of {len(schema)} keypoints of "
            f"the annotations, not {received}"
        )
    x, y = keypoints[0::3], keypoints[1::3]
    box = entry.get("bbox")
    if is_missing(box):
        box = [min(x) + 0.5, min(y) + 0.5, max(x) - min(x), max(y) - min(y)]
    if box is None or not _are_numbers(box, 4) or min(box[2:]) < 0:
        raise FieldError(f"'bbox' must be x, y, width and height, not {show(box)}")
    if not _are_numbers([score], 1) or not 0 <= score <= 1:
        raise FieldError(f"'score' must be from 0 to 1, not {show(score)}; scale all scores, only their order matters")
    return {"image_id": image_id, "keypoints": keypoints, "score": score, "category_id": CATEGORY_ID, "bbox": box}


def _are_numbers(values: object, count: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) == count
        and all(isinstance(value, int | float) and abs(value) <= LARGEST for value in values)
    )
