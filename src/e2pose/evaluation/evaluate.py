"""Says how good the poses of a model are on annotated images, and how fast it finds them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from e2pose.core.annotations import Annotations
from e2pose.core.errors import AnnotationError, OptionError
from e2pose.core.poses import Poses
from e2pose.core.schema import KeypointSchema
from e2pose.evaluation.calibration import Calibration, calibrate
from e2pose.evaluation.duplicates import count_duplicates
from e2pose.evaluation.latency import Latency, PoseFunction, TimedEstimator
from e2pose.evaluation.matching import MAX_PERSONS
from e2pose.evaluation.metrics import KeypointMetrics, Protocol, coco_eval, keypoint_metrics, under_protocol
from e2pose.formats.coco import read_coco, to_coco_results
from e2pose.formats.coco_results import read_coco_results, results_to_poses
from e2pose.inference.estimator import Estimator
from e2pose.sources.images import read_image

EVALUATION_THRESHOLD = 0.01
"""The person threshold that a model is evaluated with: average precision needs the doubtful poses too."""

_USUAL_THRESHOLD = 0.4

ProgressFunction = Callable[[int, int], None]
"""Told after each image how many of how many are done."""


@dataclass(frozen=True, eq=False)
class EvaluationResult:
    """What an evaluation has found out.

    Args:
        metrics: How good the poses are.
        duplicates_per_image: How many poses of an image, on average, show a person that a better pose shows already.
        calibration: How far scores can be taken for probabilities.
        latency: How long an image takes from pixels to poses, by station; reading the file does not count. Empty for
            stored results.
        threshold: Poses with a lower score count as nobody, but for `metrics` and `calibration`.
        dataset: The annotations as they were compared.
        results: The poses as entries of a COCO results file.
        found: The poses of each image, by its id.
    """

    metrics: KeypointMetrics
    duplicates_per_image: float
    calibration: Calibration
    latency: Mapping[str, Latency]
    threshold: float
    dataset: Annotations
    results: Sequence[Mapping[str, Any]]
    found: Mapping[int, Poses]

    @property
    def images(self) -> int:
        """Number of images."""
        return len(self.dataset.images)

    @property
    def persons(self) -> int:
        """Number of annotated persons with at least one labelled keypoint, crowds left out."""
        return sum(person.has_keypoints for image in self.dataset.images for person in image.persons)

    def to_record(self) -> dict[str, Any]:
        """All numbers by name, for JSON."""
        return {
            "images": self.images,
            "persons": self.persons,
            **self.metrics.to_record(),
            "threshold": self.threshold,
            "duplicates_per_image": self.duplicates_per_image,
            "calibration": asdict(self.calibration),
            "latency": {station: asdict(latency) for station, latency in self.latency.items()},
        }


def evaluate(
    estimator: Estimator | PoseFunction,
    annotations: Annotations | str | Path,
    images_folder: str | Path,
    *,
    protocol: Protocol | None = None,
    schema: KeypointSchema | None = None,
    threshold: float | None = None,
    limit: int | None = None,
    progress: ProgressFunction | None = None,
) -> EvaluationResult:
    """Finds the poses in annotated images and compares them with the annotations.

    Args:
        estimator: What to evaluate. An `Estimator` is run with the threshold `EVALUATION_THRESHOLD`.
        annotations: COCO keypoint annotations, or the path of a file of them.
        images_folder: Folder that the file names in the annotations start from.
        protocol: "coco" or "crowdpose"; None for the latter if every image has a crowd index.
        schema: Brings other sigmas than the estimator's own.
        threshold: Poses with a lower score are no duplicates; None for the estimator's own, or 0.4 if it has none.
        limit: Look at no more images than so many, the first ones.
        progress: Told after each image.

    Raises:
        AnnotationError: The annotations are wrong, name no image, name images that are not there, or have other
            keypoints than the estimator.
        InputError: An image cannot be read.
        OptionError: The threshold or the limit is out of range.
        MissingExtraError: faster-coco-eval is not installed.
    """
    coco_eval()  # better missed now than after the last image
    if isinstance(estimator, Estimator):
        threshold = estimator.threshold if threshold is None else threshold
        estimator = estimator.with_threshold(EVALUATION_THRESHOLD)
    threshold = _check_threshold(_USUAL_THRESHOLD if threshold is None else threshold)
    dataset = _first(_read(annotations), limit)
    _check_images(dataset, Path(images_folder))
    timed = TimedEstimator(estimator)
    results: list[dict[str, Any]] = []
    for done, entry in enumerate(dataset.images, start=1):
        poses = timed(read_image(Path(images_folder) / entry.file_name))
        dataset = _with_schema(dataset, poses.schema)
        results += to_coco_results(poses[:MAX_PERSONS], entry.id, entry.file_name)
        if progress is not None:
            progress(done, len(dataset.images))
    dataset = dataset if schema is None else _with_schema(dataset, schema)
    return _compare(dataset, results, protocol, threshold, timed.latencies())


def evaluate_results(
    results: Iterable[Mapping[str, Any]] | str | Path,
    annotations: Annotations | str | Path,
    *,
    protocol: Protocol | None = None,
    schema: KeypointSchema | None = None,
    threshold: float | None = None,
    limit: int | None = None,
) -> EvaluationResult:
    """Compares stored poses with annotations, without a model.

    Args:
        results: Entries of a COCO results file, or the path of one.
        annotations: COCO keypoint annotations, or the path of a file of them.
        protocol: "coco" or "crowdpose"; None for the latter if every image has a crowd index.
        schema: Brings other sigmas than the annotations' own.
        threshold: Poses with a lower score are no duplicates; None for 0.4.
        limit: Look at no more images than so many, the first ones; poses of the others are left out.

    Raises:
        AnnotationError: The annotations or results are wrong, or do not belong together.
        OptionError: The threshold or the limit is out of range.
        MissingExtraError: faster-coco-eval is not installed.
    """
    threshold = _check_threshold(_USUAL_THRESHOLD if threshold is None else threshold)
    whole = _read(annotations)
    dataset = _first(whole, limit) if schema is None else _with_schema(_first(whole, limit), schema)
    entries = read_coco_results(results, dataset.schema) if isinstance(results, str | Path) else list(results)
    left_out = {image.id for image in whole.images[len(dataset.images) :]}
    return _compare(dataset, [one for one in entries if one["image_id"] not in left_out], protocol, threshold, {})


def _compare(
    dataset: Annotations,
    results: Sequence[Mapping[str, Any]],
    protocol: Protocol | None,
    threshold: float,
    latency: Mapping[str, Latency],
) -> EvaluationResult:
    dataset, protocol = under_protocol(dataset, protocol)
    metrics = keypoint_metrics(dataset, results, protocol)
    found = _by_image(dataset, results)
    return EvaluationResult(
        metrics=metrics,
        duplicates_per_image=count_duplicates(dataset, found, threshold=threshold) / len(dataset.images),
        calibration=calibrate(dataset, found),
        latency=latency,
        threshold=threshold,
        dataset=dataset,
        results=results,
        found=found,
    )


def _by_image(dataset: Annotations, results: Sequence[Mapping[str, Any]]) -> dict[int, Poses]:
    entries: defaultdict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for result in results:
        entries[result["image_id"]].append(result)
    return {image.id: results_to_poses(entries[image.id], dataset.schema) for image in dataset.images}


def _read(annotations: Annotations | str | Path) -> Annotations:
    dataset = annotations if isinstance(annotations, Annotations) else read_coco(annotations)
    if not dataset.images:
        name = "the data set" if isinstance(annotations, Annotations) else f"'{annotations}'"
        raise AnnotationError(f"{name} lists no images", "give annotations of at least one image")
    return dataset


def _first(dataset: Annotations, limit: int | None) -> Annotations:
    if limit is not None and limit < 1:
        raise OptionError(f"the limit must be at least 1 image, not {limit}", "leave it out to use all images")
    return replace(dataset, images=dataset.images[:limit])


def _check_threshold(threshold: float) -> float:
    if not 0 <= threshold <= 1:
        raise OptionError(f"the threshold must lie between 0 and 1, not {threshold}", "leave it out, or say 0.5")
    return threshold


def _check_images(dataset: Annotations, folder: Path) -> None:
    missing = [image.file_name for image in dataset.images if not (folder / image.file_name).is_file()]
    if missing:
        raise AnnotationError(
            f"{len(missing)} of {len(dataset.images)} annotated images are not in '{folder}', for example "
            f"'{missing[0]}'",
            "give the folder that the file names in the annotations start from",
        )


def _with_schema(dataset: Annotations, schema: KeypointSchema) -> Annotations:
    """The data set with another schema of the same keypoints, for its sigmas, which a COCO file cannot carry."""
    if schema.keypoints != dataset.schema.keypoints:
        raise AnnotationError(
            f"the annotations have the keypoints {', '.join(dataset.schema.keypoints)}, "
            f"but the schema '{schema.name}' of the poses has {', '.join(schema.keypoints)}",
            "evaluate poses with annotations of the same keypoints in the same order",
        )
    return dataset if schema is dataset.schema else replace(dataset, schema=schema)
