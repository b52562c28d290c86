"""Who is shown by which pose: the one-to-one matching of COCO's evaluation, for one image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from e2pose.core.annotations import ImageAnnotation, PersonAnnotation
from e2pose.core.oks import object_keypoint_similarity
from e2pose.core.poses import Poses

MAX_PERSONS = 20
"""COCO looks at no more poses of an image than these, the ones with the highest scores."""

SAME_PERSON = 0.5
"""The object keypoint similarity (OKS) from which on a pose counts as found."""

NOBODY = -1


@dataclass(frozen=True, eq=False)
class Matching:
    """Which annotated person each pose of an image shows.

    Args:
        persons: For each pose the index of the annotated person it shows, or -1.
        similarities: For each pose its OKS with that person; where it shows nobody, with whoever it fits best.
        ignored: Poses that show nobody, but lie where there is a crowd or a person without labelled keypoints: they are
            neither right nor wrong.
        missed: Indices of the annotated persons that no pose shows.
    """

    persons: Int[np.ndarray, "n"]
    similarities: Float[np.ndarray, "n"]
    ignored: Bool[np.ndarray, "n"]
    missed: Int[np.ndarray, "p"]

    @property
    def right(self) -> Bool[np.ndarray, "n"]:
        """The poses that show a person whom no better-scored pose shows."""
        return np.asarray(self.persons != NOBODY)

    @property
    def wrong(self) -> Bool[np.ndarray, "n"]:
        """The poses that show nobody, or somebody whom a better-scored pose shows already."""
        return np.asarray(~self.right & ~self.ignored)


def match(image: ImageAnnotation, poses: Poses, least: float = SAME_PERSON) -> Matching:
    """Gives each pose, the one with the highest score first, the person that it fits best and that is still free.

    Args:
        image: The annotated people.
        poses: What was found in the image.
        least: No pose shows anybody with a lower OKS.

    Source:
        cocodataset.org/#keypoints-eval; ties go to the later person there, too.
    """
    similarity = _similarity(image, poses)
    posed = np.array([person.has_keypoints for person in image.persons], dtype=bool)
    free = np.ones(len(image.persons), dtype=bool)
    crowd = np.array([person.is_crowd for person in image.persons], dtype=bool)
    persons = np.full(len(poses), NOBODY)
    ignored = np.zeros(len(poses), dtype=bool)
    for pose, fits in enumerate(similarity):
        for candidates in (posed & free, ~posed & (free | crowd)):
            best = _last_best(np.where(candidates, fits, -1.0), least)
            if best != NOBODY:
                free[best] = False
                ignored[pose] = not posed[best]
                persons[pose] = best if posed[best] else NOBODY
                break
    fitting = np.where(posed, similarity, 0).max(axis=1, initial=0)
    own = similarity[np.arange(len(poses)), persons] if len(image.persons) else fitting
    return Matching(
        persons=persons,
        similarities=np.where(persons == NOBODY, fitting, own),
        ignored=ignored,
        missed=np.setdiff1d(np.flatnonzero(posed), persons),
    )


def _last_best(similarities: Float[np.ndarray, "p"], least: float) -> int:
    if len(similarities) == 0 or similarities.max() < least:
        return NOBODY
    return int(np.flatnonzero(similarities == similarities.max())[-1])


def similarity_to_all(image: ImageAnnotation, poses: Poses) -> Float[np.ndarray, "n p"]:
    """The OKS of each pose with each annotated person; 0 where no keypoint is labelled."""
    return object_keypoint_similarity(
        poses.keypoints,
        np.array([person.keypoints for person in image.persons]).reshape(-1, len(poses.schema), 2),
        np.array([person.visibility > 0 for person in image.persons], dtype=bool).reshape(-1, len(poses.schema)),
        np.array([person.area for person in image.persons], dtype=np.float64),
        np.array(poses.schema.sigmas),
    )


def _similarity(image: ImageAnnotation, poses: Poses) -> Float[np.ndarray, "n p"]:
    """As above, but somebody without labelled keypoints fits whatever lies in the box of three times the size."""
    similarity = similarity_to_all(image, poses)
    for index, person in enumerate(image.persons):
        if not person.visibility.any():
            similarity[:, index] = _similarity_to_box(person, poses)
    return similarity


def _similarity_to_box(person: PersonAnnotation, poses: Poses) -> Float[np.ndarray, "n"]:
    x, y, width, height = person.box
    low, high = np.array([x - width, y - height]), np.array([x + 2 * width, y + 2 * height])
    points_xy = poses.keypoints.astype(np.float64) - 0.5  # COCO compares its pixel centres with the box as it is
    nearest = np.clip(points_xy, low, high)
    return object_keypoint_similarity(
        points_xy - nearest,
        np.zeros((1, len(poses.schema), 2)),
        np.ones((1, len(poses.schema)), dtype=bool),
        np.array([person.area]),
        np.array(poses.schema.sigmas),
    )[:, 0]
