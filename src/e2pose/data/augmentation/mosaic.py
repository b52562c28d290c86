"""Several images on one canvas, so that images of single people teach crowds.

A mosaic lays images side by side, a paste lays a person of another image over a canvas. Every piece has been moved by
one affine map, with its labels. Nothing is learned about a keypoint that a piece or a cut-out covers: neither where it
is nor whether it can be seen, because nobody can say what an annotator would have made of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Float32

from e2pose.core.affine import Affine
from e2pose.core.annotations import ImageAnnotation
from e2pose.core.schema import KeypointSchema
from e2pose.data.augmentation.geometry import KEPT_SHARE, move_labels
from e2pose.data.augmentation.plan import Box, CutOut, Layer
from e2pose.data.targets import CanvasLabels

_JITTER = 0.3  # by how much of a tile the line between two tiles may be moved, either way
_EDGE = 0.04  # relative to the shorter side of a piece
_CUT_OUT_SHARE = (0.1, 0.35)  # sides of a cut-out relative to those of the canvas


def draw_tiles(grid: tuple[int, int], input_size_hw: tuple[int, int], rng: np.random.Generator) -> list[Box]:
    """Divides a canvas into rows and columns of about the same size, drawn at random; row by row."""
    rows, columns = grid
    xs, ys = _cuts(input_size_hw[1], columns, rng), _cuts(input_size_hw[0], rows, rng)
    return [(x, y, right - x, bottom - y) for y, bottom in pairwise(ys) for x, right in pairwise(xs)]


@dataclass(frozen=True, eq=False)
class Scene:
    """Pictures on a canvas, from below to above, and their labels."""

    layers: tuple[Layer, ...]
    labels: CanvasLabels
    cuts: tuple[CutOut, ...] = ()


def mosaic(tiles: Sequence[Scene], boxes: Sequence[Box]) -> Scene:
    """Joins tiles, each planned on a canvas of its box's size."""
    layers: list[Layer] = []
    moved = []
    for tile, (x, y, width, height) in zip(tiles, boxes, strict=True):
        layers += [layer.moved(x, y) for layer in tile.layers]
        moved.append(_shift(_clip(tile.labels, (height, width)), x, y))
    return Scene(tuple(layers), _join(moved))


def take_piece(
    picture: int, image: ImageAnnotation, schema: KeypointSchema, affine: Affine, size_hw: tuple[int, int]
) -> Scene:
    """Takes a part of an image that can be laid over another one, with a soft edge that its labels do not belong to.

    Args:
        picture: The image's number.
        image: Its labels.
        schema: The keypoints.
        affine: Map to the piece; see `e2pose.data.augmentation.geometry.person_affine`.
        size_hw: Size of the piece.
    """
    edge = max(1, round(_EDGE * min(size_hw)))
    inside_hw = max(1, size_hw[0] - 2 * edge), max(1, size_hw[1] - 2 * edge)
    labels = move_labels(image, schema, Affine.translation(-edge, -edge) @ affine, inside_hw)
    box = (0, 0, inside_hw[1] + 2 * edge, inside_hw[0] + 2 * edge)
    return Scene((Layer(picture, affine, box, edge),), _shift(_clip(labels, inside_hw), edge, edge))


def paste(scene: Scene, piece: Scene, corner_xy: tuple[int, int]) -> Scene:
    """Lays a piece over a scene.

    Args:
        scene: What lies below.
        piece: What `take_piece` has taken.
        corner_xy: Where the upper left corner of the piece goes; all of the piece lies on the canvas.
    """
    x, y = corner_xy
    (layer,) = (layer.moved(x, y) for layer in piece.layers)
    left, top, width, height = layer.box
    inside = (left + layer.edge, top + layer.edge, width - 2 * layer.edge, height - 2 * layer.edge)
    labels = _join([cover(scene.labels, inside), _shift(piece.labels, x, y)])
    return replace(scene, layers=(*scene.layers, layer), labels=labels)


def cut_out(scene: Scene, input_size_hw: tuple[int, int], rng: np.random.Generator) -> Scene:
    """Paints a box of a canvas, drawn at random, over with one colour."""
    size_hw = (np.array(input_size_hw) * rng.uniform(*_CUT_OUT_SHARE, 2)).astype(int)
    y, x = rng.integers(0, np.array(input_size_hw) - size_hw + 1).tolist()
    height, width = size_hw.tolist()
    red, green, blue = rng.integers(0, 256, 3).tolist()
    cut = CutOut((x, y, width, height), (red, green, blue))
    return replace(scene, labels=cover(scene.labels, cut.box), cuts=(*scene.cuts, cut))


def cover(labels: CanvasLabels, box: Box) -> CanvasLabels:
    """The labels after a box of the canvas has been covered.

    Covered keypoints teach nothing, people who are mostly covered become ignored boxes, and what lies wholly under the
    cover is gone.
    """
    x, y, width, height = box
    low, high = np.array([x, y], np.float32), np.array([x + width, y + height], np.float32)
    hidden = ((labels.keypoints >= low) & (labels.keypoints < high)).all(axis=-1)
    left = labels.labelled & ~hidden
    stays = left.sum(axis=1) >= np.maximum(1, KEPT_SHARE * labels.labelled.sum(axis=1))
    ignore = np.concatenate([labels.ignore, _boxes(labels, ~stays)])
    return CanvasLabels(
        keypoints=labels.keypoints[stays],
        labelled=left[stays],
        known=(labels.known & ~hidden)[stays],
        areas=labels.areas[stays],
        ignore=ignore[~_within(ignore, low, high)],
        doubtful=labels.doubtful[~_within(labels.doubtful, low, high)],
    )


def _cuts(size: int, count: int, rng: np.random.Generator) -> list[int]:
    """Where the parts of a length begin, and its end."""
    inner = [int(size * (index + rng.uniform(-_JITTER, _JITTER)) / count) for index in range(1, count)]
    return [0, *inner, size]


def _boxes(labels: CanvasLabels, chosen: np.ndarray) -> Float32[np.ndarray, "c 4"]:
    """Boxes around the labelled keypoints of people who have some."""
    mask = labels.labelled[chosen][..., None]
    low = np.where(mask, labels.keypoints[chosen], np.inf).min(axis=1)
    high = np.where(mask, labels.keypoints[chosen], -np.inf).max(axis=1)
    return np.concatenate([low, high - low], axis=1).astype(np.float32)


def _within(boxes: Float32[np.ndarray, "r 4"], low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return np.asarray(((boxes[:, :2] >= low) & (boxes[:, :2] + boxes[:, 2:] <= high)).all(axis=1))


def _clip(labels: CanvasLabels, size_hw: tuple[int, int]) -> CanvasLabels:
    """The same with boxes that end at the border, so that they do not reach into the neighbour's tile."""
    size_xy = np.array(size_hw[::-1], np.float32)

    def clip(boxes: Float32[np.ndarray, "r 4"]) -> Float32[np.ndarray, "s 4"]:
        low, high = np.clip(boxes[:, :2], 0, size_xy), np.clip(boxes[:, :2] + boxes[:, 2:], 0, size_xy)
        return np.asarray(np.concatenate([low, high - low], axis=1)[(high > low).all(axis=1)])

    return replace(labels, ignore=clip(labels.ignore), doubtful=clip(labels.doubtful))


def _shift(labels: CanvasLabels, x: int, y: int) -> CanvasLabels:
    return replace(
        labels,
        keypoints=labels.keypoints + np.array([x, y], np.float32),
        ignore=labels.ignore + np.array([x, y, 0, 0], np.float32),
        doubtful=labels.doubtful + np.array([x, y, 0, 0], np.float32),
    )


def _join(parts: Sequence[CanvasLabels]) -> CanvasLabels:
    return CanvasLabels(
        keypoints=np.concatenate([part.keypoints for part in parts]),
        labelled=np.concatenate([part.labelled for part in parts]),
        known=np.concatenate([part.known for part in parts]),
        areas=np.concatenate([part.areas for part in parts]),
        ignore=np.concatenate([part.ignore for part in parts]),
        doubtful=np.concatenate([part.doubtful for part in parts]),
    )
