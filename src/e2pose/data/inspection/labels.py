"""Labels that contradict their image or each other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from e2pose.core.annotations import Annotations, ImageAnnotation, PersonAnnotation
from e2pose.core.oks import object_keypoint_similarity
from e2pose.data.inspection.findings import Problem

_SLACK = 1.0  # pixels
_FAR = 0.25  # of the longer side of the box
_SAME = 0.95  # object keypoint similarity
_ENOUGH = 20  # people to say "never"

OUTSIDE_BOX = "box outside of the picture"
OUTSIDE_KEYPOINT = "keypoint outside of the picture"
FAR_FROM_BOX = "keypoint far from its box"
NO_AREA = "person without area"
LARGE_AREA = "area larger than its box"
CONTRADICTION = "labelled, but not in labelled_keypoints"
TWICE = "person labelled twice"
NEVER = "keypoint that is never labelled"
NOBODY = "no person with keypoints"


def label_problems(dataset: Annotations) -> Iterator[Problem]:
    """Everything that is wrong with the labels, as far as it can be known without the pictures."""
    names = dataset.schema.keypoints
    for image in dataset.images:
        for person in image.persons:
            yield from _person_problems(person, image, names)
        yield from _twice(image, np.array(dataset.schema.sigmas))
    yield from _missing(dataset)


def _person_problems(person: PersonAnnotation, image: ImageAnnotation, names: tuple[str, ...]) -> Iterator[Problem]:
    size_xy = np.array(image.size_hw[::-1])
    low, extent = np.array(person.box[:2]), np.array(person.box[2:])
    box = f"box {[round(value, 1) for value in person.box]}"
    where = f"{image.file_name}: {box}"
    if (low < -_SLACK).any() or (low + extent > size_xy + _SLACK).any():
        yield Problem(OUTSIDE_BOX, f"{where} in {size_xy[0]}x{size_xy[1]} pixels")
    if not person.has_keypoints:
        return
    if person.area <= 0 or extent.min() <= 0:
        yield Problem(NO_AREA, f"{where}, area {person.area:g}: nothing is learned from this person")
    elif person.area > 1.05 * extent.prod() + _SLACK:
        yield Problem(LARGE_AREA, f"{where}, area {person.area:g}")
    labelled = person.visibility > 0
    points = person.keypoints
    outside = ((points < -_SLACK) | (points > size_xy + _SLACK)).any(axis=1) & labelled
    margin = _FAR * extent.max() + _SLACK
    far = ((points < low - margin) | (points > low + extent + margin)).any(axis=1) & labelled & ~outside
    unexpected = labelled & ~np.isin(np.arange(len(names)), image.labelled_keypoints)
    for check, chosen in ((OUTSIDE_KEYPOINT, outside), (FAR_FROM_BOX, far), (CONTRADICTION, unexpected)):
        for index in np.flatnonzero(chosen):
            yield Problem(
                check, f"{image.file_name}: {names[index]} at ({points[index, 0]:.1f}, {points[index, 1]:.1f}), {box}"
            )


def _twice(image: ImageAnnotation, sigmas: np.ndarray) -> Iterator[Problem]:
    """Pairs of people whose common keypoints lie in the same places."""
    people = [person for person in image.persons if person.has_keypoints and person.area > 0]
    for index, one in enumerate(people):
        for other in people[:index]:
            common = (one.visibility > 0) & (other.visibility > 0)
            if common.sum() < min(3, len(sigmas)) or common.sum() < 0.5 * max(
                (one.visibility > 0).sum(), (other.visibility > 0).sum()
            ):
                continue
            areas = np.array([min(one.area, other.area)])
            similarity = object_keypoint_similarity(
                one.keypoints[None], other.keypoints[None], common[None], areas, sigmas
            )
            if similarity[0, 0] > _SAME:
                yield Problem(TWICE, f"{image.file_name}: at {one.keypoints[common].mean(axis=0).round().tolist()}")


def _missing(dataset: Annotations) -> Iterator[Problem]:
    posed = [(person, image) for image in dataset.images for person in image.persons if person.has_keypoints]
    if not posed:
        yield Problem(NOBODY, f"{len(dataset.images)} images", is_error=True)
        return
    if len(posed) < _ENOUGH:
        return
    ever = np.any([person.visibility > 0 for person, _ in posed], axis=0)
    claimed = {index for _, image in posed for index in image.labelled_keypoints}
    for index in np.flatnonzero(~ever):
        if index in claimed:
            yield Problem(
                NEVER,
                f"{dataset.schema.keypoints[index]}: so nobody ever shows it, a network learns; "
                "leave it out of the images' labelled_keypoints",
            )
