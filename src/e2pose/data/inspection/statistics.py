"""Statistics of labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from e2pose.data.inspection.findings import Subset


@dataclass(frozen=True)
class Statistics:
    """Counts and shares of the labels of a subset.

    The size of a person is the square root of its area, relative to the longer side of the image.
    """

    subset: str  # name
    images: int
    empty_images: int  # without persons
    non_exhaustive_images: int  # not every person is labelled
    persons: int  # with at least one labelled keypoint
    persons_without_keypoints: int  # ignored like crowds
    crowds: int
    ignored_regions: int  # other than crowds
    persons_per_image: float  # mean
    max_persons_per_image: int
    sizes: tuple[float, float, float] | None  # 5 %, 50 % and 95 % quantiles
    labelled: dict[str, float | None]  # share of persons for each keypoint; None if no image labels the keypoint
    visible: dict[str, float | None]  # likewise


def label_statistics(subset: Subset) -> Statistics:
    """Returns the statistics of a subset."""
    images = subset.annotations.images
    persons = [(person, image) for image in images for person in image.persons]
    posed = [(person, image) for person, image in persons if person.has_keypoints]
    counts = [sum(person.has_keypoints for person in image.persons) for image in images]
    sizes = [np.sqrt(person.area) / max(image.size_hw) for person, image in posed]
    crowds = sum(person.is_crowd for person, _ in persons)
    return Statistics(
        subset=subset.name,
        images=len(images),
        empty_images=counts.count(0),
        non_exhaustive_images=sum(not image.exhaustive for image in images),
        persons=len(posed),
        persons_without_keypoints=len(persons) - len(posed) - crowds,
        crowds=crowds,
        ignored_regions=sum(len(image.ignore) for image in images),
        persons_per_image=len(posed) / max(len(images), 1),
        max_persons_per_image=max(counts, default=0),
        sizes=tuple(np.percentile(sizes, [5, 50, 95]).round(4).tolist()) if sizes else None,
        labelled=_keypoint_shares(subset, min_visibility=1),
        visible=_keypoint_shares(subset, min_visibility=2),
    )


def _keypoint_shares(subset: Subset, min_visibility: int) -> dict[str, float | None]:
    """Returns for each keypoint the share of persons with at least this visibility, in images that label it."""
    names = subset.annotations.schema.keypoints
    reached, total = np.zeros(len(names)), np.zeros(len(names))
    for image in subset.annotations.images:
        declared = np.isin(np.arange(len(names)), image.labelled_keypoints)
        for person in image.persons:
            if person.has_keypoints:
                total += declared
                reached += declared & (person.visibility >= min_visibility)
    return {name: round(float(r / t), 4) if t else None for name, r, t in zip(names, reached, total, strict=True)}
