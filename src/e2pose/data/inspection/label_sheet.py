"""Contact sheets of images with their labels."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from e2pose.core.annotations import ImageAnnotation
from e2pose.core.errors import InputError
from e2pose.core.poses import Poses
from e2pose.core.schema import KeypointSchema
from e2pose.data.inspection.findings import Subset
from e2pose.render.overlay import draw_poses
from e2pose.render.sheet import contact_sheet
from e2pose.sources.images import read_image
from e2pose.transforms.fit import fit_affine
from e2pose.transforms.warp import warp

_RED = (235, 64, 52)
_TILE_HW = (288, 288)
_COLUMNS = 6

Image = UInt8[np.ndarray, "_ _ 3"]


def draw_label_sheet(subsets: Sequence[Subset], max_images: int) -> Image:
    """Draws up to `max_images` labelled images, evenly spaced over all subsets; unreadable files remain black."""
    entries = [(subset, image) for subset in subsets for image in subset.annotations.images]
    count = min(max_images, len(entries))
    tiles = [_draw_tile(*entries[index * len(entries) // count]) for index in range(count)]
    return contact_sheet(tiles or [np.zeros((*_TILE_HW, 3), np.uint8)], _COLUMNS)


def draw_labels(
    image: Image,
    keypoints: Float32[np.ndarray, "n k 2"],
    labelled: Bool[np.ndarray, "n k"],
    boxes: Float32[np.ndarray, "r 4"],
    schema: KeypointSchema,
) -> Image:
    """Returns a copy of the image with labelled poses, and boxes (x, y, width, height) in red."""
    scores = labelled.astype(np.float32)
    drawn = draw_poses(image, Poses(keypoints, scores, np.ones(len(scores), np.float32), schema), threshold=0.5)
    for x, y, width, height in np.round(boxes).astype(int).tolist():
        cv2.rectangle(drawn, (x, y), (x + width, y + height), _RED, 1)
    return drawn


def _draw_tile(subset: Subset, image: ImageAnnotation) -> Image:
    """Draws a small copy of an image with its poses, and boxes of ignored persons and regions in red."""
    try:
        pixels = read_image(subset.path(image))
    except InputError:
        return np.zeros((*_TILE_HW, 3), np.uint8)
    schema = subset.annotations.schema
    affine = fit_affine((pixels.shape[0], pixels.shape[1]), _TILE_HW, "letterbox")
    posed = [person for person in image.persons if person.has_keypoints]
    ignored = [person.box for person in image.persons if not person.has_keypoints]
    boxes = np.array([*image.ignore.tolist(), *ignored], np.float32).reshape(-1, 4)
    corners = affine.apply(np.stack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1))
    return draw_labels(
        warp(pixels, affine, _TILE_HW),
        affine.apply(np.array([person.keypoints for person in posed], np.float32).reshape(-1, len(schema), 2)),
        np.array([person.visibility > 0 for person in posed], bool).reshape(-1, len(schema)),
        np.concatenate([corners[:, 0], corners[:, 1] - corners[:, 0]], axis=1),
        schema,
    )
