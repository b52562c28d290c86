"""Average precision of peers."""

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
from e2pose.evaluation.evaluate import evaluate_results
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
        AnnotationError: The annotations are invalid, or contain none of the images.
    """
    dataset = read_coco(annotations)
    frames = {image.file_name: image.index for image in images if image.origin.is_still}
    annotated = tuple(image for image in dataset.images if Path(image.file_name).name in frames)
    if not annotated:
        raise AnnotationError(
            f"none of the {len(dataset.images)} annotated images in '{annotations}' is among the frames",
            "use the folder of the annotated images as the source; images are identified by their file names",
        )
    return AnnotatedImages(
        replace(dataset, images=annotated), {image.id: frames[Path(image.file_name).name] for image in annotated}
    )


def average_precision(result: PeerResult, annotated: AnnotatedImages) -> float:
    """Computes the average precision in [0, 1] as `e2pose evaluate` does, or -1 without annotated persons.

    Keypoints that the peer does not have count as missed.
    """
    results = []
    for image in annotated.dataset.images:
        peer_poses = result.poses[annotated.frame_of[image.id]]
        poses = to_poses(peer_poses, result.handshake.keypoints, annotated.dataset.schema)
        results += to_coco_results(poses[:MAX_DETECTIONS], image.id, image.file_name)
    return evaluate_results(results, annotated.dataset).metrics.ap


def to_poses(peer_poses: Sequence[PeerPose], names: Sequence[str], schema: KeypointSchema) -> Poses:
    """Converts the poses of a peer to a schema.

    Args:
        peer_poses: The poses of a frame.
        names: Keypoint names of the peer; names that are not in the schema are left out.
        schema: Keypoint schema. Keypoints that the peer does not have are NaN with the score 0.
    """
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


def missing_keypoints(names: Sequence[str], schema: KeypointSchema) -> tuple[str, ...]:
    """Returns the keypoints of a schema that are not among the given names."""
    return tuple(name for name in schema.keypoints if name not in names)
