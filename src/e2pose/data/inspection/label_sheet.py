"""Labels drawn over their images, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from e2pose.core.annotations import ImageAnnotation
from e2pose.core.errors import InputError
from e2pose.core.poses import Poses
from e2pose.core.schema import KeypointSchema
from e2pose.data.inspection.findings import Part
from e2pose.render.overlay import draw_poses
from e2pose.render.sheet import contact_sheet
from e2pose.sources.images import read_image
from e2pose.transforms.fit import fit_affine
from e2pose.transforms.warp import warp

_RED = (235, 64, 52)
_TILE_HW = (288, 288)
_COLUMNS = 6

Picture = UInt8[np.ndarray, "_ _ 3"]


def label_sheet(parts: Sequence[Part], count: int) -> Picture:
    """A sheet of at most `count` images with their labels, taken from all parts at equal distances.

    Files that cannot be read are left black.
    """
    entries = [(part, image) for part in parts for image in part.dataset.images]
    count = min(count, len(entries))
    tiles = [_tile(*entries[index * len(entries) // count]) for index in range(count)]
    return contact_sheet(tiles or [np.zeros((*_TILE_HW, 3), np.uint8)], _COLUMNS)


def draw_labels(
    picture: Picture,
    keypoints: Float32[np.ndarray, "n k 2"],
    labelled: Bool[np.ndarray, "n k"],
    boxes: Float32[np.ndarray, "r 4"],
    schema: KeypointSchema,
) -> Picture:
    """The picture with poses, and with boxes (x, y, width, height) in red; not changed itself."""
    scores = labelled.astype(np.float32)
    drawn = draw_poses(picture, Poses(keypoints, scores, np.ones(len(scores), np.float32), schema), threshold=0.5)
    for x, y, width, height in np.round(boxes).astype(int).tolist():
        cv2.rectangle(drawn, (x, y), (x + width, y + height), _RED, 1)
    return drawn


def _tile(part: Part, image: ImageAnnotation) -> Picture:
    """A small copy of an image with its poses, and in red the boxes of crowds and of ignored regions."""
    try:
        picture = read_image(part.path(image))
    except InputError:
        return np.zeros((*_TILE_HW, 3), np.uint8)
    affine = fit_affine((picture.shape[0], picture.shape[1]), _TILE_HW, "letterbox")
    count = len(part.dataset.schema)
    people = [person for person in image.persons if person.has_keypoints]
    crowds = [person.box for person in image.persons if not person.has_keypoints]
    boxes = np.array([*image.ignore.tolist(), *crowds], np.float32).reshape(-1, 4)
    corners = affine.apply(np.stack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1))
    return draw_labels(
        warp(picture, affine, _TILE_HW),
        affine.apply(np.array([person.keypoints for person in people], np.float32).reshape(-1, count, 2)),
        np.array([person.visibility > 0 for person in people], bool).reshape(-1, count),
        np.concatenate([corners[:, 0], corners[:, 1] - corners[:, 0]], axis=1),
        part.dataset.schema,
    )
