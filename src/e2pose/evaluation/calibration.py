"""Calibration: whether 70 % of the poses with a score of 0.7 are correct."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from e2pose.core.annotations import Annotations
from e2pose.core.poses import Poses
from e2pose.evaluation.matching import MAX_DETECTIONS, match_poses

_NUM_BINS = 10


@dataclass(frozen=True)
class CalibrationBin:
    """Poses with scores from `low` (included) to `high` (excluded; 1 belongs to the last bin)."""

    low: float
    high: float
    num_poses: int
    mean_score: float  # 0 for an empty bin
    precision: float  # share of true positives; 0 for an empty bin


@dataclass(frozen=True)
class Calibration:
    """How well scores agree with the probability that a pose is a true positive.

    Poses that match crowds or persons without labelled keypoints are left out.

    Args:
        error: Expected calibration error in [0, 1]: the mean difference between score and precision over ten bins,
            weighted by their number of poses. 0 is best. It is 0 without poses.
        bins: The ten bins.

    Source:
        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 3.
    """

    error: float
    bins: tuple[CalibrationBin, ...]


def measure_calibration(dataset: Annotations, poses_by_image: Mapping[int, Poses]) -> Calibration:
    """Compares the scores of poses, by image id, with their precision; uses at most `MAX_DETECTIONS` per image."""
    scores, correct = [np.zeros(0, np.float32)], [np.zeros(0, bool)]
    for image in dataset.images:
        poses = poses_by_image[image.id][:MAX_DETECTIONS]
        matching = match_poses(image, poses)
        scores.append(poses.scores[~matching.ignored])
        correct.append(matching.true_positives[~matching.ignored])
    return calibration_from_scores(np.concatenate(scores), np.concatenate(correct))


def calibration_from_scores(scores: Float[np.ndarray, "n"], correct: Bool[np.ndarray, "n"]) -> Calibration:
    """Compares N scores in [0, 1] with the correctness of the N poses."""
    bin_indices = np.minimum((scores * _NUM_BINS).astype(int), _NUM_BINS - 1)
    bins = []
    for index in range(_NUM_BINS):
        in_bin = bin_indices == index
        count = int(in_bin.sum())
        bins.append(
            CalibrationBin(
                low=index / _NUM_BINS,
                high=(index + 1) / _NUM_BINS,
                num_poses=count,
                mean_score=float(scores[in_bin].mean(dtype=np.float64)) if count else 0.0,
                precision=float(correct[in_bin].mean()) if count else 0.0,
            )
        )
    error = sum(part.num_poses * abs(part.precision - part.mean_score) for part in bins) / max(len(scores), 1)
    return Calibration(error, tuple(bins))
