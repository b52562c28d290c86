"""Does an artifact say what its network says?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from e2pose.core.candidates import Candidates
from e2pose.core.errors import ModelError
from e2pose.inference.preprocess import prepare
from e2pose.models.e2pose import E2Pose
from e2pose.runtimes.select import open_runtime
from e2pose.runtimes.torch import TorchRuntime

MAX_KEYPOINT_PX = 0.05
MAX_SCORE = 1e-3

_MIN_SCORE = 0.01  # where a candidate with less puts its keypoints does not matter to anyone
_BATCHES = (1, 8)


@dataclass(frozen=True)
class Deviation:
    """The largest differences between an artifact and its network.

    Args:
        keypoint_px: Of a coordinate, in pixels of the canvas.
        score: Of a person or keypoint score.
        candidates: Over how many candidates keypoints were compared.
    """

    keypoint_px: float
    score: float
    candidates: int

    @property
    def is_acceptable(self) -> bool:
        """Whether both differences lie within the limits; not a number does not."""
        return self.keypoint_px <= MAX_KEYPOINT_PX and self.score <= MAX_SCORE


def verify_artifact(
    path: Path, network: E2Pose, images: Sequence[UInt8[np.ndarray, "_ _ 3"]], *, batches: Sequence[int] = _BATCHES
) -> Deviation:
    """Runs an artifact and its network on the same pictures.

    Keypoints are compared for candidates that score at least 0.01; for all, if none does.

    Args:
        path: The artifact.
        network: What it was made from.
        images: RGB pictures, at least one; real ones say most.
        batches: How many to run at once; all are tried.

    Raises:
        ModelError: The artifact does not open, or deviates by more than 0.05 canvas pixels or 1e-3 in a score.
    """
    artifact = open_runtime(path)
    reference = TorchRuntime(network, artifact.spec)
    deviations = []
    for batch in batches:
        for start in range(0, len(images), batch):
            pixels = prepare(images[start : start + batch], artifact.spec).pixels
            deviations.append(compare_candidates(artifact(pixels), reference(pixels), artifact.spec.size_hw))
    worst = Deviation(
        keypoint_px=float(np.max([deviation.keypoint_px for deviation in deviations])),
        score=float(np.max([deviation.score for deviation in deviations])),
        candidates=sum(deviation.candidates for deviation in deviations),
    )
    if not worst.is_acceptable:
        raise ModelError(
            f"the exported '{artifact.spec.name}' deviates from its network by {worst.keypoint_px:.3g} pixels and "
            f"{worst.score:.2g} in score; at most {MAX_KEYPOINT_PX} and {MAX_SCORE} are accepted",
            "try precision f32 or another opset",
        )
    return worst


def compare_candidates(ours: Candidates, theirs: Candidates, size_hw: tuple[int, int]) -> Deviation:
    """The largest differences between the candidates of two runtimes for the same canvases."""
    compared = theirs.scores >= _MIN_SCORE
    compared = compared if compared.any() else np.ones_like(compared)
    distance = np.abs(ours.keypoints - theirs.keypoints)[compared] * np.array(size_hw[::-1])
    score = np.maximum(  # Python's own maximum may lose what is not a number
        np.abs(ours.scores - theirs.scores).max(),
        np.abs(ours.keypoint_scores - theirs.keypoint_scores).max(),
    )
    return Deviation(float(distance.max()), float(score), int(compared.sum()))
