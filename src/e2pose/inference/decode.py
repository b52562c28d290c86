"""Decoding: from the candidates of a network to poses in the source images."""

from __future__ import annotations

import numpy as np

from e2pose.core.candidates import Batch, Candidates
from e2pose.core.poses import Poses
from e2pose.core.spec import ModelSpec


def decode(candidates: Candidates, batch: Batch, spec: ModelSpec, *, threshold: float | None = None) -> list[Poses]:
    """Returns the poses of each image: candidates at or above the threshold, with keypoints in the source image.

    The threshold is the minimum person score of a detection; None for the model's own.
    """
    threshold = spec.threshold if threshold is None else threshold
    keypoint_scores = np.clip(candidates.keypoint_scores * spec.keypoint_score_scale, 0, 1)
    input_size_wh = np.array(batch.size_hw[::-1])
    results = []
    for index, to_source in enumerate(batch.to_source):
        selected = candidates.scores[index] >= threshold
        input_xy = candidates.keypoints[index, selected].astype(np.float64) * input_size_wh
        results.append(
            Poses(
                keypoints=to_source.apply(input_xy).astype(np.float32),
                keypoint_scores=keypoint_scores[index, selected],
                scores=candidates.scores[index, selected],
                schema=spec.schema,
            )
        )
    return results
