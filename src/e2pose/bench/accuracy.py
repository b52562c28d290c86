"""Accuracy of peers: average precision and missing keypoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from e2pose.bench.images import BenchImage
from e2pose.bench.protocol import PeerPose
from e2pose.bench.runner import PeerResult
from e2pose.core.annotations import Annotations
from e2pose.core.errors import AnnotationError
from e2pose.core.poses import Poses
from e2pose.core.schema import KeypointSchema
from e2pose.evaluation.evaluate import check_measurable, evaluate_results
from e2pose.evaluation.matching import MAX_DETECTIONS
from e2pose.formats.coco import read_coco
from e2pose.formats.coco_results import to_coco_results


@dataclass(frozen=True, eq=False)
class AnnotatedImages:
    """Annotations of frames, and the frame index of each annotated image by its id."""

    dataset: Annotations
    frame_of: Mapping[int, int]


def find_annotated(annotations: Path, images: Sequence[BenchImage]) -> AnnotatedImages:
    """Finds the annotations of images by their file names.

    Raises:
        AnnotationError: The annotations are invalid, or contain none of the images or no person in them.
    """
    dataset = read_coco(annotations)
    frames = {image.file_name: image.index for image in images if image.origin.is_still}
    annotated = tuple(image for image in dataset.images if Path(image.file_name).name in frames)
    if not annotated:
        raise AnnotationError(
            f"none of the {len(dataset.images)} annotated images in '{annotations}' is among the frames",
            "use the folder of the annotated images as the source; images are identified by their file names",
        )
    dataset = replace(dataset, images=annotated)
    check_measurable(dataset)
    return AnnotatedImages(dataset, {image.id: frames[Path(image.file_name).name] for image in annotated})


def measure_accuracy(result: PeerResult, annotated: AnnotatedImages) -> PeerResult:
    """Adds the missing keypoints and, unless the weights are random, the average precision to a result.

    Average precision is in [0, 1]. It is computed as in `e2pose evaluate`; keypoints
    that the peer does not have count as missed.
    """
    names, schema = result.handshake.keypoints, annotated.dataset.schema
    result = replace(result, missing_keypoints=tuple(name for name in schema.keypoints if name not in names))
    if result.handshake.random_weights:
        return result
    entries = []
    for image in annotated.dataset.images:
        poses = to_poses(result.poses[annotated.frame_of[image.id]], names, schema)
        entries += to_coco_results(poses[:MAX_DETECTIONS], image.id, image.file_name)
    return replace(result, ap=evaluate_results(entries, annotated.dataset).metrics.ap)


def to_poses(peer_poses: Sequence[PeerPose], names: Sequence[str], schema: KeypointSchema) -> Poses:
    """Converts poses with the given keypoint names to a schema; missing keypoints are NaN with the score 0."""
    given = np.array([pose.keypoints for pose in peer_poses], np.float64).reshape(-1, len(names), 3)
    converted = np.full((len(peer_poses), len(schema), 3), (np.nan, np.nan, 0.0))
    for index, name in enumerate(schema.keypoints):
        if name in names:
            converted[:, index] = given[:, list(names).index(name)]
    return Poses(
        keypoints=converted[..., :2].astype(np.float32),
        keypoint_scores=converted[..., 2].astype(np.float32),
        scores=np.array([pose.score for pose in peer_poses], np.float32),
        schema=schema,
    )
