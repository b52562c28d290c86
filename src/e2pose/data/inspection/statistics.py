"""What the labels of a part are like, in numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from e2pose.data.inspection.findings import Part


@dataclass(frozen=True)
class Statistics:
    """Counts and shares of the labels of a part.

    Args:
        part: Its name.
        images: How many.
        empty_images: Those without anybody.
        not_exhaustive: Images in which not everybody is labelled.
        people: With at least one labelled keypoint.
        people_without_keypoints: With none; they are ignored like crowds.
        crowds: Regions with many people.
        ignored: Other regions that are ignored.
        people_per_image: Mean over images.
        most_people: In one image.
        sizes: Square root of the area relative to the longer side of the picture: of the 5 % smallest, the median and
            the 5 % largest people.
        labelled: For each keypoint the share of people with it, or None where no image labels it at all.
        visible: For each keypoint the share of people on whom it is not hidden, likewise.
    """

    part: str
    images: int
    empty_images: int
    not_exhaustive: int
    people: int
    people_without_keypoints: int
    crowds: int
    ignored: int
    people_per_image: float
    most_people: int
    sizes: tuple[float, float, float] | None
    labelled: dict[str, float | None]
    visible: dict[str, float | None]

    def to_record(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def label_statistics(part: Part) -> Statistics:
    """Counts what is in the labels of a part."""
    images = part.dataset.images
    everybody = [(person, image) for image in images for person in image.persons]
    people = [(person, image) for person, image in everybody if person.has_keypoints]
    counts = [sum(person.has_keypoints for person in image.persons) for image in images]
    sizes = [np.sqrt(person.area) / max(image.size_hw) for person, image in people]
    crowds = sum(person.is_crowd for person, _ in everybody)
    return Statistics(
        part=part.name,
        images=len(images),
        empty_images=counts.count(0),
        not_exhaustive=sum(not image.exhaustive for image in images),
        people=len(people),
        people_without_keypoints=len(everybody) - len(people) - crowds,
        crowds=crowds,
        ignored=sum(len(image.ignore) for image in images),
        people_per_image=len(people) / max(len(images), 1),
        most_people=max(counts, default=0),
        sizes=tuple(np.percentile(sizes, [5, 50, 95]).round(4).tolist()) if sizes else None,
        labelled=_shares(part, least=1),
        visible=_shares(part, least=2),
    )


def _shares(part: Part, least: int) -> dict[str, float | None]:
    """For each keypoint the share of people with at least this visibility, of those in images that label it."""
    count = len(part.dataset.schema)
    seen, asked = np.zeros(count), np.zeros(count)
    for image in part.dataset.images:
        expected = np.isin(np.arange(count), image.labelled_keypoints)
        for person in image.persons:
            if person.has_keypoints:
                asked += expected
                seen += expected & (person.visibility >= least)
    names = part.dataset.schema.keypoints
    return {name: round(float(s / a), 4) if a else None for name, s, a in zip(names, seen, asked, strict=True)}
