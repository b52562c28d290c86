"""Do two models see the same people?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from e2pose.core.candidates import Candidates
from e2pose.core.oks import object_keypoint_similarity
from e2pose.core.schema import KeypointSchema

_AREA = 0.53  # of its box that a person fills, the median of COCO
_SEEN = 0.1  # candidates with less are nobody


def mean_agreement(
    ours: Sequence[Candidates], theirs: Sequence[Candidates], schema: KeypointSchema, input_size_hw: tuple[int, int]
) -> float:
    """How far two sets of candidates show the same people.

    For every person that `theirs` shows, the likeness of the keypoints (OKS) times that of the person scores; the mean
    of both over all people. A picture without people counts with its best candidate.

    Returns:
        From 0 to 1, where 1 means the same.
    """
    likeness = [_agreements(our, their, schema, input_size_hw) for our, their in zip(ours, theirs, strict=True)]
    return float(np.mean(np.concatenate(likeness)))


def _agreements(
    ours: Candidates, theirs: Candidates, schema: KeypointSchema, input_size_hw: tuple[int, int]
) -> Float[np.ndarray, "n"]:
    shown = theirs.scores >= np.minimum(_SEEN, theirs.scores.max(axis=1, keepdims=True))
    input_size_wh = np.array(input_size_hw[::-1])
    found, truth = ours.keypoints[shown] * input_size_wh, theirs.keypoints[shown] * input_size_wh
    areas = np.maximum(_AREA * np.prod(np.ptp(truth, axis=1), axis=1), 1.0)
    sigmas, labelled = np.array(schema.sigmas), np.ones((1, truth.shape[1]), bool)
    similar = [
        object_keypoint_similarity(our[None], their[None], labelled, area[None], sigmas)[0, 0]
        for our, their, area in zip(found, truth, areas, strict=True)
    ]
    return np.asarray(np.asarray(similar) * (1 - np.abs(ours.scores - theirs.scores)[shown]))
