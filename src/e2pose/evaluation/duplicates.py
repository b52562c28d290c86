"""How often one person is found twice."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from e2pose.core.annotations import Annotations
from e2pose.core.poses import Poses
from e2pose.evaluation.matching import similarity_to_all

_DUPLICATE_SIMILARITY = 0.7


def count_duplicates(dataset: Annotations, found: Mapping[int, Poses], *, threshold: float) -> int:
    """Counts poses that show an annotated person whom another pose shows better.

    A pose shows the person that it fits best, if their OKS is above 0.7. Crowds and persons without labelled keypoints
    are nobody here.

    Args:
        dataset: What people annotated.
        found: The poses of each image, by its id.
        threshold: Poses with a lower score are left out.
    """
    duplicates = 0
    for image in dataset.images:
        poses = found[image.id]
        posed = np.array([person.has_keypoints for person in image.persons], dtype=bool)
        if not posed.any():
            continue
        similarity = similarity_to_all(image, poses[poses.scores >= threshold])[:, posed]
        shown = similarity.argmax(axis=1)[similarity.max(axis=1) > _DUPLICATE_SIMILARITY]
        duplicates += len(shown) - len(np.unique(shown))
    return duplicates
