"""Anonymisation: strong blur over heads, bodies or the whole frame."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from e2pose.core.poses import Poses

Blur = Literal["heads", "bodies", "frame"]

# The blurred region is reduced to a grid of averages with this many cells along its longer side. The grid is too coarse
# to distinguish faces.
_CELLS_PER_HEAD = 5
_CELLS_PER_BODY = 9
_CELLS_PER_FRAME = 24
_MIN_CELL = 3  # pixels
_HEAD_RADIUS = 1.05  # relative to the distance between the outermost head keypoints
_MIN_HEAD_RADIUS = 0.09  # relative to the size of the person, for heads seen in profile or from above
_BODY_MARGIN = 0.15  # relative to the size of the person: hair, hands and feet extend beyond the keypoints


def blur_image(image: UInt8[np.ndarray, "h w 3"], poses: Poses, region: Blur) -> UInt8[np.ndarray, "h w 3"]:
    """Returns a copy of an image with blurred heads, bodies or a fully blurred frame.

    All finite keypoints count, whatever their score, because too large a region is safer than too small a one. Persons
    without a detection stay visible unless `region` is "frame".

    Args:
        image: RGB; not modified.
        poses: Detected persons, in pixels of the image.
        region: "heads" needs a schema with a group "head", and at least one head keypoint of the person; otherwise the
            body is blurred.
    """
    blurred = np.array(image)
    if region == "frame":
        return _average_cells(blurred, max(blurred.shape) / _CELLS_PER_FRAME)
    head = list(poses.schema.groups.get("head", ()))
    for keypoints_xy in poses.keypoints.astype(np.float64):
        finite = np.isfinite(keypoints_xy).all(axis=1)
        if not finite.any():
            continue
        body_xy = keypoints_xy[finite]
        size = float(np.ptp(body_xy, axis=0).max())
        head_xy = keypoints_xy[head][finite[head]]
        if len(head_xy):
            center, radius = _head_circle(head_xy, size)
            if region == "heads":
                _blur_circle(blurred, center, radius)
                continue
            body_xy = np.vstack([body_xy, center - radius, center + radius])
        _blur_box(blurred, body_xy, max(_BODY_MARGIN * size, _MIN_CELL))
    return blurred


def _head_circle(head_xy: Float[np.ndarray, "k 2"], person_size: float) -> tuple[Float[np.ndarray, "2"], float]:
    """Returns center and radius of a circle around a head."""
    low, high = head_xy.min(axis=0), head_xy.max(axis=0)
    extent = float(np.hypot(*(high - low)))
    return (low + high) / 2, max(_HEAD_RADIUS * extent, _MIN_HEAD_RADIUS * person_size, _MIN_CELL)


def _blur_circle(image: UInt8[np.ndarray, "h w 3"], center: Float[np.ndarray, "2"], radius: float) -> None:
    top, bottom, left, right = _clip_box(image, center - radius - 1, center + radius + 1)
    patch = image[top:bottom, left:right]
    if patch.size == 0:
        return
    y, x = np.ogrid[top:bottom, left:right]
    distance = np.sqrt(np.square(x + 0.5 - center[0]) + np.square(y + 0.5 - center[1]))
    opacity = np.clip(radius - distance, 0, 1).astype(np.float32)
    patch[:] = cv2.blendLinear(_average_cells(patch, 2 * radius / _CELLS_PER_HEAD), patch, opacity, 1 - opacity)


def _blur_box(image: UInt8[np.ndarray, "h w 3"], points_xy: Float[np.ndarray, "n 2"], margin: float) -> None:
    low, high = points_xy.min(axis=0) - margin, points_xy.max(axis=0) + margin
    top, bottom, left, right = _clip_box(image, low, high)
    patch = image[top:bottom, left:right]
    patch[:] = _average_cells(patch, float((high - low).max()) / _CELLS_PER_BODY)


def _clip_box(
    image: UInt8[np.ndarray, "h w 3"], low_xy: Float[np.ndarray, "2"], high_xy: Float[np.ndarray, "2"]
) -> tuple[int, int, int, int]:
    """Returns top, bottom, left and right of a box, in whole pixels and clipped to the image."""
    size_wh = image.shape[1::-1]
    left, top = np.floor(np.clip(low_xy, 0, size_wh)).astype(int).tolist()
    right, bottom = np.ceil(np.clip(high_xy, 0, size_wh)).astype(int).tolist()
    return top, bottom, left, right


def _average_cells(image: UInt8[np.ndarray, "h w 3"], cell: float) -> UInt8[np.ndarray, "h w 3"]:
    """Averages an image over cells of the given size in pixels, then interpolates smoothly between the averages."""
    if image.size == 0:
        return image
    height, width = image.shape[:2]
    cell = max(cell, _MIN_CELL)
    grid_wh = max(1, round(width / cell)), max(1, round(height / cell))
    averages = cv2.GaussianBlur(cv2.resize(image, grid_wh, interpolation=cv2.INTER_AREA), (3, 3), 0.6)
    return np.asarray(cv2.resize(averages, (width, height), interpolation=cv2.INTER_CUBIC))
