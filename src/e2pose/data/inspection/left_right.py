"""Checks of left and right keypoints by geometry.

In a front view the left keypoints of a person are on the right of the image, in a back view on the left. The order of a
single pair can therefore be either, but all pairs of a person should agree most of the time. On average over many
persons, both keypoints of a pair have the same height.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float32

from e2pose.core.annotations import Annotations
from e2pose.core.schema import KeypointSchema
from e2pose.core.sides import find_mirrored_names
from e2pose.data.inspection.findings import Check, Problem

_MIN_PERSONS = 20
_MIN_DISTANCE = 0.05  # between left and right, relative to the person's size; closer pairs have no order
_MAX_HEIGHT_DIFFERENCE = 0.25  # relative to the person's size
_MIN_AGREEMENT = 0.5
_MIN_FRONT_VIEWS = 0.35  # of the persons with a visible nose

_FLIPS = "Half of the training images are mirrored and would have wrong labels."
PAIR_NAMES = Check("flip pair contradicts the keypoint names", f"{_FLIPS} Correct flip_idx or the schema.")
UNPAIRED_SIDE = Check(
    "keypoint with a side but without a partner",
    "Training mirrors no image, because left and right would be mixed. Correct the name, or add flip pairs.",
)
PAIR_HEIGHTS = Check(
    "flip pair at different heights",
    f"{_FLIPS} Check whether the two are the same part of the body; correct the schema.",
)
PAIR_SWAPPED = Check(
    "left and right contradict the other pairs", "Check whether left and right of this pair are swapped in the labels."
)
ALL_SWAPPED = Check(
    "left and right swapped in most persons",
    "In a front view the left of a person is on the right of the image. Swap left and right in the labels.",
)


def find_flip_problems(annotations: Annotations) -> Iterator[Problem]:
    """Yields sides without flip pairs, and flip pairs that contradict names or geometry.

    The geometry is checked from 20 persons on.
    """
    schema = annotations.schema
    names = schema.keypoints
    for name in schema.unpaired_sides():
        yield Problem(UNPAIRED_SIDE, name)
    for left, right in find_mirrored_names(names):
        partner = names[schema.flip[names.index(left)]]
        if partner not in (left, right):
            yield Problem(PAIR_NAMES, f"{left} flips to {partner}, not to {right}")
    persons = [person for image in annotations.images for person in image.persons if person.has_keypoints]
    pairs = _flip_pairs(schema)
    if len(persons) < _MIN_PERSONS or not len(pairs):
        return
    keypoints = np.stack([person.keypoints for person in persons])
    labelled = np.stack([person.visibility > 0 for person in persons])
    sizes = np.array([max(person.box[2:]) for person in persons], np.float32).clip(1)
    both = labelled[:, pairs[:, 0]] & labelled[:, pairs[:, 1]]
    differences = (keypoints[:, pairs[:, 0]] - keypoints[:, pairs[:, 1]]) / sizes[:, None, None]
    pair_names = [f"{names[i]} and {names[j]}" for i, j in pairs]
    yield from _check_heights(differences[..., 1], both, pair_names)
    signs = np.where(both & (np.abs(differences[..., 0]) > _MIN_DISTANCE), np.sign(differences[..., 0]), 0)
    yield from _check_agreement(signs, pair_names)
    nose_visible = np.array([_is_nose_visible(person.visibility, schema) for person in persons])
    yield from _check_front_views(signs[nose_visible], pairs, schema)


def _flip_pairs(schema: KeypointSchema) -> np.ndarray:
    """Returns the flip pairs (P, 2), left before right if the names have sides."""
    pairs = [(i, j) for i, j in enumerate(schema.flip) if i < j]
    return np.array([(j, i) if schema.side(j) == "left" else (i, j) for i, j in pairs], int).reshape(-1, 2)


def _check_heights(
    differences_y: Float32[np.ndarray, "n p"], both: Bool[np.ndarray, "n p"], pair_names: list[str]
) -> Iterator[Problem]:
    for index, name in enumerate(pair_names):
        values = differences_y[both[:, index], index]
        if len(values) >= _MIN_PERSONS and abs(np.median(values)) > _MAX_HEIGHT_DIFFERENCE:
            yield Problem(
                PAIR_HEIGHTS, f"{name}: {np.median(values):+.0%} of the person's size apart in {len(values)} persons"
            )


def _check_agreement(signs: np.ndarray, pair_names: list[str]) -> Iterator[Problem]:
    """Compares the order (-1, 0, 1) of each pair, (N, P), with the majority of the other pairs of the person."""
    majority = np.sign(signs.sum(axis=1, keepdims=True) - signs)
    for index, name in enumerate(pair_names):
        votes = signs[:, index] * majority[:, index]
        count = int((votes != 0).sum())
        share = (votes > 0).sum() / max(count, 1)
        if count >= _MIN_PERSONS and share < _MIN_AGREEMENT:
            yield Problem(PAIR_SWAPPED, f"{name}: agree with the other pairs in only {share:.0%} of {count} persons")


def _is_nose_visible(visibility: np.ndarray, schema: KeypointSchema) -> bool:
    return "nose" in schema.keypoints and bool(visibility[schema.keypoints.index("nose")] == 2)


def _check_front_views(signs: np.ndarray, pairs: np.ndarray, schema: KeypointSchema) -> Iterator[Problem]:
    """Checks persons with a visible nose: most are front views, with their left on the right of the image."""
    first_is_left = np.array([schema.side(i) == "left" for i, _ in pairs.tolist()], int)
    votes = np.sign((signs * (2 * first_is_left - 1)).sum(axis=1)) if len(signs) else np.zeros(0)
    count = int((votes != 0).sum())
    share = (votes > 0).sum() / max(count, 1)
    if count >= _MIN_PERSONS and share < _MIN_FRONT_VIEWS:
        yield Problem(
            ALL_SWAPPED, f"{1 - share:.0%} of {count} persons with a visible nose have left keypoints on the left"
        )
