"""Comparison of an artifact with the network it was made from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from e2pose.core.candidates import Candidates
from e2pose.core.errors import ModelError
from e2pose.core.oks import object_keypoint_similarity
from e2pose.core.schema import KeypointSchema
from e2pose.inference.preprocess import preprocess
from e2pose.runtimes.base import Runtime
from e2pose.runtimes.options import DEFAULT_OPTIONS, Precision, RuntimeOptions
from e2pose.runtimes.select import open_runtime

Images = Sequence[UInt8[np.ndarray, "_ _ 3"]]
"""RGB images of any sizes."""

_MIN_COMPARED_SCORE = 0.01  # keypoints of candidates with lower scores do not matter
_MIN_SIMILARITY_SCORE = 0.1  # candidates with lower scores are no persons
_AREA_OF_BOX = 0.53  # the median share of its box that a person fills in COCO
_BATCH_SIZES = (1, 8)


@dataclass(frozen=True)
class Limits:
    """Accepted deviation of an artifact from its network.

    Args:
        similarity: Minimum of `pose_similarity`.
        keypoint_px: Maximum difference of a coordinate in pixels of the input.
        score: Maximum difference of a person or keypoint score.
    """

    similarity: float
    keypoint_px: float = math.inf
    score: float = math.inf

    def __str__(self) -> str:
        """Describes the limits for an error message."""
        text = f"a similarity of at least {self.similarity}"
        return text if math.isinf(self.keypoint_px) else f"{text}, at most {self.keypoint_px} px and {self.score}"


EXACT = Limits(0.999, keypoint_px=0.05, score=1e-3)
LIMITS: dict[Precision, Limits] = {"f32": EXACT, "f16": Limits(0.97), "bf16": Limits(0.9)}
"""Limits by the precision of computation. In low precision, an ambiguous keypoint may jump between two positions, so
the largest difference says nothing and only the similarity is limited."""


@dataclass(frozen=True)
class Deviation:
    """The largest differences between an artifact and its network.

    Args:
        keypoint_px: Largest difference of a coordinate in pixels of the input.
        score: Largest difference of a person or keypoint score.
        num_candidates: Number of candidates whose keypoints were compared.
        similarity: `pose_similarity` of both, from 0 to 1.
    """

    keypoint_px: float
    score: float
    num_candidates: int
    similarity: float = 1.0

    def is_within(self, limits: Limits) -> bool:
        """Returns whether all differences are within limits; NaN is not."""
        is_near = self.keypoint_px <= limits.keypoint_px and self.score <= limits.score
        return is_near and self.similarity >= limits.similarity


def verify_artifact(
    path: Path,
    reference: Runtime,
    images: Images,
    *,
    options: RuntimeOptions = DEFAULT_OPTIONS,
    limits: Limits = EXACT,
    batch_sizes: Sequence[int] = _BATCH_SIZES,
) -> Deviation:
    """Runs an artifact and its network on the same images.

    Keypoints are compared for candidates with a score of 0.01 or more; for all candidates if there are none.

    Args:
        path: The artifact.
        reference: The network.
        images: RGB images; without images, noise is used, which is a weaker check than photos.
        options: Runtime of the artifact.
        limits: Accepted deviation.
        batch_sizes: Numbers of images per batch; all are tried.

    Raises:
        ModelError: The artifact does not open, or deviates by more than the limits.
    """
    artifact = open_runtime(path, options)
    deviation = largest_deviation(artifact, reference, images or noise_images(artifact.spec.input_size_hw), batch_sizes)
    if not deviation.is_within(limits):
        raise ModelError(
            f"the exported '{artifact.spec.name}' deviates from its network by {deviation.keypoint_px:.3g} px and "
            f"{deviation.score:.2g} in a score, similarity {deviation.similarity:.3f}; accepted are {limits}",
            "use precision f32 or another opset",
        )
    return deviation


def largest_deviation(
    artifact: Runtime, reference: Runtime, images: Images, batch_sizes: Sequence[int] = _BATCH_SIZES
) -> Deviation:
    """Returns the largest differences between two runtimes over at least one image."""
    deviations, similarities = [], []
    for batch_size in batch_sizes:
        for start in range(0, len(images), batch_size):
            batch = preprocess(images[start : start + batch_size], artifact.spec)
            ours, theirs = artifact(batch.pixels), reference(batch.pixels)
            deviations.append(compare_candidates(ours, theirs, batch.size_hw))
            similarities.append(pose_similarity([ours], [theirs], artifact.spec.schema, batch.size_hw))
    return Deviation(
        keypoint_px=float(np.max([deviation.keypoint_px for deviation in deviations])),
        score=float(np.max([deviation.score for deviation in deviations])),
        num_candidates=sum(deviation.num_candidates for deviation in deviations),
        similarity=float(np.mean(similarities)),
    )


def compare_candidates(ours: Candidates, theirs: Candidates, size_hw: tuple[int, int]) -> Deviation:
    """Returns the largest differences between the candidates of two runtimes for the same batch."""
    compared = theirs.scores >= _MIN_COMPARED_SCORE
    compared = compared if compared.any() else np.ones_like(compared)
    distance = np.abs(ours.keypoints - theirs.keypoints)[compared] * np.array(size_hw[::-1])
    score = np.maximum(  # unlike Python's max, keeps NaN
        np.abs(ours.scores - theirs.scores).max(),
        np.abs(ours.keypoint_scores - theirs.keypoint_scores).max(),
    )
    return Deviation(float(distance.max()), float(score), int(compared.sum()))


def pose_similarity(
    ours: Sequence[Candidates], theirs: Sequence[Candidates], schema: KeypointSchema, input_size_hw: tuple[int, int]
) -> float:
    """Compares the persons in two sets of candidates for the same batches.

    For each person in `theirs`, the object keypoint similarity (OKS) is multiplied by one minus the difference of the
    person scores. An image without persons counts with its best candidate.

    Returns:
        The mean over all persons, from 0 to 1 for equal candidates.
    """
    values = [_similarities(our, their, schema, input_size_hw) for our, their in zip(ours, theirs, strict=True)]
    return float(np.mean(np.concatenate(values)))


def _similarities(
    ours: Candidates, theirs: Candidates, schema: KeypointSchema, input_size_hw: tuple[int, int]
) -> Float[np.ndarray, "n"]:
    is_person = theirs.scores >= np.minimum(_MIN_SIMILARITY_SCORE, theirs.scores.max(axis=1, keepdims=True))
    input_size_wh = np.array(input_size_hw[::-1])
    found, truth = ours.keypoints[is_person] * input_size_wh, theirs.keypoints[is_person] * input_size_wh
    areas = np.maximum(_AREA_OF_BOX * np.prod(np.ptp(truth, axis=1), axis=1), 1.0)
    sigmas, labelled = np.array(schema.sigmas), np.ones((1, truth.shape[1]), bool)
    oks = [
        object_keypoint_similarity(our[None], their[None], labelled, area[None], sigmas)[0, 0]
        for our, their, area in zip(found, truth, areas, strict=True)
    ]
    return np.asarray(np.asarray(oks) * (1 - np.abs(ours.scores - theirs.scores)[is_person]))


def noise_images(size_hw: tuple[int, int]) -> list[UInt8[np.ndarray, "_ _ 3"]]:
    """Returns three images of noise."""
    return list(np.random.default_rng(0).integers(0, 256, (3, *size_hw, 3), dtype=np.uint8))
