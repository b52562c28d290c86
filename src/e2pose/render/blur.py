"""Anonymisation: strong blur over heads, bodies or the whole frame."""

from __future__ import annotations

from typing import Literal, get_args

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from e2pose.core.arguments import check_choice, check_type, to_array
from e2pose.core.errors import OptionError
from e2pose.core.frame import check_image
from e2pose.core.poses import Poses
from e2pose.core.schema import KeypointSchema

Blur = Literal["heads", "bodies", "frame"]

# The blurred region is reduced to a grid of averages with this many cells along its longer side. The grid is too coarse
# to distinguish faces.
_CELLS_PER_HEAD = 5
_CELLS_PER_BODY = 9
_CELLS_PER_FRAME = 24
_MIN_CELL = 3  # pixels

# The radius of a head is the larger one of two estimates. Relative to the distance of the outermost head keypoints:
_HEAD_RADIUS = 1.05  # with ears or the top of the head, which are as far apart as the head is wide
_FACE_RADIUS = 2.2  # with eyes and nose only
# Relative to the size of the person, for heads seen in profile or from above:
_MIN_HEAD_RADIUS = 0.09  # with at least three head keypoints
_MIN_HEAD_RADIUS_FEW = 0.2  # with one or two, whose centre is not that of the head
_MIN_HEAD_RADIUS_HALF = 0.35  # the same where the schema has no legs, so that persons appear smaller
_BODY_MARGIN = 0.15  # relative to the size of the person: hair, hands and feet extend beyond the keypoints
_HEADLESS_MARGIN = 0.7  # the same where the head must be inside the margin

_OUTER_HEAD = ("ear", "head", "skull", "jaw", "chin", "forehead")
_LEGS = ("knee", "ankle", "foot")
_TORSO = ("shoulder", "hip")


def blur_image(
    image: UInt8[np.ndarray, "h w 3"],
    poses: Poses,
    region: Blur,
    *,
    margins_px: Float[np.ndarray, "n"] | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """Returns a copy of an image with blurred heads, bodies or a fully blurred frame.

    All finite keypoints count, whatever their score, because too large a region is safer than too small a one. A person
    without head keypoints is blurred as a body. Persons without a detection stay visible unless `region` is "frame":
    pass the poses of a low threshold, and use `e2pose.inference.anonymise` for videos.

    Args:
        image: RGB; not modified.
        poses: Detected persons, in pixels of the image.
        region: What is blurred.
        margins_px: Pixels by which the region of each person is enlarged.

    Raises:
        OptionError: The keypoints do not locate the region; see `check_region`.

    Example:
        >>> estimator = e2pose.load(threshold=0.1)
        >>> anonymous = e2pose.blur_image(image, estimator(image), "heads")
    """
    check_image(image)
    check_type("'poses'", poses, Poses, hint="pass the result of an estimator")
    check_region(poses.schema, region)
    blurred = np.array(image, order="C")
    if region == "frame":
        return _average_cells(blurred, max(blurred.shape) / _CELLS_PER_FRAME)
    head = list(poses.schema.head)
    margins_px = to_array("'margins_px'", np.zeros(len(poses)) if margins_px is None else margins_px, np.float64)
    if margins_px.shape != (len(poses),):
        raise OptionError(
            f"'margins_px' must have one number for each of {len(poses)} persons, not the shape {margins_px.shape}",
            "omit it, or pass one margin per person",
        )
    for keypoints_xy, added in zip(poses.keypoints.astype(np.float64), margins_px.tolist(), strict=True):
        finite = np.isfinite(keypoints_xy).all(axis=1)
        if not finite.any():
            continue
        body_xy = keypoints_xy[finite]
        size = float(np.ptp(body_xy, axis=0).max())
        head_xy = keypoints_xy[head][finite[head]]
        margin = _BODY_MARGIN if len(head_xy) else _HEADLESS_MARGIN
        if len(head_xy):
            center, radius = _head_circle(head_xy, size, poses.schema)
            if region == "heads":
                _blur_circle(blurred, center, radius + added)
                continue
            body_xy = np.vstack([body_xy, center - radius, center + radius])
        _blur_box(blurred, body_xy, max(margin * size, _MIN_CELL) + added)
    return blurred


def supported_regions(schema: KeypointSchema) -> tuple[Blur, ...]:
    """Returns the regions that the keypoints of a schema locate, in the order of increasing blur.

    Heads need head keypoints, bodies shoulders or hips, and both at least two keypoints, because one has no size.
    """
    has_torso = bool(schema.indices_of_parts(_TORSO)) and len(schema) > 1
    has_head = bool(schema.head) and len(schema) > 1
    return (*(("heads",) if has_head else ()), *(("bodies",) if has_torso else ()), "frame")


def supported_or_stronger(schema: KeypointSchema, region: Blur) -> Blur:
    """Returns the region, or the next one that covers more and that the keypoints of a schema locate."""
    regions: tuple[Blur, ...] = get_args(Blur)
    supported = supported_regions(schema)
    return next(stronger for stronger in regions[regions.index(region) :] if stronger in supported)


def check_region(schema: KeypointSchema, region: Blur) -> None:
    """Checks that the keypoints of a schema locate a region.

    Raises:
        OptionError: They do not, so that faces would stay visible.
    """
    check_choice("the blurred region", region, get_args(Blur))
    supported = supported_regions(schema)
    if region not in supported:
        raise OptionError(
            f"cannot blur {region} with the keypoints of '{schema.name}', which do not locate them: "
            "faces would stay visible",
            f"use {' or '.join(supported)} instead",
        )


def _head_circle(
    head_xy: Float[np.ndarray, "n 2"], person_size: float, schema: KeypointSchema
) -> tuple[Float[np.ndarray, "2"], float]:
    """Returns center and radius of a circle around a head."""
    low, high = head_xy.min(axis=0), head_xy.max(axis=0)
    extent = float(np.hypot(*(high - low)))
    min_radius = _MIN_HEAD_RADIUS
    if len(head_xy) < 3:
        min_radius = _MIN_HEAD_RADIUS_FEW if schema.indices_of_parts(_LEGS) else _MIN_HEAD_RADIUS_HALF
    relative = _HEAD_RADIUS if schema.indices_of_parts(_OUTER_HEAD) else _FACE_RADIUS
    return (low + high) / 2, max(relative * extent, min_radius * person_size, _MIN_CELL)


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
