"""Skeletons over a picture."""

from __future__ import annotations

from collections.abc import Mapping
from colorsys import hsv_to_rgb

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from e2pose.core.poses import NO_TRACK, Poses
from e2pose.core.schema import KeypointSchema
from e2pose.render.stroke import Rgb, Stroke
from e2pose.render.text import draw_label

# Told apart with every common kind of colour blindness: orange against blue.
# Source: Okabe and Ito, "Color Universal Design", 2008; made lighter to stand out from dark pictures.
SIDE_RGB = {"left": (255, 158, 36), "right": (64, 176, 255), "middle": (248, 248, 242)}
"""Colour of each body side."""

_LINES_PER_PERSON = 75  # a line is this many times thinner than the person is large
_LINES_PER_PICTURE = 700  # nor does it vanish when the whole picture is shown on a screen
_THICKEST_SHARE = 0.05  # unless the person would become a blot
_SHADOW = 0.72
_GOLDEN_RATIO = 0.618034  # of the circle of hues from one number to the next: no two near numbers come close


def draw_poses(image: UInt8[np.ndarray, "h w 3"], poses: Poses, *, threshold: float) -> UInt8[np.ndarray, "h w 3"]:
    """Draws everybody's keypoints and edges over a copy of the picture.

    Lines are as thick as suits each person's size. Larger persons, who are nearer as a rule, lie above smaller ones.
    The person's left is orange and the right is blue. Somebody who is tracked has a number and a colour instead.

    Args:
        image: RGB; not changed.
        poses: Whom to draw, in pixels of the picture.
        threshold: Keypoints with a lower score are not drawn, nor are edges that end at one; in [0, 1].
    """
    canvas = np.array(image, order="C")  # OpenCV draws into no other layout
    seen = poses.visible(threshold) & np.isfinite(poses.keypoints).all(axis=-1)
    numbers = [NO_TRACK] * len(poses) if poses.track_ids is None else poses.track_ids.tolist()
    sizes = np.array([_size(points[chosen], canvas) for points, chosen in zip(poses.keypoints, seen, strict=True)])
    order = [index for index in np.argsort(sizes) if seen[index].any()]
    for index in order:
        width = _line_width(float(sizes[index]), canvas)
        side_rgb = SIDE_RGB if numbers[index] == NO_TRACK else dict.fromkeys(SIDE_RGB, track_rgb(numbers[index]))
        _draw_person(
            canvas, poses.keypoints[index].astype(np.float64), seen[index], poses.schema, width, side_rgb=side_rgb
        )
    for index in order:
        if numbers[index] != NO_TRACK:
            height = max(min(12.0, 0.15 * len(canvas)), 7 * _line_width(float(sizes[index]), canvas))
            points_xy = poses.keypoints[index][seen[index]]
            x, y = points_xy[points_xy[:, 1].argmin()].tolist()
            draw_label(canvas, str(numbers[index]), (x - height / 2, y - 1.7 * height), height)
    return canvas


def track_rgb(number: int) -> Rgb:
    """The colour of a tracked person; numbers that follow each other look different."""
    red, green, blue = hsv_to_rgb(number * _GOLDEN_RATIO % 1, 0.7, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def _size(points_xy: Float[np.ndarray, "n 2"], canvas: UInt8[np.ndarray, "h w 3"]) -> float:
    """The larger side of the box around the points, within reason for the picture."""
    if len(points_xy) == 0:
        return 0.0
    return float(min(np.ptp(points_xy.astype(np.float64), axis=0).max(), 2 * max(canvas.shape)))


def _line_width(size: float, canvas: UInt8[np.ndarray, "h w 3"]) -> float:
    in_the_picture = min(max(canvas.shape) / _LINES_PER_PICTURE, _THICKEST_SHARE * size)
    return float(max(1.0, size / _LINES_PER_PERSON, in_the_picture))


def _draw_person(
    canvas: UInt8[np.ndarray, "h w 3"],
    points_xy: Float[np.ndarray, "k 2"],
    seen: Bool[np.ndarray, "k"],
    schema: KeypointSchema,
    width: float,
    *,
    side_rgb: Mapping[str, Rgb],
) -> None:
    """Darkens the picture around the person, so that the colours stand out, and draws the person onto that."""
    margin = 4 * width + 4
    low = np.clip(points_xy[seen].min(axis=0) - margin, 0, canvas.shape[1::-1]).astype(int)
    high = np.clip(points_xy[seen].max(axis=0) + margin, 0, canvas.shape[1::-1]).astype(int)
    if (high <= low).any():
        return
    region = canvas[low[1] : high[1], low[0] : high[0]]
    strokes = _strokes(points_xy - low, seen, schema, width, side_rgb=side_rgb)
    shadow = np.zeros(region.shape, np.uint8)
    for stroke in strokes:
        stroke.draw(shadow, (round(255 * _SHADOW),) * 3, grow=max(1.0, 0.4 * width))
    region[:] = cv2.multiply(region, 255 - shadow, scale=1 / 255)
    for stroke in strokes:
        stroke.draw(region, stroke.rgb)


def _strokes(
    points_xy: Float[np.ndarray, "k 2"],
    seen: Bool[np.ndarray, "k"],
    schema: KeypointSchema,
    width: float,
    *,
    side_rgb: Mapping[str, Rgb],
) -> list[Stroke]:
    """The lines of a person and then the dots; where keypoints are delicate, as in a face, both are finer."""
    sigmas = np.array(schema.sigmas)
    fineness = np.clip(np.sqrt(sigmas / np.median(sigmas)), 0.5, 1)
    sides = [schema.side(index) for index in range(len(schema))]
    strokes = []
    for edge in schema.edges:
        if seen[list(edge)].all():
            ends = {sides[index] for index in edge} - {"middle"}
            colour = side_rgb[ends.pop() if len(ends) == 1 else "middle"]
            strokes.append(Stroke(points_xy[list(edge)], max(1.0, width * fineness[list(edge)].min()), colour))
    for index in np.flatnonzero(seen):
        diameter = max(2.4, 2.2 * width * fineness[index])
        strokes.append(Stroke(points_xy[[index, index]], diameter, side_rgb[sides[index]]))
    return strokes
