"""Files of COCO results: poses that a model has found, to be read again."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from e2pose.core.errors import AnnotationError
from e2pose.core.poses import Poses
from e2pose.core.schema import KeypointSchema
from e2pose.formats.coco import CATEGORY_ID

_HALF_PIXEL = np.float32(0.5)


def read_coco_results(path: str | Path, schema: KeypointSchema) -> list[dict[str, Any]]:
    """Reads a file of COCO results.

    Args:
        path: A JSON list; each entry has `image_id`, `keypoints` (x, y and anything for each) and `score` from 0 to 1.
        schema: What the keypoints are.

    Returns:
        Entries as `to_coco_results` makes them, without `file_name`.

    Raises:
        AnnotationError: The file cannot be read or an entry is wrong; the message says which.
    """
    try:
        entries = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AnnotationError(f"cannot read the results '{path}': {error}", "give a file of COCO results") from error
    if not isinstance(entries, list):
        raise AnnotationError(
            f"'{path}' is not a file of COCO results: it must be a list of poses",
            "a file of COCO annotations is none; e2pose predict -o poses.json writes one",
        )
    return [_result(entry, schema, f"'{path}': the pose at position {index}") for index, entry in enumerate(entries)]


def results_to_poses(results: Sequence[Mapping[str, Any]], schema: KeypointSchema) -> Poses:
    """The poses of one image, from its entries in a file of COCO results."""
    triples = np.array([result["keypoints"] for result in results], dtype=np.float64).reshape(-1, len(schema), 3)
    return Poses(
        keypoints=triples[..., :2].astype(np.float32) + _HALF_PIXEL,
        keypoint_scores=triples[..., 2].astype(np.float32),
        scores=np.array([result["score"] for result in results], dtype=np.float32),
        schema=schema,
    )


def _result(entry: object, schema: KeypointSchema, where: str) -> dict[str, Any]:
    hint = "correct or remove this entry"
    if not isinstance(entry, dict) or not {"image_id", "keypoints", "score"} <= entry.keys():
        raise AnnotationError(f"{where} is wrong: it must have 'image_id', 'keypoints' and 'score'", hint)
    if not isinstance(entry["image_id"], int):
        raise AnnotationError(f"{where} is wrong: its image_id must be a whole number, not {entry['image_id']!r}", hint)
    if not _are_numbers(entry["keypoints"], 3 * len(schema)):
        raise AnnotationError(
            f"{where} is wrong: its keypoints must be {3 * len(schema)} finite numbers (x, y and a score for each of "
            f"{len(schema)})",
            "evaluate results with annotations of the same keypoints",
        )
    box = entry.get("bbox", _box(entry["keypoints"]))
    if not _are_numbers(box, 4) or min(box[2:]) < 0:
        raise AnnotationError(f"{where} is wrong: its bbox must be x, y, width and height, not {box!r}", hint)
    if not _are_numbers([entry["score"]], 1) or not 0 <= entry["score"] <= 1:
        raise AnnotationError(
            f"{where} is wrong: its score must lie between 0 and 1, not {entry['score']!r}",
            "scale all scores; for average precision only their order counts",
        )
    kept = {name: entry[name] for name in ("image_id", "keypoints", "score")}
    return {**kept, "category_id": CATEGORY_ID, "bbox": box}


def _box(keypoints: Sequence[float]) -> list[float]:
    """The box around all keypoints; COCO's evaluation takes a pose's area from it."""
    x, y = keypoints[0::3], keypoints[1::3]
    return [min(x) + 0.5, min(y) + 0.5, max(x) - min(x), max(y) - min(y)]


def _are_numbers(values: object, count: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) == count
        and all(isinstance(value, int | float) and math.isfinite(value) for value in values)
    )
