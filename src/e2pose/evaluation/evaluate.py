"""Evaluation of an estimator, or of stored poses, on annotated images."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

from e2pose.core.annotations import Annotations, Omission, check_image_size
from e2pose.core.arguments import check_callable, check_choice, check_count, check_path, check_share, check_type
from e2pose.core.errors import AnnotationError
from e2pose.core.files import expand_home
from e2pose.core.poses import Poses
from e2pose.core.schema import KeypointSchema
from e2pose.evaluation.calibration import Calibration, measure_calibration
from e2pose.evaluation.latency import Latency, TimedEstimator
from e2pose.evaluation.matching import MAX_DETECTIONS, count_duplicates
from e2pose.evaluation.metrics import KeypointMetrics, Protocol, apply_protocol, compute_metrics, import_coco_eval
from e2pose.evaluation.omissions import find_omissions
from e2pose.formats.coco import read_coco
from e2pose.formats.coco_categories import CategoryChoice
from e2pose.formats.coco_results import read_coco_results, results_to_poses, to_coco_results
from e2pose.inference.estimator import Estimator
from e2pose.inference.run import PoseFunction
from e2pose.sources.images import read_image, read_image_size

EVALUATION_THRESHOLD = 0.01
"""The person threshold of evaluated models: average precision includes poses with low scores."""

_DEFAULT_THRESHOLD = 0.4
_MAX_NAMED_REASONS = 3


@dataclass(frozen=True, eq=False)
class EvaluationResult:
    """Result of an evaluation.

    Args:
        metrics: Average precision and recall.
        duplicates_per_image: Mean number of poses per image that fit a person less well than another pose does.
        calibration: Agreement of scores and precision.
        latency: Time per image by stage, without reading the file. Empty for stored poses.
        threshold: Poses with a lower score count for `metrics` and `calibration` only.
        dataset: The annotations, with the areas of the protocol and the sigmas of the schema.
        results: The poses as entries of a COCO results file.
        poses_by_image: The poses of each image, by image id.
    """

    metrics: KeypointMetrics
    duplicates_per_image: float
    calibration: Calibration
    latency: Mapping[str, Latency]
    threshold: float
    dataset: Annotations
    results: Sequence[Mapping[str, Any]]
    poses_by_image: Mapping[int, Poses]

    @property
    def num_images(self) -> int:
        """Number of images."""
        return len(self.dataset.images)

    @property
    def num_persons(self) -> int:
        """Number of annotated persons with at least one labelled keypoint, without crowds."""
        return sum(person.has_keypoints for image in self.dataset.images for person in image.persons)

    @property
    def omitted(self) -> tuple[Omission, ...]:
        """What the reader of the annotations omitted, and persons that no pose can match."""
        return find_omissions(self.dataset)

    def to_record(self) -> dict[str, Any]:
        """Returns all numbers by name, for JSON."""
        return {
            "num_images": self.num_images,
            "num_persons": self.num_persons,
            "omitted": [asdict(omission) for omission in self.omitted],
            **self.metrics.to_record(),
            "threshold": self.threshold,
            "duplicates_per_image": self.duplicates_per_image,
            "calibration": asdict(self.calibration),
            "latency": {stage: asdict(latency) for stage, latency in self.latency.items()},
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
    category: CategoryChoice = None,
    progress: Callable[[int, int], None] | None = None,
) -> EvaluationResult:
    """Runs an estimator on annotated images and compares its poses with the annotations.

    Args:
        estimator: The estimator. An `Estimator` runs with the threshold `EVALUATION_THRESHOLD`.
        annotations: COCO keypoint annotations, or the path of such a file.
        images_folder: Folder that the file names in the annotations are relative to.
        protocol: "coco" or "crowdpose"; None selects "crowdpose" if every image has a crowd index, otherwise "coco".
        schema: Schema with other sigmas than those of the estimator; also the names of the keypoints if the
            annotations have none.
        threshold: Minimum score of duplicates; None for the threshold of the estimator, or 0.4 if it has none.
        limit: Maximum number of images; the first ones are used.
        category: Name or id of the category, or several, where more than one has keypoints; see `read_coco`.
        progress: Called after each image with the number of evaluated images and of all images.

    Raises:
        AnnotationError: The annotations are invalid, list no image or no person with labelled keypoints, list missing
            images or wrong image sizes, or have other keypoints than the estimator.
        InputError: An image cannot be read.
        OptionError: The threshold or the limit is out of range.
        MissingExtraError: faster-coco-eval is not installed.

    Example:
        >>> result = e2pose.evaluate(e2pose.load(), "annotations.json", "images/")
        >>> result.metrics.ap
    """
    check_callable("the estimator", estimator, hint="load one with e2pose.load()")
    images_folder = expand_home(check_path("the folder of the images", images_folder))
    import_coco_eval()  # fails before the images are processed
    if isinstance(estimator, Estimator):
        threshold = estimator.threshold if threshold is None else threshold
        estimator = estimator.with_threshold(EVALUATION_THRESHOLD)
    threshold = _check_threshold(threshold)
    _check_choices(protocol, schema)
    dataset = _first_images(_read(annotations, category, schema, images_folder), limit)
    _check_images(dataset, images_folder)
    timed = TimedEstimator(estimator)
    results: list[dict[str, Any]] = []
    for done, image in enumerate(dataset.images, start=1):
        poses = timed(read_image(images_folder / image.file_name))
        check_type("the result of the estimator", poses, Poses, hint="return e2pose.Poses for every image")
        dataset = _with_schema(dataset, poses.schema)
        results += to_coco_results(poses[:MAX_DETECTIONS], image.id, image.file_name)
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
    category: CategoryChoice = None,
) -> EvaluationResult:
    """Compares poses with annotations: the entries of a COCO results file, or the path of such a file.

    The other arguments are those of `evaluate`. `limit` also discards the poses of all other images.

    Raises:
        AnnotationError: The annotations or results are invalid, no annotated person has labelled keypoints, or results
            belong to images without annotations.
        OptionError: The threshold or the limit is out of range.
        MissingExtraError: faster-coco-eval is not installed.
    """
    threshold = _check_threshold(threshold)
    _check_choices(protocol, schema)
    whole = _read(annotations, category, schema)
    dataset = _first_images(whole, limit)
    dataset = dataset if schema is None else _with_schema(dataset, schema)
    entries = read_coco_results(results, dataset.schema) if isinstance(results, str | Path) else list(results)
    discarded = {image.id for image in whole.images[len(dataset.images) :]}
    kept = [entry for entry in entries if entry["image_id"] not in discarded]
    return _compare(dataset, kept, protocol, threshold, {})


def _compare(
    dataset: Annotations,
    results: Sequence[Mapping[str, Any]],
    protocol: Protocol | None,
    threshold: float,
    latency: Mapping[str, Latency],
) -> EvaluationResult:
    dataset, protocol = apply_protocol(dataset, protocol)
    metrics = compute_metrics(dataset, results, protocol)
    entries: defaultdict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for result in results:
        entries[result["image_id"]].append(result)
    poses_by_image = {image.id: results_to_poses(entries[image.id], dataset.schema) for image in dataset.images}
    return EvaluationResult(
        metrics=metrics,
        duplicates_per_image=count_duplicates(dataset, poses_by_image, threshold=threshold) / len(dataset.images),
        calibration=measure_calibration(dataset, poses_by_image),
        latency=latency,
        threshold=threshold,
        dataset=dataset,
        results=results,
        poses_by_image=poses_by_image,
    )


def _read(
    annotations: Annotations | str | Path,
    category: CategoryChoice,
    schema: KeypointSchema | None,
    images_folder: Path | None = None,
) -> Annotations:
    if isinstance(annotations, Annotations):
        dataset = annotations
    else:
        check_path("the annotations", annotations, error=AnnotationError)
        if Path(annotations).suffix.lower() in (".yaml", ".yml") or os.path.isdir(annotations):  # noqa: PTH112 - false for a name that is too long
            raise AnnotationError(
                f"'{annotations}' is not a .json file of COCO annotations",
                "name the file; export a YOLO data set as COCO keypoints, or evaluate it in a training with holdout",
            )
        size_of = None if images_folder is None else lambda name: read_image_size(images_folder / name)
        dataset = read_coco(annotations, category=category, schema=schema, size_of=size_of)
    if not dataset.images:
        name = "the data set" if isinstance(annotations, Annotations) else f"'{annotations}'"
        raise AnnotationError(f"{name} lists no images", "use annotations of at least one image")
    return dataset


def _first_images(dataset: Annotations, limit: int | None) -> Annotations:
    if limit is not None:
        limit = check_count("the limit", limit, hint="omit it to use all images")
    first = replace(dataset, images=dataset.images[:limit])
    check_measurable(first)
    return first


def check_measurable(dataset: Annotations) -> None:
    """Checks that a data set has a person with labelled keypoints: precision and recall are undefined without.

    Raises:
        AnnotationError: It has none.
    """
    if not any(person.has_keypoints for image in dataset.images for person in image.persons):
        reasons = [str(omission) for omission in find_omissions(dataset)[:_MAX_NAMED_REASONS]]
        problem = f"nothing can be measured: no person has labelled keypoints (images: {len(dataset.images)})"
        raise AnnotationError("; ".join([problem, *reasons]), "use annotations of images with labelled persons")


def _check_threshold(threshold: float | None) -> float:
    threshold = _DEFAULT_THRESHOLD if threshold is None else threshold
    return check_share("the threshold", threshold, hint="omit it, or use 0.5")


def _check_choices(protocol: object, schema: object) -> None:
    if protocol is not None:
        check_choice("the protocol", protocol, get_args(Protocol))
    if schema is not None:
        check_type("the schema", schema, KeypointSchema, hint='load it with e2pose.load_schema("coco")')


def _check_images(dataset: Annotations, folder: Path) -> None:
    missing = [image.file_name for image in dataset.images if not (folder / image.file_name).is_file()]
    if missing:
        raise AnnotationError(
            f"{len(missing)} of {len(dataset.images)} annotated images are not in '{folder}', for example "
            f"'{missing[0]}'",
            "use the folder that the file names in the annotations are relative to",
        )
    for image in dataset.images:
        path = folder / image.file_name
        check_image_size(path, read_image_size(path), image)


def _with_schema(dataset: Annotations, schema: KeypointSchema) -> Annotations:
    """Replaces the schema by one with the same keypoints. A COCO file does not contain the sigmas."""
    if schema.keypoints != dataset.schema.keypoints:
        raise AnnotationError(
            f"the annotations have the keypoints {', '.join(dataset.schema.keypoints)}, "
            f"but the schema '{schema.name}' of the poses has {', '.join(schema.keypoints)}",
            "use annotations with the same keypoints in the same order",
        )
    return dataset if schema is dataset.schema else replace(dataset, schema=schema)
