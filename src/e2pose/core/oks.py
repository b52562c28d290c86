"""Object keypoint similarity (OKS): the agreement of a pose with an annotated person, from 0 to 1."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float


def object_keypoint_similarity(
    keypoints: Float[np.ndarray, "n k 2"],
    truth: Float[np.ndarray, "g k 2"],
    labelled: Bool[np.ndarray, "g k"],
    areas: Float[np.ndarray, "g"],
    sigmas: Float[np.ndarray, "k"],
) -> Float[np.ndarray, "n g"]:
    """Computes the OKS of every pose with every annotated person.

    `OKS = mean over labelled keypoints of exp(-d^2 / (2 * area * (2 * sigma)^2))`, with the distance `d`.

    All coordinates have one unit of length, areas its square. Only `labelled` keypoints count.
    The similarities lie in [0, 1]; they are 0 for a person without labelled keypoints.

    Source:
        cocodataset.org/#keypoints-eval, section 1.2.
    """
    squared = np.square(keypoints[:, None].astype(np.float64) - truth[None]).sum(axis=-1)
    tolerance = 2 * areas[:, None] * np.square(2 * np.asarray(sigmas, dtype=np.float64))
    similarity = np.exp(-squared / np.maximum(tolerance, np.finfo(np.float64).eps))
    counts = labelled.sum(axis=1)
    return np.asarray((similarity * labelled).sum(axis=-1) / np.maximum(counts, 1))
