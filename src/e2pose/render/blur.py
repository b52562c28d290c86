"""Making people unrecognisable."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from e2pose.core.poses import Poses

Blur = Literal["heads", "people", "frame"]

# A cell is what one average stands for. So few of them lie along what is hidden that no face can be told from another.
_CELLS_PER_HEAD = 5
_CELLS_PER_PERSON = 9
_CELLS_PER_FRAME = 24
_LEAST_CELL = 3  # pixels
_HEAD_RADIUS = 1.05  # of the distance between the outermost head keypoints
_LEAST_HEAD_RADIUS = 0.09  # of the person's size, for heads that are seen from the side or from above
_PERSON_MARGIN = 0.15  # of the person's size: hair, hands and feet reach beyond the keypoints


def blur_image(image: UInt8[np.ndarray, "h w 3"], poses: Poses, what: Blur) -> UInt8[np.ndarray, "h w 3"]:
    """Blurs heads, whole people or everything in a copy of the picture.

    Keypoints count whatever their score: better too much is hidden than too little. Only people who were found can be
    hidden.

    Args:
        image: RGB; not changed.
        poses: Who is in the picture, in its pixels.
        what: "heads" needs a schema with a group "head"; with any other schema it blurs whole people.
    """
    canvas = np.array(image)
    if what == "frame":
        return _averaged(canvas, max(canvas.shape) / _CELLS_PER_FRAME)
    head = list(poses.schema.groups.get("head", ()))
    for points_xy in poses.keypoints.astype(np.float64):
        known = np.isfinite(points_xy).all(axis=1)
        if not known.any():
            continue
        person_xy = points_xy[known]
        size = float(np.ptp(person_xy, axis=0).max())
        head_xy = points_xy[head][known[head]]
        if len(head_xy):
            centre, radius = _head_disc(head_xy, size)
            if what == "heads":
                _hide_disc(canvas, centre, radius)
                continue
            person_xy = np.vstack([person_xy, centre - radius, centre + radius])
        _hide_box(canvas, person_xy, max(_PERSON_MARGIN * size, _LEAST_CELL))
    return canvas


def _head_disc(head_xy: Float[np.ndarray, "k 2"], person_size: float) -> tuple[Float[np.ndarray, "2"], float]:
    """Centre and radius of a disc around a head."""
    low, high = head_xy.min(axis=0), head_xy.max(axis=0)
    extent = float(np.hypot(*(high - low)))
    return (low + high) / 2, max(_HEAD_RADIUS * extent, _LEAST_HEAD_RADIUS * person_size, _LEAST_CELL)


def _hide_disc(canvas: UInt8[np.ndarray, "h w 3"], centre: Float[np.ndarray, "2"], radius: float) -> None:
    top, bottom, left, right = _region(canvas, centre - radius - 1, centre + radius + 1)
    patch = canvas[top:bottom, left:right]
    if patch.size == 0:
        return
    y, x = np.ogrid[top:bottom, left:right]
    distance = np.sqrt(np.square(x + 0.5 - centre[0]) + np.square(y + 0.5 - centre[1]))
    inside = np.clip(radius - distance, 0, 1).astype(np.float32)
    patch[:] = cv2.blendLinear(_averaged(patch, 2 * radius / _CELLS_PER_HEAD), patch, inside, 1 - inside)


def _hide_box(canvas: UInt8[np.ndarray, "h w 3"], person_xy: Float[np.ndarray, "n 2"], margin: float) -> None:
    low, high = person_xy.min(axis=0) - margin, person_xy.max(axis=0) + margin
    top, bottom, left, right = _region(canvas, low, high)
    patch = canvas[top:bottom, left:right]
    patch[:] = _averaged(patch, float((high - low).max()) / _CELLS_PER_PERSON)


def _region(
    canvas: UInt8[np.ndarray, "h w 3"], low_xy: Float[np.ndarray, "2"], high_xy: Float[np.ndarray, "2"]
) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of the part of a box that lies in the picture."""
    size_wh = canvas.shape[1::-1]
    left, top = np.floor(np.clip(low_xy, 0, size_wh)).astype(int).tolist()
    right, bottom = np.ceil(np.clip(high_xy, 0, size_wh)).astype(int).tolist()
    return top, bottom, left, right


def _averaged(image: UInt8[np.ndarray, "h w 3"], cell: float) -> UInt8[np.ndarray, "h w 3"]:
    """The picture made of averages over cells of the given size in pixels, blurred once more and made smooth."""
    if image.size == 0:
        return image
    height, width = image.shape[:2]
    cell = max(cell, _LEAST_CELL)
    cells = max(1, round(width / cell)), max(1, round(height / cell))
    averages = cv2.GaussianBlur(cv2.resize(image, cells, interpolation=cv2.INTER_AREA), (3, 3), 0.6)
    return np.asarray(cv2.resize(averages, (width, height), interpolation=cv2.INTER_CUBIC))
