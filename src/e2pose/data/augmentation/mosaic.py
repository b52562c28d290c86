"""Training images composed of several source images, so that images of single persons also train crowds.

A mosaic places images side by side; a paste adds a person from another image. Keypoints covered by a pasted piece or
a cut-out have no labels: neither their position nor their visibility is trained, because no annotator judged them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Float32

from e2pose.core.affine import Affine
from e2pose.core.annotations import ImageAnnotation
from e2pose.core.schema import KeypointSchema
from e2pose.data.augmentation.composition import Box, Composition, CutOut, Layer
from e2pose.data.augmentation.geometry import transform_labels
from e2pose.data.selection import MIN_VISIBLE_SHARE
from e2pose.data.targets import SampleLabels

_TILE_JITTER = 0.3  # largest shift of the line between two tiles, relative to a tile
_EDGE = 0.04  # soft edge of a pasted piece, relative to its shorter side
_CUT_OUT_SIZE = (0.1, 0.35)  # sides of a cut-out, relative to the training image


def draw_tiles(grid: tuple[int, int], size_hw: tuple[int, int], rng: np.random.Generator) -> list[Box]:
    """Divides a training image into (rows, columns) of random sizes; returns the boxes row by row."""
    rows, columns = grid
    xs, ys = _draw_bounds(size_hw[1], columns, rng), _draw_bounds(size_hw[0], rows, rng)
    return [(x, y, right - x, bottom - y) for y, bottom in pairwise(ys) for x, right in pairwise(xs)]


def join_tiles(tiles: Sequence[Composition], boxes: Sequence[Box]) -> Composition:
    """Places compositions, each of its box's size, side by side."""
    layers: list[Layer] = []
    labels = []
    for tile, (x, y, width, height) in zip(tiles, boxes, strict=True):
        layers += [layer.shifted(x, y) for layer in tile.layers]
        labels.append(_shift(_clip_regions(tile.labels, (height, width)), x, y))
    return Composition(tuple(layers), _concatenate(labels))


def extract_piece(
    number: int, image: ImageAnnotation, schema: KeypointSchema, affine: Affine, size_hw: tuple[int, int]
) -> Composition:
    """Crops a piece with a soft edge from an image; labels on the edge are dropped.

    `affine`, from `random_person_affine`, maps the image to the piece of size `size_hw`.
    """
    edge = max(1, round(_EDGE * min(size_hw)))
    inner_hw = max(1, size_hw[0] - 2 * edge), max(1, size_hw[1] - 2 * edge)
    labels = transform_labels(image, schema, Affine.translation(-edge, -edge) @ affine, inner_hw)
    box = (0, 0, inner_hw[1] + 2 * edge, inner_hw[0] + 2 * edge)
    return Composition((Layer(number, affine, box, edge),), _shift(_clip_regions(labels, inner_hw), edge, edge))


def paste(below: Composition, piece: Composition, corner_xy: tuple[int, int]) -> Composition:
    """Adds a piece from `extract_piece` with its upper left corner at `corner_xy`; it has to fit into the image."""
    x, y = corner_xy
    layer = piece.layers[0].shifted(x, y)
    left, top, width, height = layer.box
    inner = (left + layer.edge, top + layer.edge, width - 2 * layer.edge, height - 2 * layer.edge)
    labels = _concatenate([remove_covered(below.labels, inner), _shift(piece.labels, x, y)])
    return replace(below, layers=(*below.layers, layer), labels=labels)


def add_cut_out(below: Composition, size_hw: tuple[int, int], rng: np.random.Generator) -> Composition:
    """Fills a random box with a random colour."""
    box_hw = (np.array(size_hw) * rng.uniform(*_CUT_OUT_SIZE, 2)).astype(int)
    y, x = rng.integers(0, np.array(size_hw) - box_hw + 1).tolist()
    height, width = box_hw.tolist()
    red, green, blue = rng.integers(0, 256, 3).tolist()
    cut_out = CutOut((x, y, width, height), (red, green, blue))
    return replace(below, labels=remove_covered(below.labels, cut_out.box), cut_outs=(*below.cut_outs, cut_out))


def remove_covered(labels: SampleLabels, box: Box) -> SampleLabels:
    """Returns the labels after a box was covered.

    Covered keypoints lose their labels, mostly covered persons become ignored boxes, and persons and regions that lie
    completely under the box are removed.
    """
    x, y, width, height = box
    low, high = np.array([x, y], np.float32), np.array([x + width, y + height], np.float32)
    is_covered = ((labels.keypoints >= low) & (labels.keypoints < high)).all(axis=-1)
    labelled = labels.labelled & ~is_covered
    is_kept = labelled.sum(axis=1) >= np.maximum(1, MIN_VISIBLE_SHARE * labels.labelled.sum(axis=1))
    ignore = np.concatenate([labels.ignore, _keypoint_boxes(labels, ~is_kept)])
    return SampleLabels(
        keypoints=labels.keypoints[is_kept],
        labelled=labelled[is_kept],
        visibility_known=(labels.visibility_known & ~is_covered)[is_kept],
        areas=labels.areas[is_kept],
        ignore=ignore[~_is_within(ignore, low, high)],
        non_exhaustive=labels.non_exhaustive[~_is_within(labels.non_exhaustive, low, high)],
    )


def _draw_bounds(size: int, count: int, rng: np.random.Generator) -> list[int]:
    """Draws where the `count` parts of a length begin, and appends its end."""
    inner = [int(size * (index + rng.uniform(-_TILE_JITTER, _TILE_JITTER)) / count) for index in range(1, count)]
    return [0, *inner, size]


def _keypoint_boxes(labels: SampleLabels, selected: np.ndarray) -> Float32[np.ndarray, "c 4"]:
    """Returns boxes around the labelled keypoints of the selected persons, each of which has some."""
    mask = labels.labelled[selected][..., None]
    low = np.where(mask, labels.keypoints[selected], np.inf).min(axis=1)
    high = np.where(mask, labels.keypoints[selected], -np.inf).max(axis=1)
    return np.concatenate([low, high - low], axis=1).astype(np.float32)


def _is_within(boxes: Float32[np.ndarray, "r 4"], low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return np.asarray(((boxes[:, :2] >= low) & (boxes[:, :2] + boxes[:, 2:] <= high)).all(axis=1))


def _clip_regions(labels: SampleLabels, size_hw: tuple[int, int]) -> SampleLabels:
    """Clips ignored and non-exhaustive boxes at the border, so that they do not reach into other tiles."""
    size_xy = np.array(size_hw[::-1], np.float32)

    def clip(boxes: Float32[np.ndarray, "r 4"]) -> Float32[np.ndarray, "s 4"]:
        low, high = np.clip(boxes[:, :2], 0, size_xy), np.clip(boxes[:, :2] + boxes[:, 2:], 0, size_xy)
        return np.asarray(np.concatenate([low, high - low], axis=1)[(high > low).all(axis=1)])

    return replace(labels, ignore=clip(labels.ignore), non_exhaustive=clip(labels.non_exhaustive))


def _shift(labels: SampleLabels, x: int, y: int) -> SampleLabels:
    shift_box = np.array([x, y, 0, 0], np.float32)
    return replace(
        labels,
        keypoints=labels.keypoints + np.array([x, y], np.float32),
        ignore=labels.ignore + shift_box,
        non_exhaustive=labels.non_exhaustive + shift_box,
    )


def _concatenate(labels: Sequence[SampleLabels]) -> SampleLabels:
    return SampleLabels(
        **{f.name: np.concatenate([getattr(one, f.name) for one in labels]) for f in fields(SampleLabels)}
    )
