"""Poses as annotation tools read them, so that they can be corrected there.

The inverse of the readers in `coco.py`, `deeplabcut.py` and `label_studio.py`. All keypoints are written as visible,
whatever their scores, because a tool can only move or delete what is there.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote

import numpy as np

from e2pose.core.annotations import Annotations, ImageAnnotation, PersonAnnotation
from e2pose.core.poses import Poses
from e2pose.formats.boxes import DEFAULT_AREA_RATIO
from e2pose.formats.coco import to_coco_annotations
from e2pose.formats.tool_entries import VISIBLE

_DIGITS = 3
_HALF_PIXEL = 0.5
_LOCAL_FILES = "/data/local-files/?d="  # the path of a file that Label Studio serves from its local folder follows


@dataclass(frozen=True, eq=False)
class PoseFrame:
    """The poses of an image file, or of a frame of a video."""

    path: Path
    index: int | None  # of a frame, from 0; None for an image file
    size_hw: tuple[int, int]
    poses: Poses


def relative_names(paths: Sequence[Path]) -> list[str]:
    """Returns the names of files relative to the deepest folder that contains all of them, with forward slashes."""
    absolute = [path.absolute() for path in paths]
    try:
        folder = os.path.commonpath([path.parent for path in absolute])
    except ValueError:  # no files, or on several drives
        return [path.name for path in paths]
    return [PurePath(os.path.relpath(path, folder)).as_posix() for path in absolute]


def to_coco_labels(frames: Sequence[PoseFrame]) -> dict[str, Any]:
    """Returns COCO annotations of image files; file names are as from `relative_names`."""
    names = relative_names([frame.path for frame in frames])
    schema = frames[0].poses.schema
    labelled = tuple(range(len(schema)))
    images = [
        ImageAnnotation(number, name, frame.size_hw, tuple(_to_person(*pose) for pose in _poses_of(frame)), labelled)
        for number, (name, frame) in enumerate(zip(names, frames, strict=True), start=1)
    ]
    return to_coco_annotations(Annotations(schema, tuple(images)))


def _poses_of(frame: PoseFrame) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns keypoints (K, 2), with NaN where they are not finite, and the box (4,) of each person."""
    is_finite = np.isfinite(frame.poses.keypoints).all(axis=-1)[..., None]
    keypoints = np.where(is_finite, frame.poses.keypoints, np.nan).astype(np.float64)
    return [(points, _box_of(points[np.isfinite(points[:, 0])])) for points in keypoints]


def _box_of(points: np.ndarray) -> np.ndarray:
    """Returns x, y, width and height around points (P, 2); zeros without points."""
    if not len(points):
        return np.zeros(4)
    low, high = points.min(axis=0), points.max(axis=0)
    return np.concatenate([low, high - low])


def _to_person(keypoints: np.ndarray, box: np.ndarray) -> PersonAnnotation:
    is_finite = np.isfinite(keypoints[:, 0])
    x, y, width, height = box.round(_DIGITS).tolist()
    return PersonAnnotation(
        np.nan_to_num(keypoints).astype(np.float32),
        np.where(is_finite, VISIBLE, 0).astype(np.uint8),
        round(DEFAULT_AREA_RATIO * width * height, _DIGITS),
        (x, y, width, height),
    )


def to_label_studio_tasks(frames: Sequence[PoseFrame]) -> list[dict[str, Any]]:
    """Returns tasks with predictions, which Label Studio shows as a start for annotations.

    The address of an image is that of a file served from the local folder that contains all images. The names of the
    labelling configuration are "image", "instance" (RectangleLabels) and "keypoint" (KeyPointLabels).

    Source: labelstud.io/guide/predictions.
    """
    names = relative_names([frame.path for frame in frames])
    return [
        {
            "data": {"image": _LOCAL_FILES + quote(name, errors="surrogateescape")},
            "predictions": [
                {
                    "model_version": "e2pose",
                    "score": round(float(frame.poses.scores.mean()), 4) if len(frame.poses) else 0.0,
                    "result": _to_regions(frame),
                }
            ],
        }
        for name, frame in zip(names, frames, strict=True)
    ]


def _to_regions(frame: PoseFrame) -> list[dict[str, Any]]:
    height, width = frame.size_hw
    size = {"original_width": width, "original_height": height, "image_rotation": 0}
    percent = 100 / np.array([width, height])
    regions: list[dict[str, Any]] = []
    for number, (keypoints, box) in enumerate(_poses_of(frame)):
        corners = np.array([box[:2], box[:2] + box[2:]]).clip(0, [width, height])
        (x, y), (right, bottom) = (corners * percent).round(_DIGITS).tolist()
        owner = f"instance-{number}"
        rectangle = {"x": x, "y": y, "width": right - x, "height": bottom - y, "rotation": 0}
        regions.append(
            {"id": owner, "type": "rectanglelabels", "from_name": "instance", "to_name": "image", **size,
             "value": {**rectangle, "rectanglelabels": ["instance"]}}
        )  # fmt: skip
        for name, xy in zip(frame.poses.schema.keypoints, (keypoints * percent).round(_DIGITS).tolist(), strict=True):
            if np.isfinite(xy[0]):
                regions.append(
                    {"id": f"{owner}-{name}", "parentID": owner, "type": "keypointlabels", "from_name": "keypoint",
                     "to_name": "image", **size,
                     "value": {"x": xy[0], "y": xy[1], "width": 0.5, "keypointlabels": [name]}}
                )  # fmt: skip
    return regions


def to_deeplabcut_csv(frames: Sequence[PoseFrame], scorer: str, individuals: Sequence[str] | None) -> str:
    """Returns a table of DeepLabCut: `CollectedData_SCORER.csv`.

    Args:
        frames: The poses of image files.
        scorer: The name in the name of the file.
        individuals: Names of the animals, in the order of scores; None for a project with one animal. Further persons
            are omitted.
    """
    parts = frames[0].poses.schema.keypoints
    owners = individuals if individuals is not None else [""]
    columns = [(scorer, owner, part, axis) for owner in owners for part in parts for axis in ("x", "y")]
    levels = ["scorer", "individuals", "bodyparts", "coords"]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    for level, names in zip(levels, zip(*columns, strict=True), strict=True):
        if level != "individuals" or individuals is not None:
            table.writerow([level, *names])
    for frame in frames:
        cells = np.full((len(owners), len(parts), 2), np.nan)
        for number, (keypoints, _) in enumerate(_poses_of(frame)[: len(owners)]):
            cells[number] = keypoints - _HALF_PIXEL
        name = f"labeled-data/{frame.path.absolute().parent.name}/{frame.path.name}"
        values = cells.round(_DIGITS).ravel().tolist()
        table.writerow([name, *("" if np.isnan(value) else value for value in values)])
    return text.getvalue()
