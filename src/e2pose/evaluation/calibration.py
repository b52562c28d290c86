"""Whether a score of 0.7 means that seven poses out of ten are right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from e2pose.core.annotations import Annotations
from e2pose.core.poses import Poses
from e2pose.evaluation.matching import MAX_PERSONS, match

_BINS = 10


@dataclass(frozen=True)
class CalibrationBin:
    """The poses with similar scores.

    Args:
        low: Least score.
        high: Upper end of the scores; it belongs to the next bin, but for 1.
        poses: How many there are.
        mean_score: Their mean score; 0 if there are none.
        precision: Which share of them is right; 0 if there are none.
    """

    low: float
    high: float
    poses: int
    mean_score: float
    precision: float


@dataclass(frozen=True)
class Calibration:
    """How far scores can be taken for the probability of being right.

    A pose is right if it shows an annotated person with an OKS of at least 0.5 whom no pose with a higher score shows.
    Poses on crowds and on people without labelled keypoints are neither right nor wrong and left out.

    Args:
        error: Expected calibration error: the mean difference between score and share of right poses, over ten bins
            weighted by their poses. It lies in [0, 1]; 0 is best. It is 0 without any pose.
        bins: The ten bins.

    Source:
        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 3.
    """

    error: float
    bins: tuple[CalibrationBin, ...]


def calibrate(dataset: Annotations, found: Mapping[int, Poses]) -> Calibration:
    """Compares the scores of poses with how often they are right.

    Args:
        dataset: What people annotated.
        found: The poses of each image, by its id; of those with the highest scores as many as COCO looks at.
    """
    scores, right = [np.zeros(0, np.float32)], [np.zeros(0, bool)]
    for image in dataset.images:
        poses = found[image.id][:MAX_PERSONS]
        matching = match(image, poses)
        scores.append(poses.scores[~matching.ignored])
        right.append(matching.right[~matching.ignored])
    return calibration_of(np.concatenate(scores), np.concatenate(right))


def calibration_of(scores: Float[np.ndarray, "n"], right: Bool[np.ndarray, "n"]) -> Calibration:
    """Compares scores in [0, 1] with what turned out to be right."""
    bin_of = np.minimum((scores * _BINS).astype(int), _BINS - 1)
    bins = []
    for index in range(_BINS):
        chosen = bin_of == index
        count = int(chosen.sum())
        bins.append(
            CalibrationBin(
                low=index / _BINS,
                high=(index + 1) / _BINS,
                poses=count,
                mean_score=float(scores[chosen].mean(dtype=np.float64)) if count else 0.0,
                precision=float(right[chosen].mean()) if count else 0.0,
            )
        )
    error = sum(one.poses * abs(one.precision - one.mean_score) for one in bins) / max(len(scores), 1)
    return Calibration(error, tuple(bins))
