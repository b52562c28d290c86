"""How good poses are: the average precision of COCO and of CrowdPose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from types import ModuleType
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from e2pose.core.annotations import Annotations, PersonAnnotation
from e2pose.core.errors import AnnotationError, MissingExtraError
from e2pose.evaluation.matching import MAX_PERSONS
from e2pose.formats.coco import AREA_OF_BOX, to_coco_annotations

Protocol = Literal["coco", "crowdpose"]
"""Whose rules: COCO's, or those of CrowdPose."""

OKS_THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""Average precision is the mean over these."""

RECALLS = np.linspace(0, 1, 101)
"""Where a precision-recall curve is sampled."""

_SIZES = {"medium": (32**2, 96**2), "large": (96**2, 1e10)}
"""Areas of persons in square pixels. Source: cocodataset.org/#keypoints-eval."""

_CROWDING = {"easy": (-np.inf, 0.2), "medium": (0.2, 0.8), "hard": (0.8, np.inf)}
"""Crowd indices of images, the lower end included.

Source: github.com/Jeff-sjtu/CrowdPose, crowdposetools/cocoeval.py. The paper (Li et al., CVPR 2019) says 0.1 for 0.2,
but that code has computed the published numbers.
"""


@dataclass(frozen=True, eq=False)
class KeypointMetrics:
    """Quality of the poses in a data set. Precisions and recalls lie in [0, 1], or are -1 where nobody is annotated.

    Args:
        protocol: By whose rules.
        ap: Average precision, the mean over OKS thresholds from 0.5 to 0.95: the main number.
        ap50: Average precision at an OKS of 0.5.
        ap75: Average precision at an OKS of 0.75.
        ap_of: `ap` of parts of the data: by COCO's rules of "medium" and "large" persons (areas above 32^2 and 96^2
            pixels), by those of CrowdPose of "easy", "medium" and "hard" images (crowd indices from 0, 0.2 and 0.8).
        ar: Average recall, the mean over the same OKS thresholds.
        precision: The precision that can be had at each of `OKS_THRESHOLDS` and of `RECALLS`.
    """

    protocol: Protocol
    ap: float
    ap50: float
    ap75: float
    ap_of: Mapping[str, float]
    ar: float
    precision: Float[np.ndarray, "10 101"]

    def to_record(self) -> dict[str, Any]:
        """The numbers by name, without the curves."""
        parts = {f"ap_{part}": value for part, value in self.ap_of.items()}
        return {"protocol": self.protocol, "ap": self.ap, "ap50": self.ap50, "ap75": self.ap75, **parts, "ar": self.ar}


def under_protocol(dataset: Annotations, protocol: Protocol | None) -> tuple[Annotations, Protocol]:
    """The data set as a protocol sees it: CrowdPose takes the area of a person from the box.

    Args:
        dataset: What people annotated.
        protocol: Whose rules; None for CrowdPose's if every image has a crowd index, and COCO's if not.

    Raises:
        AnnotationError: CrowdPose's rules are asked for, and an image has no crowd index.
    """
    indexed = [image.crowd_index is not None for image in dataset.images]
    if protocol is None:
        protocol = "crowdpose" if indexed and all(indexed) else "coco"
    if protocol == "coco":
        return dataset, protocol
    if not all(indexed):
        raise AnnotationError(
            f"{indexed.count(False)} of {len(indexed)} images have no 'crowdIndex', which CrowdPose's protocol needs",
            "use the protocol 'coco', or the annotations of CrowdPose",
        )
    images = (
        replace(image, persons=tuple(_with_area_of_box(person) for person in image.persons)) for image in dataset.images
    )
    return replace(dataset, images=tuple(images)), protocol


def _with_area_of_box(person: PersonAnnotation) -> PersonAnnotation:
    return replace(person, area=AREA_OF_BOX * person.box[2] * person.box[3])


def keypoint_metrics(
    dataset: Annotations, results: Sequence[Mapping[str, Any]], protocol: Protocol = "coco"
) -> KeypointMetrics:
    """Compares poses with annotations; the tolerances are the sigmas of the data set's schema.

    Args:
        dataset: What people annotated, as `under_protocol` gives it.
        results: What a model found, as `to_coco_results` gives it; not changed.
        protocol: Whose rules.

    Raises:
        AnnotationError: A result belongs to no image of the data set.
        MissingExtraError: faster-coco-eval is not installed.

    Source:
        cocodataset.org/#keypoints-eval and, for CrowdPose, see `_CROWDING`.
    """
    strangers = {result["image_id"] for result in results} - {image.id for image in dataset.images}
    if strangers:
        raise AnnotationError(
            f"{len(strangers)} images with results are not among the {len(dataset.images)} annotated ones, "
            f"for example the image_id {min(strangers)}",
            "evaluate results with the annotations of the images that they were made from",
        )
    areas = list(_SIZES.values()) if protocol == "coco" else []
    precision, recall = _accumulate(dataset, results, areas)
    if protocol == "coco":
        parts = {size: _mean(precision[..., index]) for index, size in enumerate(_SIZES, start=1)}
    else:
        parts = {level: _mean(_accumulate(_part(dataset, level), results, [])[0]) for level in _CROWDING}
    return KeypointMetrics(
        protocol=protocol,
        ap=_mean(precision[..., 0]),
        ap50=_mean(precision[0, :, 0]),
        ap75=_mean(precision[5, :, 0]),
        ap_of=parts,
        ar=_mean(recall[..., 0]),
        precision=precision[..., 0],
    )


def coco_eval() -> ModuleType:
    """The package that computes COCO's metrics.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        return import_module("faster_coco_eval")
    except ImportError as error:
        raise MissingExtraError("faster_coco_eval", "eval") from error


def _part(dataset: Annotations, level: str) -> Annotations:
    low, high = _CROWDING[level]
    chosen = (image for image in dataset.images if image.crowd_index is not None and low <= image.crowd_index < high)
    return replace(dataset, images=tuple(chosen))


def _accumulate(
    dataset: Annotations, results: Sequence[Mapping[str, Any]], areas: Sequence[tuple[float, float]]
) -> tuple[Float[np.ndarray, "10 101 a"], Float[np.ndarray, "10 a"]]:
    """Precisions and recalls of all persons and, one after the other, of those in each range of areas."""
    package = coco_eval()
    if not any(image.persons for image in dataset.images):
        return np.full((10, 101, 1 + len(areas)), -1.0), np.full((10, 1 + len(areas)), -1.0)
    truth = package.COCO(to_coco_annotations(dataset))
    known = {image.id for image in dataset.images}
    found = truth.loadRes([dict(result) for result in results if result["image_id"] in known])  # it writes into them
    evaluation = package.COCOeval_faster(truth, found, "keypoints", kpt_oks_sigmas=list(dataset.schema.sigmas))
    parameters = evaluation.params
    parameters.maxDets, parameters.iouThrs, parameters.recThrs = [MAX_PERSONS], OKS_THRESHOLDS, RECALLS
    parameters.areaRng = [[0, 1e10], *map(list, areas)]
    parameters.areaRngLbl = [str(index) for index in range(1 + len(areas))]
    evaluation.evaluate()
    evaluation.accumulate()
    return np.asarray(evaluation.eval["precision"])[:, :, 0, :, 0], np.asarray(evaluation.eval["recall"])[:, 0, :, 0]


def _mean(values: Float[np.ndarray, "..."]) -> float:
    """The mean, or -1 where nobody is annotated."""
    return float(values[values > -1].mean()) if (values > -1).any() else -1.0
