"""Candidates to poses: the way back from the canvas."""

from __future__ import annotations

import numpy as np

from e2pose.core.candidates import Batch, Candidates
from e2pose.core.poses import Poses
from e2pose.core.spec import ModelSpec


def decode(
    candidates: Candidates,
    batch: Batch,
    spec: ModelSpec,
    *,
    threshold: float | None = None,
) -> list[Poses]:
    """Keeps the candidates that are persons and moves their keypoints to the source images.

    Args:
        candidates: What the network proposes for each canvas.
        batch: The canvases.
        spec: Keypoints and their score scale.
        threshold: A candidate below this person score is nobody; None for the model's own value.

    Returns:
        The poses of each image.
    """
    threshold = spec.threshold if threshold is None else threshold
    keypoint_scores = np.clip(candidates.keypoint_scores * spec.keypoint_score_scale, 0, 1)
    input_size_wh = np.array(batch.size_hw[::-1])
    answers = []
    for index, affine in enumerate(batch.to_source):
        person = candidates.scores[index] >= threshold
        canvas_xy = candidates.keypoints[index, person].astype(np.float64) * input_size_wh
        answers.append(
            Poses(
                keypoints=affine.apply(canvas_xy).astype(np.float32),
                keypoint_scores=keypoint_scores[index, person],
                scores=candidates.scores[index, person],
                schema=spec.schema,
            )
        )
    return answers
