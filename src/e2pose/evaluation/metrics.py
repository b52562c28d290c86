"""How good poses are: COCO's keypoint metrics, and how often one person is found twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from e2pose.core.errors import AnnotationError, MissingExtraError
from e2pose.core.oks import object_keypoint_similarity
from e2pose.formats.coco import CocoDataset, to_coco_annotations

MAX_PERSONS = 20
"""COCO looks at no more poses of an image than these, the ones with the highest scores."""

_DUPLICATE_SIMILARITY = 0.7
_STATISTICS = {"ap": 0, "ap50": 1, "ap75": 2, "ap_medium": 3, "ap_large": 4, "ar": 5}


@dataclass(frozen=True)
class KeypointMetrics:
    """Quality of the poses in a data set. Precisions and recalls lie in [0, 1], or are -1 where nobody is annotated.

    Args:
        ap: Average precision, the mean over OKS thresholds from 0.5 to 0.95: COCO's main number.
        ap50: Average precision at an OKS of 0.5.
        ap75: Average precision at an OKS of 0.75.
        ap_medium: `ap` of persons with an area from 32^2 to 96^2 pixels.
        ap_large: `ap` of persons with an area above 96^2 pixels.
        ar: Average recall, the mean over the same OKS thresholds.
        duplicates_per_image: How many poses of an image, on average, show a person that a better pose shows already.
    """

    ap: float
    ap50: float
    ap75: float
    ap_medium: float
    ap_large: float
    ar: float
    duplicates_per_image: float

    def to_record(self) -> dict[str, float]:
        """The numbers by name."""
        return asdict(self)


def keypoint_metrics(
    dataset: CocoDataset, results: Sequence[Mapping[str, Any]], *, threshold: float = 0.4
) -> KeypointMetrics:
    """Compares poses with annotations; the tolerances are the sigmas of the data set's schema.

    Args:
        dataset: What people annotated.
        results: What a model found, as `to_coco_results` gives it; not changed.
        threshold: Poses with a lower score do not count as duplicates; COCO's metrics look at all of them.

    Raises:
        AnnotationError: A result belongs to no image of the data set.
        MissingExtraError: faster-coco-eval is not installed.

    Source:
        cocodataset.org/#keypoints-eval.
    """
    strangers = {result["image_id"] for result in results} - {image.id for image in dataset.images}
    if strangers:
        raise AnnotationError(
            f"{len(strangers)} images with results are not among the {len(dataset.images)} annotated ones, "
            f"for example the image_id {min(strangers)}",
            "evaluate results with the annotations of the images that they were made from",
        )
    return KeypointMetrics(
        **_coco_statistics(dataset, results),
        duplicates_per_image=count_duplicates(dataset, results, threshold=threshold) / max(len(dataset.images), 1),
    )


def count_duplicates(dataset: CocoDataset, results: Sequence[Mapping[str, Any]], *, threshold: float) -> int:
    """Counts poses that show an annotated person whom another pose shows better.

    A pose shows the person that it fits best, if their OKS is above 0.7. Crowds and persons without labelled keypoints
    are nobody here.

    Args:
        dataset: What people annotated.
        results: What a model found, as `to_coco_results` gives it.
        threshold: Poses with a lower score are left out.
    """
    found = defaultdict(list)
    for result in results:
        if result["score"] >= threshold:
            found[result["image_id"]].append(result["keypoints"])
    sigmas = np.array(dataset.schema.sigmas)
    duplicates = 0
    for image in dataset.images:
        persons = [person for person in image.persons if person.is_posed]
        if not persons or image.id not in found:
            continue
        similarity = object_keypoint_similarity(
            np.reshape(found[image.id], (-1, len(sigmas), 3))[..., :2] + 0.5,
            np.stack([person.keypoints for person in persons]),
            np.stack([person.visibility > 0 for person in persons]),
            np.array([person.area for person in persons]),
            sigmas,
        )
        shown = similarity.argmax(axis=1)[similarity.max(axis=1) > _DUPLICATE_SIMILARITY]
        duplicates += len(shown) - len(np.unique(shown))
    return duplicates


def coco_eval() -> ModuleType:
    """The package that computes COCO's metrics.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        return import_module("faster_coco_eval")
    except ImportError as error:
        raise MissingExtraError("faster_coco_eval", "eval") from error


def _coco_statistics(dataset: CocoDataset, results: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    package = coco_eval()
    if not any(image.persons for image in dataset.images):
        return dict.fromkeys(_STATISTICS, -1.0)
    truth = package.COCO(to_coco_annotations(dataset))
    found = truth.loadRes([dict(result) for result in results])  # it writes into what it is given
    evaluation = package.COCOeval_faster(truth, found, "keypoints", kpt_oks_sigmas=list(dataset.schema.sigmas))
    evaluation.params.maxDets = [MAX_PERSONS]
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return {name: float(evaluation.stats[index]) for name, index in _STATISTICS.items()}
