"""Answers of peers to poses of ours, and to average precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from e2pose.bench.images import Picture
from e2pose.bench.protocol import FoundPose
from e2pose.bench.runner import PeerRun
from e2pose.core.annotations import Annotations
from e2pose.core.errors import AnnotationError
from e2pose.core.poses import Poses
from e2pose.core.schema import KeypointSchema
from e2pose.evaluation.evaluate import evaluate_results
from e2pose.evaluation.matching import MAX_DETECTIONS
from e2pose.formats.coco import read_coco
from e2pose.formats.coco_results import to_coco_results


@dataclass(frozen=True, eq=False)
class AnnotatedImages:
    """The part of a data set that the peers are asked about.

    Args:
        dataset: The annotations of these pictures alone.
        frame_of: The number of the frame that shows each picture, by the picture's id.
    """

    dataset: Annotations
    frame_of: Mapping[int, int]


def find_annotated(annotations: Path, pictures: Sequence[Picture]) -> AnnotatedImages:
    """Finds the annotations of pictures by the names of their files.

    Raises:
        AnnotationError: The annotations are wrong, or none of them is about one of the pictures.
    """
    dataset = read_coco(annotations)
    frames = {picture.file_name: picture.index for picture in pictures if picture.origin.is_still}
    chosen = tuple(image for image in dataset.images if Path(image.file_name).name in frames)
    if not chosen:
        raise AnnotationError(
            f"none of the {len(dataset.images)} annotated pictures in '{annotations}' is among the frames",
            "give the folder of the annotated pictures as the source; they are found by their file names",
        )
    return AnnotatedImages(
        replace(dataset, images=chosen), {image.id: frames[Path(image.file_name).name] for image in chosen}
    )


def average_precision(run: PeerRun, annotated: AnnotatedImages) -> float:
    """The average precision of a peer's answers, in [0, 1], or -1 if nobody is annotated.

    It is computed as `e2pose evaluate` does. A keypoint that the peer does not find counts as missed.
    """
    results = []
    for image in annotated.dataset.images:
        found = run.poses[annotated.frame_of[image.id]]
        poses = to_poses(found, run.hello.keypoints, annotated.dataset.schema)
        results += to_coco_results(poses[:MAX_DETECTIONS], image.id, image.file_name)
    return evaluate_results(results, annotated.dataset).metrics.ap


def to_poses(found: Sequence[FoundPose], names: Sequence[str], schema: KeypointSchema) -> Poses:
    """Answers of a peer as poses of a schema.

    Args:
        found: The persons in a frame.
        names: The peer's keypoints; those that the schema does not have are left out.
        schema: Keypoints of its that the peer does not have lie nowhere (NaN), with a score of 0.
    """
    theirs = np.array([pose.keypoints for pose in found], np.float64).reshape(-1, len(names), 3)
    ours = np.full((len(found), len(schema), 3), (np.nan, np.nan, 0.0))
    for index, name in enumerate(schema.keypoints):
        if name in names:
            ours[:, index] = theirs[:, list(names).index(name)]
    return Poses(
        keypoints=ours[..., :2].astype(np.float32),
        keypoint_scores=ours[..., 2].astype(np.float32),
        scores=np.array([pose.score for pose in found], np.float32),
        schema=schema,
    )


def missing_keypoints(names: Sequence[str], schema: KeypointSchema) -> list[str]:
    """The keypoints of a schema that a peer does not find."""
    return [name for name in schema.keypoints if name not in names]
