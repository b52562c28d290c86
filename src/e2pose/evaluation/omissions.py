"""Which annotations an evaluation does not count, and why."""

from __future__ import annotations

from e2pose.core.annotations import Annotations, Omission, PersonAnnotation

CROWD = "crowd region, poses there do not count"
NO_KEYPOINTS = "no labelled keypoint, their poses do not count"
NO_AREA = "area of 0, counted as missed"


def find_omissions(dataset: Annotations) -> tuple[Omission, ...]:
    """Returns what the reader of the annotations omitted, and which persons no pose can match."""
    examples: dict[str, list[str]] = {}
    for image in dataset.images:
        for person in image.persons:
            if reason := _find_reason(person):
                examples.setdefault(reason, []).append(image.file_name)
    by_evaluation = [Omission("persons", reason, len(names), names[0]) for reason, names in examples.items()]
    return (*dataset.omitted, *by_evaluation)


def _find_reason(person: PersonAnnotation) -> str | None:
    if person.is_crowd:
        return CROWD
    if not person.has_keypoints:
        return NO_KEYPOINTS
    return NO_AREA if person.area <= 0 else None
