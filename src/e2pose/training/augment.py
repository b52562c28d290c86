"""Images varied: one affine map per image, then colours.

A training canvas holds one image, or four as a mosaic. Either way each image is moved by one `Affine`, drawn at random,
and its labels by the same one; pixels are resampled once.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from e2pose.core.affine import Affine
from e2pose.core.schema import KeypointSchema
from e2pose.core.spec import Fit
from e2pose.formats.coco import CocoImage
from e2pose.training.config import AugmentConfig
from e2pose.training.target import CanvasLabels
from e2pose.transforms.fit import fit_affine
from e2pose.transforms.warp import warp

_SMALLEST = 5.0  # a person whose area is below the square of so many canvas pixels is not learned
_KEPT = 0.3  # nor is one with a smaller share of its labelled keypoints on the canvas

Pixels = UInt8[np.ndarray, "_ _ 3"]


def random_affine(
    source_hw: tuple[int, int], canvas_hw: tuple[int, int], fit: Fit, config: AugmentConfig, rng: np.random.Generator
) -> Affine:
    """Draws a map from an image to a canvas: fitted, then scaled, turned, shifted and perhaps mirrored.

    The image is shrunk or grown about its middle; where it is larger than the canvas, any part of it may show.
    """
    height, width = canvas_hw
    scale = float(np.exp(rng.uniform(*np.log(config.scale))))
    aspect = float(np.exp(rng.uniform(-1, 1) * np.log1p(config.aspect)))
    turned = rng.random() < config.rotation_chance
    angle = rng.uniform(-config.rotation, config.rotation) if turned else 0.0
    slack = max(0.0, scale - 1) / 2 + config.shift
    shift_x, shift_y = rng.uniform(-slack, slack, 2) * (width, height)
    about_middle = Affine.rotation(angle) @ Affine.scaling(scale * aspect, scale / aspect)
    affine = (
        Affine.translation(width / 2 + shift_x, height / 2 + shift_y)
        @ about_middle
        @ Affine.translation(-width / 2, -height / 2)
        @ fit_affine(source_hw, canvas_hw, fit)
    )
    return Affine.horizontal_flip(width) @ affine if rng.random() < config.flip else affine


def move_labels(image: CocoImage, schema: KeypointSchema, affine: Affine, canvas_hw: tuple[int, int]) -> CanvasLabels:
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
        inside = given & ((points >= 0) & (points < canvas_hw[::-1])).all(axis=1)
        area = person.area * affine.scale**2
        enough = inside.sum() >= max(1, _KEPT * given.sum())
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
            [] if image.exhaustive or len(image.ignore) else [[0, 0, *canvas_hw[::-1]]], np.float32
        ).reshape(-1, 4),
    )


def mosaic(
    tiles: list[tuple[Pixels, CanvasLabels]], center_xy: tuple[int, int], canvas_hw: tuple[int, int]
) -> tuple[Pixels, CanvasLabels]:
    """Joins four tiles, given row by row, whose sizes fill the canvas around a common corner."""
    canvas = np.empty((*canvas_hw, 3), np.uint8)
    moved = []
    for (pixels, labels), (x, y) in zip(tiles, tile_corners(center_xy), strict=True):
        canvas[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
        moved.append(_shift(labels, x, y))
    return canvas, CanvasLabels(
        keypoints=np.concatenate([labels.keypoints for labels in moved]),
        labelled=np.concatenate([labels.labelled for labels in moved]),
        known=np.concatenate([labels.known for labels in moved]),
        areas=np.concatenate([labels.areas for labels in moved]),
        ignore=np.concatenate([labels.ignore for labels in moved]),
        doubtful=np.concatenate([labels.doubtful for labels in moved]),
    )


def tile_corners(center_xy: tuple[int, int]) -> list[tuple[int, int]]:
    """The upper left corners (x, y) of the four tiles around a point, row by row."""
    x, y = center_xy
    return [(0, 0), (x, 0), (0, y), (x, y)]


def tile_sizes(center_xy: tuple[int, int], canvas_hw: tuple[int, int]) -> list[tuple[int, int]]:
    """The sizes (height, width) of the four tiles around a point, row by row."""
    (x, y), (height, width) = center_xy, canvas_hw
    return [(y, x), (y, width - x), (height - y, x), (height - y, width - x)]


def place(
    pixels: Pixels, image: CocoImage, schema: KeypointSchema, affine: Affine, canvas_hw: tuple[int, int]
) -> tuple[Pixels, CanvasLabels]:
    """Moves an image and its labels onto a canvas."""
    return warp(pixels, affine, canvas_hw), move_labels(image, schema, affine, canvas_hw)


def vary_colours(pixels: Pixels, config: AugmentConfig, rng: np.random.Generator) -> Pixels:
    """Changes brightness, contrast and saturation, and sometimes takes colour or sharpness away."""
    contrast = 1 + rng.uniform(-1, 1) * config.contrast
    brightness = 255 * rng.uniform(-0.5, 0.5) * config.brightness
    saturation = 0.0 if rng.random() < config.grey else 1 + rng.uniform(-1, 1) * config.saturation
    luma = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
    mix = contrast * (saturation * np.eye(3, dtype=np.float32) + (1 - saturation) * luma)
    offset = 128 * (1 - contrast) + brightness
    varied = cv2.transform(pixels, np.column_stack([mix, np.full(3, offset)]).astype(np.float32))
    if rng.random() < config.blur:
        varied = cv2.GaussianBlur(varied, (0, 0), rng.uniform(0.5, 1.5))
    return np.asarray(varied)


def _move_box(box: Float32[np.ndarray, "4"], affine: Affine) -> Float32[np.ndarray, "4"]:
    x, y, width, height = box
    corners = np.array([[x, y], [x + width, y], [x, y + height], [x + width, y + height]], np.float32)
    moved = affine.apply(corners)
    low, high = moved.min(axis=0), moved.max(axis=0)
    return np.concatenate([low, high - low])


def _shift(labels: CanvasLabels, x: int, y: int) -> CanvasLabels:
    return replace(
        labels,
        keypoints=labels.keypoints + np.array([x, y], np.float32),
        ignore=labels.ignore + np.array([x, y, 0, 0], np.float32),
        doubtful=labels.doubtful + np.array([x, y, 0, 0], np.float32),
    )
