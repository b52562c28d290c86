"""Does an artifact say what its network says?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from e2pose.core.candidates import Candidates
from e2pose.core.errors import ModelError
from e2pose.export.agreement import mean_agreement
from e2pose.inference.preprocess import preprocess
from e2pose.runtimes.base import Runtime
from e2pose.runtimes.options import DEFAULT_OPTIONS, Precision, RuntimeOptions
from e2pose.runtimes.select import open_runtime


@dataclass(frozen=True)
class Limits:
    """How much an artifact may deviate from its network.

    Args:
        agreement: Least `mean_agreement`.
        keypoint_px: Most in a coordinate, in pixels of the canvas.
        score: Most in a person or keypoint score.
    """

    agreement: float
    keypoint_px: float = math.inf
    score: float = math.inf

    def __str__(self) -> str:
        """For people."""
        most = f", and at most {self.keypoint_px} px and {self.score}," if self.keypoint_px < math.inf else ""
        return f"an agreement of at least {self.agreement}{most}"


EXACT = Limits(0.999, keypoint_px=0.05, score=1e-3)
LIMITS: dict[Precision, Limits] = {"f32": EXACT, "f16": Limits(0.97), "bf16": Limits(0.9)}
"""What is accepted of an artifact that is computed in so many digits. With few, a keypoint on the verge between two
places may jump; then no largest deviation says anything, but agreement does."""

_MIN_SCORE = 0.01  # where a candidate with less puts its keypoints does not matter to anyone
_BATCHES = (1, 8)

Images = Sequence[UInt8[np.ndarray, "_ _ 3"]]
"""RGB pictures of any sizes."""


@dataclass(frozen=True)
class Deviation:
    """The largest differences between an artifact and its network.

    Args:
        keypoint_px: Of a coordinate, in pixels of the canvas.
        score: Of a person or keypoint score.
        candidates: Over how many candidates keypoints were compared.
        agreement: How far both see the same people, from 0 to 1.
    """

    keypoint_px: float
    score: float
    candidates: int
    agreement: float = 1.0

    def is_within(self, limits: Limits) -> bool:
        """Whether the differences are small enough; not a number is not."""
        near = self.keypoint_px <= limits.keypoint_px and self.score <= limits.score
        return near and self.agreement >= limits.agreement


def verify_artifact(
    path: Path,
    reference: Runtime,
    images: Images,
    *,
    options: RuntimeOptions = DEFAULT_OPTIONS,
    limits: Limits = EXACT,
    batches: Sequence[int] = _BATCHES,
) -> Deviation:
    """Runs an artifact and what it was made from on the same pictures.

    Keypoints are compared for candidates that score enough; for all, if none does.

    Args:
        path: The artifact.
        reference: What it was made from.
        images: RGB pictures; real ones say most. Noise is used if there are none.
        options: What runs the artifact.
        limits: What is accepted.
        batches: How many to run at once; all are tried.

    Raises:
        ModelError: The artifact does not open, or deviates by more than the limits.
    """
    artifact = open_runtime(path, options)
    worst = largest_deviation(artifact, reference, images or noise(artifact.spec.input_size_hw), batches)
    if not worst.is_within(limits):
        raise ModelError(
            f"the exported '{artifact.spec.name}' deviates from its network by {worst.keypoint_px:.3g} px and "
            f"{worst.score:.2g} in score, agreement {worst.agreement:.3f}; {limits} is accepted",
            "try precision f32 or another opset",
        )
    return worst


def largest_deviation(
    artifact: Runtime, reference: Runtime, images: Images, batches: Sequence[int] = _BATCHES
) -> Deviation:
    """The largest differences between two runtimes over pictures, at least one."""
    deviations, agreements = [], []
    for batch in batches:
        for start in range(0, len(images), batch):
            canvases = preprocess(images[start : start + batch], artifact.spec)
            ours, theirs = artifact(canvases.pixels), reference(canvases.pixels)
            deviations.append(compare_candidates(ours, theirs, canvases.size_hw))
            agreements.append(mean_agreement([ours], [theirs], artifact.spec.schema, canvases.size_hw))
    return Deviation(
        keypoint_px=float(np.max([deviation.keypoint_px for deviation in deviations])),
        score=float(np.max([deviation.score for deviation in deviations])),
        candidates=sum(deviation.candidates for deviation in deviations),
        agreement=float(np.mean(agreements)),
    )


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


def noise(size_hw: tuple[int, int]) -> list[UInt8[np.ndarray, "_ _ 3"]]:
    """Pictures for want of better ones."""
    return list(np.random.default_rng(0).integers(0, 256, (3, *size_hw, 3), dtype=np.uint8))
