"""Matching of detected poses with the annotated persons of one image, as in COCO's evaluation, and duplicates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from e2pose.core.annotations import Annotations, ImageAnnotation, PersonAnnotation
from e2pose.core.oks import object_keypoint_similarity
from e2pose.core.poses import Poses

MAX_DETECTIONS = 20
"""COCO evaluates at most this many poses per image: those with the highest scores."""

MIN_OKS = 0.5
"""A pose matches a person if their object keypoint similarity (OKS) is at least this."""

UNMATCHED = -1

_MIN_DUPLICATE_OKS = 0.7


@dataclass(frozen=True, eq=False)
class Matching:
    """Assignment of the N poses of an image to its annotated persons.

    Args:
        person_indices: Index of the person matched with each pose, or `UNMATCHED`.
        oks: OKS of each pose with its person; for an unmatched pose, the highest OKS with any person that has labelled
            keypoints and is no crowd, or 0 without such a person.
        ignored: Poses that match only a crowd or a person without labelled keypoints. They count neither as true nor as
            false positives.
        missed: Indices of the persons with labelled keypoints that no pose matches.
    """

    person_indices: Int[np.ndarray, "n"]
    oks: Float[np.ndarray, "n"]
    ignored: Bool[np.ndarray, "n"]
    missed: Int[np.ndarray, "p"]

    @property
    def true_positives(self) -> Bool[np.ndarray, "n"]:
        """Which poses match a person."""
        return np.asarray(self.person_indices != UNMATCHED)

    @property
    def false_positives(self) -> Bool[np.ndarray, "n"]:
        """Which poses match no person, or one that is already matched with a pose of higher score."""
        return np.asarray(~self.true_positives & ~self.ignored)


def match_poses(image: ImageAnnotation, poses: Poses) -> Matching:
    """Assigns each pose, in order of falling score, to the free person with the highest OKS.

    Persons with labelled keypoints come before crowds and persons without labelled keypoints. A crowd can match any
    number of poses, every other person only one. Ties go to the later person, as in pycocotools.

    Source:
        cocodataset.org/#keypoints-eval
    """
    oks = _pairwise_oks(image, poses)
    for index, person in enumerate(image.persons):
        if not person.visibility.any():
            oks[:, index] = _oks_with_box(person, poses)
    posed = np.array([person.has_keypoints for person in image.persons], dtype=bool)
    crowd = np.array([person.is_crowd for person in image.persons], dtype=bool)
    free = np.ones(len(image.persons), dtype=bool)
    person_indices = np.full(len(poses), UNMATCHED)
    ignored = np.zeros(len(poses), dtype=bool)
    for pose in range(len(poses)):
        for candidates in (posed & free, ~posed & (free | crowd)):
            best = _last_best(np.where(candidates, oks[pose], -1.0))
            if best != UNMATCHED:
                free[best] = False
                ignored[pose] = not posed[best]
                person_indices[pose] = best if posed[best] else UNMATCHED
                break
    highest = np.where(posed, oks, 0).max(axis=1, initial=0)
    own = oks[np.arange(len(poses)), person_indices] if len(image.persons) else highest
    return Matching(
        person_indices=person_indices,
        oks=np.where(person_indices == UNMATCHED, highest, own),
        ignored=ignored,
        missed=np.setdiff1d(np.flatnonzero(posed), person_indices),
    )


def count_duplicates(dataset: Annotations, poses_by_image: Mapping[int, Poses], *, threshold: float) -> int:
    """Counts the surplus poses of persons that several poses fit.

    A pose fits the person with which it has the highest OKS, if that is above 0.7. Crowds, persons without labelled
    keypoints, and poses with scores below the threshold are left out. The poses are given by image id.
    """
    duplicates = 0
    for image in dataset.images:
        poses = poses_by_image[image.id]
        posed = np.array([person.has_keypoints for person in image.persons], dtype=bool)
        if posed.any():
            oks = _pairwise_oks(image, poses[poses.scores >= threshold])[:, posed]
            fitted = oks.argmax(axis=1)[oks.max(axis=1) > _MIN_DUPLICATE_OKS]
            duplicates += len(fitted) - len(np.unique(fitted))
    return duplicates


def _last_best(oks: Float[np.ndarray, "p"]) -> int:
    if len(oks) == 0 or oks.max() < MIN_OKS:
        return UNMATCHED
    return int(np.flatnonzero(oks == oks.max())[-1])


def _pairwise_oks(image: ImageAnnotation, poses: Poses) -> Float[np.ndarray, "n p"]:
    """OKS of each pose with each person; 0 for persons without labelled keypoints."""
    return object_keypoint_similarity(
        poses.keypoints,
        np.array([person.keypoints for person in image.persons]).reshape(-1, len(poses.schema), 2),
        np.array([person.visibility > 0 for person in image.persons], dtype=bool).reshape(-1, len(poses.schema)),
        np.array([person.area for person in image.persons], dtype=np.float64),
        np.array(poses.schema.sigmas),
    )


def _oks_with_box(person: PersonAnnotation, poses: Poses) -> Float[np.ndarray, "n"]:
    """OKS by the distance of the keypoints from the box, enlarged three times around its centre."""
    x, y, width, height = person.box
    low, high = np.array([x - width, y - height]), np.array([x + 2 * width, y + 2 * height])
    points_xy = poses.keypoints.astype(np.float64) - 0.5  # COCO compares pixel centres with the box as it is stored
    return object_keypoint_similarity(
        points_xy - np.clip(points_xy, low, high),
        np.zeros((1, len(poses.schema), 2)),
        np.ones((1, len(poses.schema)), dtype=bool),
        np.array([person.area]),
        np.array(poses.schema.sigmas),
    )[:, 0]
