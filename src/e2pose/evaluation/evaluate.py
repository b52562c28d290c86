"""Runs a model over annotated images and says how good and how fast it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from jaxtyping import UInt8

from e2pose.core.errors import AnnotationError
from e2pose.core.files import atomic_path
from e2pose.core.poses import Poses
from e2pose.evaluation.metrics import MAX_PERSONS, KeypointMetrics, coco_eval, keypoint_metrics
from e2pose.formats.coco import CocoDataset, read_coco, to_coco_results
from e2pose.sources.images import read_image

EVALUATION_THRESHOLD = 0.01
"""The person threshold to evaluate a model with: average precision needs the doubtful poses too."""

_WARM_UP = 3

PoseFunction = Callable[[UInt8[np.ndarray, "h w 3"]], Poses]
"""Finds everybody in an RGB picture."""

ProgressFunction = Callable[[int, int], None]
"""Told after each image how many of how many are done."""


@dataclass(frozen=True)
class Latency:
    """How long one image takes, in milliseconds: half of the images are faster than `p50_ms`, and so on."""

    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float


@dataclass(frozen=True)
class EvaluationResult:
    """What an evaluation has found out.

    Args:
        images: Number of images.
        persons: Number of annotated persons with at least one labelled keypoint, crowds left out.
        metrics: How good the poses are.
        latency: How long an image takes from pixels to poses; reading the file does not count.
    """

    images: int
    persons: int
    metrics: KeypointMetrics
    latency: Latency

    def to_record(self) -> dict[str, Any]:
        """All numbers by name, in one flat record."""
        counts = {"images": self.images, "persons": self.persons}
        return {**counts, **self.metrics.to_record(), **asdict(self.latency)}


def evaluate(
    estimator: PoseFunction,
    annotations_path: str | Path,
    images_folder: str | Path,
    *,
    threshold: float = 0.4,
    results_path: str | Path | None = None,
    progress: ProgressFunction | None = None,
) -> EvaluationResult:
    """Finds the poses in annotated images and compares them with the annotations.

    Args:
        estimator: What to evaluate; set its person threshold to `EVALUATION_THRESHOLD`.
        annotations_path: COCO keypoint annotations.
        images_folder: Folder that the file names in the annotations start from.
        threshold: Poses with a lower score do not count as duplicates.
        results_path: Where to write the poses as COCO results, if at all.
        progress: Told after each image.

    Raises:
        AnnotationError: The annotations are wrong, name no image, name images that are not there, or have other
            keypoints than the estimator.
        InputError: An image cannot be read.
        MissingExtraError: faster-coco-eval is not installed.
    """
    coco_eval()  # better missed now than after the last image
    dataset = read_coco(annotations_path)
    _check_images(dataset, annotations_path, Path(images_folder))
    results: list[dict[str, Any]] = []
    seconds: list[float] = []
    for done, entry in enumerate(dataset.images, start=1):
        image = read_image(Path(images_folder) / entry.file_name)
        start = perf_counter()
        poses = estimator(image)
        seconds.append(perf_counter() - start)
        dataset = _with_schema(dataset, poses)
        results += to_coco_results(poses[:MAX_PERSONS], entry.id, entry.file_name)
        if progress is not None:
            progress(done, len(dataset.images))
    if results_path is not None:
        with atomic_path(results_path) as temporary:
            temporary.write_text(json.dumps(results), encoding="utf-8")
    return EvaluationResult(
        images=len(dataset.images),
        persons=sum(
            bool(person.visibility.any()) and not person.is_crowd
            for image in dataset.images
            for person in image.persons
        ),
        metrics=keypoint_metrics(dataset, results, threshold=threshold),
        latency=_latency(seconds),
    )


def _check_images(dataset: CocoDataset, annotations_path: str | Path, folder: Path) -> None:
    if not dataset.images:
        raise AnnotationError(f"'{annotations_path}' lists no images", "give annotations of at least one image")
    missing = [image.file_name for image in dataset.images if not (folder / image.file_name).is_file()]
    if missing:
        raise AnnotationError(
            f"{len(missing)} of {len(dataset.images)} annotated images are not in '{folder}', for example "
            f"'{missing[0]}'",
            "give the folder that the file names in the annotations start from",
        )


def _with_schema(dataset: CocoDataset, poses: Poses) -> CocoDataset:
    """The data set with the model's own schema, whose sigmas a COCO file cannot carry."""
    if poses.schema.keypoints != dataset.schema.keypoints:
        raise AnnotationError(
            f"the annotations have the keypoints {', '.join(dataset.schema.keypoints)}, "
            f"but the model finds {', '.join(poses.schema.keypoints)}",
            "evaluate a model with annotations of the keypoints that it was trained for",
        )
    return dataset if poses.schema is dataset.schema else replace(dataset, schema=poses.schema)


def _latency(seconds: list[float]) -> Latency:
    """The first few calls are slower than all others and left out, unless there are no others."""
    times_ms = 1000 * np.array(seconds[min(_WARM_UP, len(seconds) - 1) :])
    p50, p90, p99 = np.percentile(times_ms, [50, 90, 99]).tolist()
    return Latency(mean_ms=float(times_ms.mean()), p50_ms=p50, p90_ms=p90, p99_ms=p99)
