"""Average precision and recall of poses, by the protocols of COCO and CrowdPose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from types import ModuleType
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from e2pose.core.annotations import Annotations
from e2pose.core.errors import AnnotationError, MissingExtraError
from e2pose.evaluation.matching import MAX_DETECTIONS
from e2pose.formats.boxes import DEFAULT_AREA_RATIO
from e2pose.formats.coco import to_coco_annotations

Protocol = Literal["coco", "crowdpose"]
"""The evaluation protocol."""

OKS_THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""Average precision and recall are means over these thresholds."""

RECALLS = np.linspace(0, 1, 101)
"""Recalls at which precision is sampled."""

_AREA_RANGES = {"medium": (32**2, 96**2), "large": (96**2, 1e10)}
"""Areas of persons in square pixels. Source: cocodataset.org/#keypoints-eval."""

_CROWDING = {"easy": (-np.inf, 0.2), "medium": (0.2, 0.8), "hard": (0.8, np.inf)}
"""Crowd indices of images, the lower end included.

Source: github.com/Jeff-sjtu/CrowdPose, crowdposetools/cocoeval.py. The paper (Li et al., CVPR 2019) says 0.1 instead of
0.2, but the published results were computed with that code.
"""


@dataclass(frozen=True, eq=False)
class KeypointMetrics:
    """Precision and recall of the poses in a data set, in [0, 1], or -1 where there is no annotated person.

    Args:
        protocol: The evaluation protocol.
        ap: Average precision (AP): the mean over OKS thresholds from 0.5 to 0.95 in steps of 0.05.
        ap50: AP at the OKS threshold 0.5.
        ap75: AP at the OKS threshold 0.75.
        ap_of: AP of parts of the data. COCO: "medium" and "large" persons (areas from 32^2 and from 96^2 pixels).
            CrowdPose: "easy", "medium" and "hard" images (crowd indices from 0, 0.2 and 0.8).
        ar: Average recall: the mean over the same OKS thresholds.
        precision: Precision at each of `OKS_THRESHOLDS` and `RECALLS`.
    """

    protocol: Protocol
    ap: float
    ap50: float
    ap75: float
    ap_of: Mapping[str, float]
    ar: float
    precision: Float[np.ndarray, "10 101"]

    def to_record(self) -> dict[str, Any]:
        """Returns all numbers by name, without the precision-recall curves; AP is None for parts without persons."""
        parts = {f"ap_{part}": value if value >= 0 else None for part, value in self.ap_of.items()}
        return {"protocol": self.protocol, "ap": self.ap, "ap50": self.ap50, "ap75": self.ap75, **parts, "ar": self.ar}


def apply_protocol(dataset: Annotations, protocol: Protocol | None) -> tuple[Annotations, Protocol]:
    """Returns the data set with the person areas of a protocol: CrowdPose computes areas from boxes.

    None selects "crowdpose" if every image has a crowd index, otherwise "coco".

    Raises:
        AnnotationError: The protocol is "crowdpose" and an image has no crowd index.
    """
    indexed = [image.crowd_index is not None for image in dataset.images]
    if protocol is None:
        protocol = "crowdpose" if indexed and all(indexed) else "coco"
    if protocol == "coco":
        return dataset, protocol
    if not all(indexed):
        raise AnnotationError(
            f"{indexed.count(False)} of {len(indexed)} images have no 'crowdIndex', which the protocol 'crowdpose' "
            "requires",
            "use the protocol 'coco', or annotations in CrowdPose's format",
        )
    images = []
    for image in dataset.images:
        persons = [replace(one, area=DEFAULT_AREA_RATIO * one.box[2] * one.box[3]) for one in image.persons]
        images.append(replace(image, persons=tuple(persons)))
    return replace(dataset, images=tuple(images)), protocol


def compute_metrics(
    dataset: Annotations, results: Sequence[Mapping[str, Any]], protocol: Protocol = "coco"
) -> KeypointMetrics:
    """Computes precision and recall of poses (from `to_coco_results`) in a data set (from `apply_protocol`).

    The sigmas are those of the data set's schema.

    Raises:
        AnnotationError: A result belongs to no image of the data set.
        MissingExtraError: faster-coco-eval is not installed.

    Source:
        cocodataset.org/#keypoints-eval and, for CrowdPose, see `_CROWDING`.
    """
    unknown = {result["image_id"] for result in results} - {image.id for image in dataset.images}
    if unknown:
        raise AnnotationError(
            f"{len(unknown)} images with results are not among the {len(dataset.images)} annotated images, "
            f"for example the image_id {min(unknown)}",
            "use the annotations of the images that the results were computed from",
        )
    areas = list(_AREA_RANGES.values()) if protocol == "coco" else []
    precision, recall = _accumulate(dataset, results, areas)
    if protocol == "coco":
        parts = {size: _mean(precision[..., index]) for index, size in enumerate(_AREA_RANGES, start=1)}
    else:
        parts = {level: _mean(_accumulate(_images_of(dataset, level), results, [])[0]) for level in _CROWDING}
    return KeypointMetrics(
        protocol=protocol,
        ap=_mean(precision[..., 0]),
        ap50=_mean(precision[0, :, 0]),
        ap75=_mean(precision[5, :, 0]),
        ap_of=parts,
        ar=_mean(recall[..., 0]),
        precision=precision[..., 0],
    )


def import_coco_eval() -> ModuleType:
    """Imports faster-coco-eval.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        return import_module("faster_coco_eval")
    except ImportError as error:
        raise MissingExtraError("faster_coco_eval", "eval") from error


def _images_of(dataset: Annotations, level: str) -> Annotations:
    low, high = _CROWDING[level]
    images = (image for image in dataset.images if image.crowd_index is not None and low <= image.crowd_index < high)
    return replace(dataset, images=tuple(images))


def _accumulate(
    dataset: Annotations, results: Sequence[Mapping[str, Any]], areas: Sequence[tuple[float, float]]
) -> tuple[Float[np.ndarray, "10 101 a"], Float[np.ndarray, "10 a"]]:
    """Returns precision and recall of all persons, followed by those of the persons in each range of areas."""
    package = import_coco_eval()
    if not any(image.persons for image in dataset.images):
        return np.full((10, 101, 1 + len(areas)), -1.0), np.full((10, 1 + len(areas)), -1.0)
    truth = package.COCO(to_coco_annotations(dataset))
    ids = {image.id for image in dataset.images}
    detections = truth.loadRes([dict(result) for result in results if result["image_id"] in ids])  # it modifies them
    evaluation = package.COCOeval_faster(truth, detections, "keypoints", kpt_oks_sigmas=list(dataset.schema.sigmas))
    parameters = evaluation.params
    parameters.maxDets, parameters.iouThrs, parameters.recThrs = [MAX_DETECTIONS], OKS_THRESHOLDS, RECALLS
    parameters.areaRng = [[0, 1e10], *map(list, areas)]
    parameters.areaRngLbl = [str(index) for index in range(1 + len(areas))]
    evaluation.evaluate()
    evaluation.accumulate()
    return np.asarray(evaluation.eval["precision"])[:, :, 0, :, 0], np.asarray(evaluation.eval["recall"])[:, 0, :, 0]


def _mean(values: Float[np.ndarray, "..."]) -> float:
    """Returns the mean, or -1 without annotated persons."""
    return float(values[values > -1].mean()) if (values > -1).any() else -1.0
