"""Skeletons drawn over an image."""

from __future__ import annotations

from collections.abc import Mapping
from colorsys import hsv_to_rgb

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from e2pose.core.arguments import check_type
from e2pose.core.frame import check_image
from e2pose.core.poses import NO_TRACK, Poses
from e2pose.core.schema import KeypointSchema
from e2pose.render.stroke import Rgb, Stroke
from e2pose.render.text import draw_label

# Orange and blue can be distinguished with every common kind of colour blindness.
# Source: Okabe and Ito, "Color Universal Design", 2008; lightened for contrast on dark images.
SIDE_RGB = {"left": (255, 158, 36), "right": (64, 176, 255), "middle": (248, 248, 242)}
"""Colour of each body side."""

_PERSON_SIZE_PER_LINE = 75  # line width = size of the person / this
_IMAGE_SIZE_PER_LINE = 700  # minimum line width = longer side of the image / this, so that lines survive downscaling,
_MAX_LINE_SHARE = 0.05  # unless it exceeds this share of the size of the person
_SHADOW_OPACITY = 0.72
_GOLDEN_RATIO = 0.618034  # hue step between consecutive track ids; nearby ids get clearly different hues


def draw_poses(image: UInt8[np.ndarray, "h w 3"], poses: Poses, *, threshold: float) -> UInt8[np.ndarray, "h w 3"]:
    """Returns a copy of an image with keypoints and edges of all persons.

    The line width follows the size of the person. Larger persons, usually nearer, are drawn over smaller ones. The left
    of a person is orange and the right side is blue. A person with a track id is labelled with the id and drawn in
    the colour of the id instead.

    Args:
        image: RGB; not modified.
        poses: Persons to draw, in pixels of the image.
        threshold: Minimum score of a keypoint, in [0, 1]; edges need both ends.

    Raises:
        OptionError: The image is not an RGB image, or another argument has the wrong type.
    """
    check_image(image)
    check_type("'poses'", poses, Poses, hint="pass the result of an estimator")
    drawn = np.array(image, order="C")  # OpenCV draws only into C-contiguous arrays
    visible = poses.visible(threshold) & np.isfinite(poses.keypoints).all(axis=-1)
    ids = [NO_TRACK] * len(poses) if poses.track_ids is None else poses.track_ids.tolist()
    sizes = np.array([_size(points[mask], drawn) for points, mask in zip(poses.keypoints, visible, strict=True)])
    order = [index for index in np.argsort(sizes) if visible[index].any()]
    for index in order:
        width = _line_width(float(sizes[index]), drawn)
        side_rgb = SIDE_RGB if ids[index] == NO_TRACK else dict.fromkeys(SIDE_RGB, track_rgb(ids[index]))
        keypoints_xy = poses.keypoints[index].astype(np.float64)
        _draw_person(drawn, keypoints_xy, visible[index], poses.schema, width, side_rgb=side_rgb)
    for index in order:
        if ids[index] != NO_TRACK:
            height = max(min(12.0, 0.15 * len(drawn)), 7 * _line_width(float(sizes[index]), drawn))
            points_xy = poses.keypoints[index][visible[index]]
            x, y = points_xy[points_xy[:, 1].argmin()].tolist()
            draw_label(drawn, str(ids[index]), (x - height / 2, y - 1.7 * height), height)
    return drawn


def track_rgb(track_id: int) -> Rgb:
    """Returns the colour of a track; consecutive ids differ clearly."""
    red, green, blue = hsv_to_rgb(track_id * _GOLDEN_RATIO % 1, 0.7, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def _size(points_xy: Float[np.ndarray, "n 2"], image: UInt8[np.ndarray, "h w 3"]) -> float:
    """Returns the longer side of the bounding box of the points, at most twice the longer side of the image."""
    if len(points_xy) == 0:
        return 0.0
    return float(min(np.ptp(points_xy.astype(np.float64), axis=0).max(), 2 * max(image.shape)))


def _line_width(person_size: float, image: UInt8[np.ndarray, "h w 3"]) -> float:
    min_width = min(max(image.shape) / _IMAGE_SIZE_PER_LINE, _MAX_LINE_SHARE * person_size)
    return float(max(1.0, person_size / _PERSON_SIZE_PER_LINE, min_width))


def _draw_person(
    image: UInt8[np.ndarray, "h w 3"],
    points_xy: Float[np.ndarray, "k 2"],
    visible: Bool[np.ndarray, "k"],
    schema: KeypointSchema,
    width: float,
    *,
    side_rgb: Mapping[str, Rgb],
) -> None:
    """Draws a person onto a dark shadow of its own strokes, which gives the colours contrast on any background."""
    margin = 4 * width + 4
    low = np.clip(points_xy[visible].min(axis=0) - margin, 0, image.shape[1::-1]).astype(int)
    high = np.clip(points_xy[visible].max(axis=0) + margin, 0, image.shape[1::-1]).astype(int)
    if (high <= low).any():
        return
    region = image[low[1] : high[1], low[0] : high[0]]
    strokes = _strokes(points_xy - low, visible, schema, width, side_rgb=side_rgb)
    shadow = np.zeros(region.shape, np.uint8)
    for stroke in strokes:
        stroke.draw(shadow, (round(255 * _SHADOW_OPACITY),) * 3, grow=max(1.0, 0.4 * width))
    region[:] = cv2.multiply(region, 255 - shadow, scale=1 / 255)
    for stroke in strokes:
        stroke.draw(region, stroke.rgb)


def _strokes(
    points_xy: Float[np.ndarray, "k 2"],
    visible: Bool[np.ndarray, "k"],
    schema: KeypointSchema,
    width: float,
    *,
    side_rgb: Mapping[str, Rgb],
) -> list[Stroke]:
    """Returns lines, then dots; keypoints with small sigmas, such as those of a face, get finer strokes."""
    sigmas = np.array(schema.sigmas)
    fineness = np.clip(np.sqrt(sigmas / np.median(sigmas)), 0.5, 1)
    sides = [schema.side(index) for index in range(len(schema))]
    strokes = []
    for edge in map(list, schema.edges):
        if visible[edge].all():
            edge_sides = {sides[index] for index in edge} - {"middle"}
            rgb = side_rgb[edge_sides.pop() if len(edge_sides) == 1 else "middle"]
            strokes.append(Stroke(points_xy[edge], max(1.0, width * fineness[edge].min()), rgb))
    for index in np.flatnonzero(visible):
        diameter = max(2.4, 2.2 * width * fineness[index])
        strokes.append(Stroke(points_xy[[index, index]], diameter, side_rgb[sides[index]]))
    return strokes
