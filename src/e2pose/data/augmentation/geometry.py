"""Random affine maps from a source image to a training image, applied to labels."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from e2pose.core.affine import Affine
from e2pose.core.annotations import ImageAnnotation, PersonAnnotation
from e2pose.core.schema import KeypointSchema
from e2pose.core.spec import Fit
from e2pose.data.config import AugmentConfig
from e2pose.data.selection import MAX_PASTE_SCALE, MIN_SIDE, find_reason, is_visible
from e2pose.data.targets import SampleLabels
from e2pose.transforms.fit import fit_affine

_PASTE_MARGIN = 0.08  # on every side of a pasted person's box, relative to the box


def random_affine(
    source_hw: tuple[int, int], size_hw: tuple[int, int], fit: Fit, config: AugmentConfig, rng: np.random.Generator
) -> Affine:
    """Draws a map from a source image to a training image: fit, then scale, aspect, rotation, flip and shift.

    The image is scaled about its centre. The larger the scale, the larger the range of the shift, so that every part of
    an enlarged image can be visible.
    """
    height, width = size_hw
    scale = float(np.exp(rng.uniform(*np.log(config.scale))))
    linear = _random_linear(config, rng) @ Affine.scaling(scale)
    max_shift = max(0.0, scale - 1) / 2 + config.shift
    shift_x, shift_y = rng.uniform(-max_shift, max_shift, 2) * (width, height)
    to_origin = Affine.translation(-width / 2, -height / 2) @ fit_affine(source_hw, size_hw, fit)
    return Affine.translation(width / 2 + shift_x, height / 2 + shift_y) @ linear @ to_origin


def random_person_affine(
    person: PersonAnnotation, size: float, config: AugmentConfig, rng: np.random.Generator
) -> tuple[Affine, tuple[int, int]]:
    """Draws a map that crops one person with a margin: aspect ratio, rotation and flip.

    The longer side of the person's box gets `size` pixels. Returns the map and the (height, width) of the crop.
    """
    x, y, width, height = person.box
    scale = min(size / max(width, height), MAX_PASTE_SCALE)
    linear = _random_linear(config, rng) @ Affine.scaling(scale)
    crop_wh = np.ceil(np.array([width, height]) * scale * (1 + 2 * _PASTE_MARGIN)).clip(1)
    to_centre = Affine.translation(*(crop_wh / 2).tolist())
    affine = to_centre @ linear @ Affine.translation(-(x + width / 2), -(y + height / 2))
    return affine, (int(crop_wh[1]), int(crop_wh[0]))


def transform_labels(
    image: ImageAnnotation, schema: KeypointSchema, affine: Affine, size_hw: tuple[int, int]
) -> SampleLabels:
    """Returns the labels of an image after a map; a map that mirrors exchanges left and right keypoints.

    Persons that a training never learns (see `find_reason`), and persons that are too small or mostly outside of the
    training image become ignored boxes.
    """
    num_keypoints = len(schema)
    visibility_known = np.zeros(num_keypoints, bool)
    visibility_known[list(image.labelled_keypoints)] = True
    order = list(schema.flip) if affine.is_flip else list(range(num_keypoints))
    kept, ignored = [], [_transform_box(box, affine) for box in image.ignore]
    for person in image.persons:
        points = affine.apply(person.keypoints)[order]
        labelled = (person.visibility > 0)[order]
        inside = labelled & ((points >= 0) & (points < size_hw[::-1])).all(axis=1)
        area = person.area * affine.scale**2
        if find_reason(person, image) or not is_visible(inside, labelled) or area < MIN_SIDE**2:
            ignored.append(_transform_box(np.array(person.box, np.float32), affine))
        else:
            kept.append((points, inside, visibility_known[order], area))
    # annotators who marked ignored boxes searched the whole image, so the rest of it is exhaustive
    is_exhaustive = image.exhaustive or len(image.ignore) > 0
    return SampleLabels(
        keypoints=np.array([k[0] for k in kept], np.float32).reshape(-1, num_keypoints, 2),
        labelled=np.array([k[1] for k in kept], bool).reshape(-1, num_keypoints),
        visibility_known=np.array([k[2] for k in kept], bool).reshape(-1, num_keypoints),
        areas=np.array([k[3] for k in kept], np.float32),
        ignore=np.array(ignored, np.float32).reshape(-1, 4),
        non_exhaustive=np.array([] if is_exhaustive else [[0, 0, *size_hw[::-1]]], np.float32).reshape(-1, 4),
    )


def _random_linear(config: AugmentConfig, rng: np.random.Generator) -> Affine:
    """Draws a change of the aspect ratio, a rotation and a horizontal flip about the origin."""
    aspect = float(np.exp(rng.uniform(-1, 1) * np.log1p(config.aspect)))
    is_rotated = rng.random() < config.rotation_chance
    degrees = rng.uniform(-config.rotation, config.rotation) if is_rotated else 0.0
    flip = Affine.horizontal_flip(0) if rng.random() < config.flip_chance else Affine.identity()
    return flip @ Affine.rotation(degrees) @ Affine.scaling(aspect, 1 / aspect)


def _transform_box(box: Float32[np.ndarray, "4"], affine: Affine) -> Float32[np.ndarray, "4"]:
    x, y, width, height = box
    corners = np.array([[x, y], [x + width, y], [x, y + height], [x + width, y + height]], np.float32)
    points = affine.apply(corners)
    low, high = points.min(axis=0), points.max(axis=0)
    return np.concatenate([low, high - low])
