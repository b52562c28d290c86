"""Checks of labels against their image and against each other, without reading any image file."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from e2pose.core.annotations import Annotations, ImageAnnotation, PersonAnnotation
from e2pose.core.oks import object_keypoint_similarity
from e2pose.data.inspection.findings import Check, Problem

_TOLERANCE = 1.0  # pixels
_MAX_BOX_DISTANCE = 0.25  # of a keypoint, relative to the longer side of the box
_MIN_DUPLICATE_OKS = 0.95
_MIN_PERSONS = 20  # to report a keypoint that is never labelled

_OTHER_IMAGE = "Check whether the labels belong to another image or another image size."
BOX_OUTSIDE = Check("box outside of the image", _OTHER_IMAGE)
KEYPOINT_OUTSIDE = Check("keypoint outside of the image", _OTHER_IMAGE)
KEYPOINT_FAR_FROM_BOX = Check("keypoint far from its box", _OTHER_IMAGE)
NO_AREA = Check(
    "person without area", "The person is ignored in training, and no pose can match it. Label its area and box."
)
AREA_EXCEEDS_BOX = Check("area larger than the box", "The area sets how precise a pose has to be. Correct area or box.")
UNDECLARED_KEYPOINT = Check(
    "labelled keypoint missing from labelled_keypoints",
    "The label contradicts labelled_keypoints of the image. Add the keypoint there, or remove the label.",
)
DUPLICATE_PERSON = Check(
    "person labelled twice", "One of the two would be trained as a false positive. Remove one of them."
)
NEVER_LABELLED = Check(
    "keypoint never labelled",
    "The network would learn that the keypoint is never visible. Remove it from labelled_keypoints of the images.",
)


def find_label_problems(annotations: Annotations) -> Iterator[Problem]:
    """Yields the problems of all persons and images."""
    names = annotations.schema.keypoints
    sigmas = np.array(annotations.schema.sigmas)
    for image in annotations.images:
        for person in image.persons:
            yield from _check_person(person, image, names)
        yield from _find_duplicates(image, sigmas)
    yield from _find_missing(annotations)


def _check_person(person: PersonAnnotation, image: ImageAnnotation, names: tuple[str, ...]) -> Iterator[Problem]:
    size_xy = np.array(image.size_hw[::-1])
    low, extent = np.array(person.box[:2]), np.array(person.box[2:])
    box = f"box {[round(value, 1) for value in person.box]}"
    where = f"{image.file_name}: {box}"
    if (low < -_TOLERANCE).any() or (low + extent > size_xy + _TOLERANCE).any():
        yield Problem(BOX_OUTSIDE, f"{where} in {size_xy[0]}x{size_xy[1]} pixels")
    if not person.has_keypoints:
        return
    if person.area <= 0:
        yield Problem(NO_AREA, f"{where}, area {person.area:g}")
    elif person.area > 1.05 * extent.prod() + _TOLERANCE:
        yield Problem(AREA_EXCEEDS_BOX, f"{where}, area {person.area:g}")
    labelled = person.visibility > 0
    points = person.keypoints
    outside = ((points < -_TOLERANCE) | (points > size_xy + _TOLERANCE)).any(axis=1) & labelled
    margin = _MAX_BOX_DISTANCE * extent.max() + _TOLERANCE
    far = ((points < low - margin) | (points > low + extent + margin)).any(axis=1) & labelled & ~outside
    undeclared = labelled & ~np.isin(np.arange(len(names)), image.labelled_keypoints)
    for check, failed in ((KEYPOINT_OUTSIDE, outside), (KEYPOINT_FAR_FROM_BOX, far), (UNDECLARED_KEYPOINT, undeclared)):
        for index in np.flatnonzero(failed):
            x, y = points[index]
            yield Problem(check, f"{image.file_name}: {names[index]} at ({x:.1f}, {y:.1f}), {box}")


def _find_duplicates(image: ImageAnnotation, sigmas: np.ndarray) -> Iterator[Problem]:
    """Yields pairs of persons whose common keypoints nearly coincide."""
    persons = [person for person in image.persons if person.has_keypoints and person.area > 0]
    for index, one in enumerate(persons):
        for other in persons[:index]:
            labelled, other_labelled = one.visibility > 0, other.visibility > 0
            common = labelled & other_labelled
            if common.sum() < max(min(3, len(sigmas)), 0.5 * max(labelled.sum(), other_labelled.sum())):
                continue
            areas = np.array([min(one.area, other.area)])
            oks = object_keypoint_similarity(one.keypoints[None], other.keypoints[None], common[None], areas, sigmas)
            if oks[0, 0] > _MIN_DUPLICATE_OKS:
                yield Problem(
                    DUPLICATE_PERSON, f"{image.file_name}: at {one.keypoints[common].mean(axis=0).round().tolist()}"
                )


def _find_missing(annotations: Annotations) -> Iterator[Problem]:
    posed = [(person, image) for image in annotations.images for person in image.persons if person.has_keypoints]
    if len(posed) < _MIN_PERSONS:
        return
    is_labelled = np.any([person.visibility > 0 for person, _ in posed], axis=0)
    declared = {index for _, image in posed for index in image.labelled_keypoints}
    for index in np.flatnonzero(~is_labelled):
        if index in declared:
            yield Problem(NEVER_LABELLED, annotations.schema.keypoints[index])
