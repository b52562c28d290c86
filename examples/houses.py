"""Writes a synthetic image set of houses with five keypoints into a folder: python examples/houses.py FOLDER [IMAGES].

Image n is always the same.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from stick_people import draw_noise, write_set

from e2pose import KeypointSchema
from e2pose.core.annotations import ImageAnnotation, PersonAnnotation

SIZE = 192  # height and width of an image in pixels
CORNERS = {
    "left_floor": (-0.5, 0.5),
    "right_floor": (0.5, 0.5),
    "right_eaves": (0.5, -0.15),
    "ridge": (0.0, -0.5),
    "left_eaves": (-0.5, -0.15),
}
"""Positions of the keypoints in a house of width and height 1; y points down."""
NAMES = list(CORNERS)
SCHEMA = KeypointSchema.from_names("house", NAMES, edges=list(zip(NAMES, NAMES[1:] + NAMES[:1], strict=True)))


def draw_house(image: np.ndarray, rng: np.random.Generator, column: int, columns: int) -> PersonAnnotation:
    """Draws a house at a random position inside one image column."""
    shape = np.array(list(CORNERS.values())) * (rng.uniform(0.7, 1.1), rng.uniform(0.8, 1.4))
    shape[3, 0] += rng.uniform(-0.2, 0.2)
    turn = rng.uniform(-0.4, 0.4)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = shape @ rotation.T
    points *= rng.uniform(0.5, 0.85) * SIZE / columns / np.ptp(points, axis=0).max()
    low, high = points.min(axis=0), points.max(axis=0)
    left = SIZE * column / columns
    points += rng.uniform((left - low[0], -low[1]), (left + SIZE / columns - high[0], SIZE - high[1]))
    colour = rng.integers(90, 256, 3).tolist()
    outline = np.round(16 * (points - 0.5)).astype(np.int32)  # OpenCV's origin is the centre of the first pixel
    cv2.fillPoly(image, [outline], [value // 2 for value in colour], cv2.LINE_AA, shift=4)
    cv2.polylines(image, [outline], True, colour, 2, cv2.LINE_AA, shift=4)
    x, y = points.min(axis=0).tolist()
    width, height = np.ptp(points, axis=0).tolist()
    visible = np.full(len(points), 2, np.uint8)
    return PersonAnnotation(
        points.astype(np.float32), visible, float(cv2.contourArea(outline)) / 256, (x, y, width, height)
    )


def make_image(number: int) -> tuple[np.ndarray, ImageAnnotation]:
    """Returns an image of one to three houses on blurred noise, and its annotation."""
    rng = np.random.default_rng(number)
    image = draw_noise(rng, SIZE, 5)
    count = int(rng.integers(1, 4))
    houses = tuple(draw_house(image, rng, column, count) for column in range(count))
    return image, ImageAnnotation(number, f"{number:05}.png", (SIZE, SIZE), houses, tuple(range(len(SCHEMA))))


def main(folder: str, count: str = "500") -> None:
    """Writes the set."""
    write_set(Path(folder), SCHEMA, int(count), make_image)


if __name__ == "__main__":
    main(*sys.argv[1:])
