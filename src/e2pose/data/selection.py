"""Which persons and images a training uses, and why it omits the others.

Training, augmentation and `e2pose doctor data` share these decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from e2pose.core.annotations import Annotations, ImageAnnotation, Omission, PersonAnnotation
from e2pose.core.errors import AnnotationError, E2PoseError
from e2pose.core.spec import Fit
from e2pose.data.config import AugmentConfig
from e2pose.transforms.fit import fit_affine

MIN_SIDE = 5.0
"""A person whose area in the training image is below the square of this number of pixels is ignored."""

MIN_VISIBLE_SHARE = 0.3
"""A person is ignored if a smaller share of its labelled keypoints is in the image."""

MAX_PASTE_SCALE = 2.0
"""Pasted persons are not enlarged further, so that the network does not learn blur."""

CROWD = "crowd region"
NO_KEYPOINTS = "no labelled keypoint"
OUTSIDE = "keypoints outside of the image"
NO_AREA = "area of 0"
TOO_SMALL = f"smaller than {MIN_SIDE:g}x{MIN_SIDE:g} pixels of the network input at the largest augment.scale"

ScaleLimit = Callable[[tuple[int, int]], float]
"""Returns the largest scale from an image with this (height, width) to training images."""

CORRECT_OMITTED = "correct annotations or recipe; e2pose doctor data lists what is omitted and why"

_MISSING_FILE = "missing or unreadable file"
_MAX_NAMED_REASONS = 3


@dataclass(frozen=True)
class Selection:
    """What a training uses of one image set, and what it omits."""

    name: str  # of the set
    images: int  # that training images are drawn from
    persons: int  # that are learned
    omitted: tuple[Omission, ...]  # by the reader of the annotations and by the training

    def __str__(self) -> str:
        return f"{self.name}: {self.persons} persons in {self.images} images"


def select(
    name: str,
    annotations: Annotations,
    *,
    image_errors: Mapping[int, E2PoseError],
    scale_limit: ScaleLimit | None = None,
) -> Selection:
    """Counts what a training uses of an image set.

    Args:
        name: Name of the set.
        annotations: Its training images.
        image_errors: Errors of image files that cannot be used, by the index of the image.
        scale_limit: None keeps persons of any size.
    """
    omitted: dict[tuple[str, str], list[str]] = {}
    images = persons = 0
    for index, image in enumerate(annotations.images):
        if index in image_errors:
            error = image_errors[index]
            omitted.setdefault(("images", _image_reason(error)), []).append(error.message)
            continue
        images += 1
        for person in image.persons:
            reason = find_reason(person, image, scale_limit)
            if reason is None:
                persons += 1
            else:
                omitted.setdefault(("persons", reason), []).append(image.file_name)
    by_training = [Omission(what, reason, len(places), places[0]) for (what, reason), places in omitted.items()]
    return Selection(name, images, persons, (*annotations.omitted, *by_training))


def find_reason(person: PersonAnnotation, image: ImageAnnotation, scale_limit: ScaleLimit | None = None) -> str | None:
    """Returns why a training never learns a person, whatever the augmentation; None if it learns it."""
    if person.is_crowd:
        return CROWD
    labelled = person.visibility > 0
    if not labelled.any():
        return NO_KEYPOINTS
    inside = labelled & ((person.keypoints >= 0) & (person.keypoints < image.size_hw[::-1])).all(axis=1)
    if not is_visible(inside, labelled):
        return OUTSIDE
    if person.area <= 0:
        return NO_AREA
    if scale_limit is not None and person.area * scale_limit(image.size_hw) ** 2 < MIN_SIDE**2:
        return TOO_SMALL
    return None


def is_visible(inside: np.ndarray, labelled: np.ndarray) -> bool:
    """Returns whether enough labelled keypoints (K,) of a person are inside of an image."""
    return bool(inside.sum() >= max(1, MIN_VISIBLE_SHARE * labelled.sum()))


def largest_scale(
    source_hw: tuple[int, int], *, input_size_hw: tuple[int, int], fit: Fit, augment: AugmentConfig
) -> float:
    """Returns the largest scale from an image of size `source_hw` to training images."""
    scale = fit_affine(source_hw, input_size_hw, fit).scale * max(augment.scale)
    return max(scale, MAX_PASTE_SCALE) if augment.paste else scale


def check_selections(selections: Sequence[Selection]) -> None:
    """Checks that a training on these image sets learns persons.

    A set without any annotated person is accepted beside other sets: its images are background.

    Raises:
        AnnotationError: No person can be learned, or none of a set whose annotations or images are omitted.
    """
    for selection in selections:
        name, omitted = selection.name, selection.omitted
        if not selection.images:
            hint = CORRECT_OMITTED if omitted else "remove holdout of the set: it has one image"
            if any(one.reason == _MISSING_FILE for one in omitted):
                hint = (
                    "set images of the image set (--images) to the folder that the file names are relative to; "
                    "absolute file names must exist on this machine"
                )
            raise _unusable(f"no image of '{name}' can be used for training", omitted, hint)
        if not selection.persons and any(omission.what != "images" for omission in omitted):
            is_single = len(selections) == 1
            hint = "correct annotations or recipe; if the images show no person, set background = true of the set"
            raise _unusable(f"no person of '{name}' can be learned", omitted, CORRECT_OMITTED if is_single else hint)
    if not any(selection.persons for selection in selections):
        names = ", ".join(f"'{selection.name}'" for selection in selections)
        reasons = [omission for selection in selections for omission in selection.omitted]
        hint = CORRECT_OMITTED if reasons else "add an image set with annotated persons, or annotate persons in these"
        raise _unusable(f"no image of {names} has an annotated person", reasons, hint)


def describe(selections: Iterable[Selection]) -> list[str]:
    """Returns a line for each reason why annotations, persons or images are omitted, and for each set of background."""
    lines = []
    for selection in selections:
        lines += [f"{selection.name}: {omission}" for omission in selection.omitted]
        if not selection.persons:
            lines.append(f"{selection.name}: no annotated person; all {selection.images} images are background")
    return lines


def _image_reason(error: E2PoseError) -> str:
    is_label = isinstance(error, AnnotationError)
    return "size differs from the labels" if is_label else _MISSING_FILE


def _unusable(problem: str, omitted: Sequence[Omission], hint: str = CORRECT_OMITTED) -> AnnotationError:
    reasons = [str(omission) for omission in omitted[:_MAX_NAMED_REASONS]]
    more = len(omitted) - len(reasons)
    text = "; ".join([problem, *reasons, *([f"and {more} more reasons"] if more else [])])
    return AnnotationError(text, hint)
