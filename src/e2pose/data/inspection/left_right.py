"""Whether left and right are what they say, by geometry.

Seen from the front, everything left of a person lies on the right of the picture; seen from behind, on the left. So one
pair of keypoints proves nothing, but all pairs of a person should agree, most of the time. And in the mean over many
people the two of a pair are at the same height.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float32

from e2pose.core.annotations import Annotations
from e2pose.core.schema import KeypointSchema, find_mirrored_names
from e2pose.data.inspection.findings import Problem

_ENOUGH = 20  # people to judge by
_APART = 0.05  # of the person's size; closer than this, a keypoint is neither left nor right of its partner
_LEVEL = 0.25  # of the person's size
_AGREEMENT = 0.5
_FACING = 0.35

NOT_BY_NAME = "flip pair that the names contradict"
EXCHANGED = "left and right disagree with the other pairs"
NOT_LEVEL = "flip pair at different heights"
ALL_EXCHANGED = "left and right exchanged in the whole set"


def flip_problems(dataset: Annotations) -> Iterator[Problem]:
    """Flip pairs that do not look like pairs."""
    schema = dataset.schema
    names = schema.keypoints
    for left, right in find_mirrored_names(names):
        partner = names[schema.flip[names.index(left)]]
        if partner != right:
            yield Problem(NOT_BY_NAME, f"{left} flips to {partner}, not to {right}")
    people = [person for image in dataset.images for person in image.persons if person.has_keypoints]
    pairs = _pairs(schema)
    if len(people) < _ENOUGH or not len(pairs):
        return
    keypoints = np.stack([person.keypoints for person in people])
    labelled = np.stack([person.visibility > 0 for person in people])
    sizes = np.array([max(person.box[2:]) for person in people], np.float32).clip(1)
    both = labelled[:, pairs[:, 0]] & labelled[:, pairs[:, 1]]
    apart = (keypoints[:, pairs[:, 0]] - keypoints[:, pairs[:, 1]]) / sizes[:, None, None]
    labels = [f"{names[i]} and {names[j]}" for i, j in pairs]
    yield from _not_level(apart[..., 1], both, labels)
    sides = np.where(both & (np.abs(apart[..., 0]) > _APART), np.sign(apart[..., 0]), 0)
    yield from _exchanged(sides, labels)
    front = np.array([_shows_nose(person.visibility, schema) for person in people])
    yield from _all_exchanged(sides[front], pairs, schema)


def _pairs(schema: KeypointSchema) -> np.ndarray:
    """The flip pairs (P, 2), left before right where the names tell."""
    pairs = [(i, j) for i, j in enumerate(schema.flip) if i < j]
    return np.array([(j, i) if schema.side(j) == "left" else (i, j) for i, j in pairs], int).reshape(-1, 2)


def _not_level(
    apart_y: Float32[np.ndarray, "n p"], both: Bool[np.ndarray, "n p"], labels: list[str]
) -> Iterator[Problem]:
    for index, label in enumerate(labels):
        heights = apart_y[both[:, index], index]
        if len(heights) >= _ENOUGH and abs(np.median(heights)) > _LEVEL:
            yield Problem(
                NOT_LEVEL, f"{label}: {np.median(heights):+.0%} of the person's size apart in {len(heights)} people"
            )


def _exchanged(sides: np.ndarray, labels: list[str]) -> Iterator[Problem]:
    """Compares the side (-1, 0, 1) of each pair, (N, P), with the majority of the others."""
    others = np.sign(sides.sum(axis=1, keepdims=True) - sides)
    for index, label in enumerate(labels):
        votes = sides[:, index] * others[:, index]
        count = int((votes != 0).sum())
        share = (votes > 0).sum() / max(count, 1)
        if count >= _ENOUGH and share < _AGREEMENT:
            yield Problem(EXCHANGED, f"{label}: the same side as the other pairs in only {share:.0%} of {count} people")


def _shows_nose(visibility: np.ndarray, schema: KeypointSchema) -> bool:
    return "nose" in schema.keypoints and bool(visibility[schema.keypoints.index("nose")] == 2)


def _all_exchanged(sides: np.ndarray, pairs: np.ndarray, schema: KeypointSchema) -> Iterator[Problem]:
    """Who shows the nose looks at us, as a rule, with the left on the right of the picture."""
    first_is_left = np.array([schema.side(i) == "left" for i, _ in pairs.tolist()], int)
    votes = np.sign((sides * (2 * first_is_left - 1)).sum(axis=1)) if len(sides) else np.zeros(0)
    count = int((votes != 0).sum())
    share = (votes > 0).sum() / max(count, 1)
    if count >= _ENOUGH and share < _FACING:
        yield Problem(
            ALL_EXCHANGED, f"of {count} people who show their nose, {1 - share:.0%} have their left on the left"
        )
