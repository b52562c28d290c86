"""Images moved: each image and its labels go onto the canvas by one affine map, drawn at random."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from e2pose.core.affine import Affine
from e2pose.core.annotations import ImageAnnotation, PersonAnnotation
from e2pose.core.schema import KeypointSchema
from e2pose.core.spec import Fit
from e2pose.data.config import AugmentConfig
from e2pose.data.targets import CanvasLabels
from e2pose.transforms.fit import fit_affine

_SMALLEST = 5.0  # a person whose area is below the square of so many canvas pixels is not learned
KEPT_SHARE = 0.3
"""A person of whose labelled keypoints a smaller share can be seen is not learned."""

_MARGIN = 0.08  # of a person's box when the person is taken out of an image, on every side
_LARGEST_GROWTH = 2.0  # of a person on the way, so that nobody learns what is blurred


def random_affine(
    source_hw: tuple[int, int],
    input_size_hw: tuple[int, int],
    fit: Fit,
    config: AugmentConfig,
    rng: np.random.Generator,
) -> Affine:
    """Draws a map from an image to a canvas: fitted, then scaled, turned, shifted and perhaps mirrored.

    The image is shrunk or grown about its middle; where it is larger than the canvas, any part of it may show.
    """
    height, width = input_size_hw
    scale = float(np.exp(rng.uniform(*np.log(config.scale))))
    turn = _random_turn(config, rng) @ Affine.scaling(scale)
    slack = max(0.0, scale - 1) / 2 + config.shift
    shift_x, shift_y = rng.uniform(-slack, slack, 2) * (width, height)
    to_origin = Affine.translation(-width / 2, -height / 2) @ fit_affine(source_hw, input_size_hw, fit)
    return Affine.translation(width / 2 + shift_x, height / 2 + shift_y) @ turn @ to_origin


def move_labels(
    image: ImageAnnotation, schema: KeypointSchema, affine: Affine, input_size_hw: tuple[int, int]
) -> CanvasLabels:
    """The labels of an image after it was moved onto a canvas.

    People who are too small or mostly outside, who have no labelled keypoint, and crowds become ignored boxes.
    """
    count = len(schema)
    known = np.zeros(count, bool)
    known[list(image.labelled_keypoints)] = True
    order = list(schema.flip) if affine.is_flip else list(range(count))
    kept, ignored = [], [_move_box(box, affine) for box in image.ignore]
    for person in image.persons:
        points = affine.apply(person.keypoints)[order]
        given = (person.visibility > 0)[order]
        inside = given & ((points >= 0) & (points < input_size_hw[::-1])).all(axis=1)
        area = person.area * affine.scale**2
        enough = inside.sum() >= max(1, KEPT_SHARE * given.sum())
        if person.is_crowd or not enough or area < _SMALLEST**2:
            ignored.append(_move_box(np.array(person.box, np.float32), affine))
        else:
            kept.append((points, inside, known[order], area))
    return CanvasLabels(
        keypoints=np.array([k[0] for k in kept], np.float32).reshape(-1, count, 2),
        labelled=np.array([k[1] for k in kept], bool).reshape(-1, count),
        known=np.array([k[2] for k in kept], bool).reshape(-1, count),
        areas=np.array([k[3] for k in kept], np.float32),
        ignore=np.array(ignored, np.float32).reshape(-1, 4),
        # whoever marked boxes to ignore has looked at the whole image
        doubtful=np.array(
            [] if image.exhaustive or len(image.ignore) else [[0, 0, *input_size_hw[::-1]]], np.float32
        ).reshape(-1, 4),
    )


def person_affine(
    person: PersonAnnotation, size: float, config: AugmentConfig, rng: np.random.Generator
) -> tuple[Affine, tuple[int, int]]:
    """Draws a map that takes one person, with a margin, out of an image.

    Args:
        person: Whom.
        size: The longer side of the person's box afterwards, in pixels.
        config: Changes of aspect, angle and side.
        rng: Where chance comes from.

    Returns:
        The map, and the size (height, width) of the canvas that it leads to.
    """
    x, y, width, height = person.box
    scale = min(size / max(width, height), _LARGEST_GROWTH)
    turn = _random_turn(config, rng) @ Affine.scaling(scale)
    tile_wh = np.ceil(np.array([width, height]) * scale * (1 + 2 * _MARGIN)).clip(1)
    middle = Affine.translation(*(tile_wh / 2).tolist())
    affine = middle @ turn @ Affine.translation(-(x + width / 2), -(y + height / 2))
    return affine, (int(tile_wh[1]), int(tile_wh[0]))


def _random_turn(config: AugmentConfig, rng: np.random.Generator) -> Affine:
    """Changes the aspect ratio, turns and perhaps mirrors about the origin."""
    aspect = float(np.exp(rng.uniform(-1, 1) * np.log1p(config.aspect)))
    turned = rng.random() < config.rotation_chance
    angle = rng.uniform(-config.rotation, config.rotation) if turned else 0.0
    mirrored = Affine.horizontal_flip(0) if rng.random() < config.flip else Affine.identity()
    return mirrored @ Affine.rotation(angle) @ Affine.scaling(aspect, 1 / aspect)


def _move_box(box: Float32[np.ndarray, "4"], affine: Affine) -> Float32[np.ndarray, "4"]:
    x, y, width, height = box
    corners = np.array([[x, y], [x + width, y], [x, y + height], [x + width, y + height]], np.float32)
    moved = affine.apply(corners)
    low, high = moved.min(axis=0), moved.max(axis=0)
    return np.concatenate([low, high - low])
