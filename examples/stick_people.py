"""Writes a synthetic image set of stick people into a folder: python examples/stick_people.py FOLDER [IMAGES].

Image n is always the same. Left limbs are orange, right limbs are blue.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from e2pose import KeypointSchema, load_schema
from e2pose.core.annotations import Annotations, ImageAnnotation, PersonAnnotation
from e2pose.formats.coco import to_coco_annotations

SIZE = 160  # height and width of an image in pixels
SCHEMA = load_schema("coco")
LEFT_RGB, RIGHT_RGB, MIDDLE_RGB = (255, 150, 30), (50, 150, 255), (235, 235, 225)


def draw_pose(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Returns a random pose of height 1 around the middle of the hips, by keypoint name; y points down."""

    def limb(angle: float, length: float) -> np.ndarray:
        return length * np.array([np.sin(angle), np.cos(angle)])

    pose = {}
    for side, sign in (("left", 1), ("right", -1)):  # persons face the camera: left limbs are on the right
        pose[f"{side}_hip"] = np.array([0.07 * sign, 0.0])
        pose[f"{side}_shoulder"] = np.array([0.12 * sign, -0.30])
        for upper, middle, lower, length in (("shoulder", "elbow", "wrist", 0.17), ("hip", "knee", "ankle", 0.24)):
            angle = sign * rng.uniform(-0.2, 1.6 if upper == "shoulder" else 0.6)
            pose[f"{side}_{middle}"] = pose[f"{side}_{upper}"] + limb(angle, length)
            bent = angle + sign * rng.uniform(-0.4, 0.4 if upper == "hip" else 1.2)
            pose[f"{side}_{lower}"] = pose[f"{side}_{middle}"] + limb(bent, 0.9 * length)
        pose[f"{side}_eye"] = np.array([0.025 * sign, -0.47])
        pose[f"{side}_ear"] = np.array([0.05 * sign, -0.455])
    pose["nose"] = np.array([0.0, -0.44])
    return pose


def draw_person(image: np.ndarray, rng: np.random.Generator, column: int, columns: int) -> PersonAnnotation:
    """Draws a person at a random position of one image column; limbs may extend into the next one."""
    pose = draw_pose(rng)
    height, turn = rng.uniform(60, 120) / columns**0.3, rng.uniform(-0.25, 0.25)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = height * np.stack([pose[name] for name in SCHEMA.keypoints]) @ rotation.T
    low, high = points.min(axis=0), points.max(axis=0)
    middle = SIZE * (column + rng.uniform(0.3, 0.7)) / columns
    points += (middle, rng.uniform(4 - low[1], SIZE - 4 - high[1]))
    for first, second in SCHEMA.edges:
        sides = {SCHEMA.side(first), SCHEMA.side(second)}
        colour = LEFT_RGB if sides == {"left"} else RIGHT_RGB if sides == {"right"} else MIDDLE_RGB
        ends = [tuple(round(value) for value in points[index]) for index in (first, second)]
        cv2.line(image, *ends, colour, max(1, round(height / 30)), cv2.LINE_AA)
    cv2.circle(image, tuple(round(value) for value in points[0]), max(2, round(height / 25)), (250, 80, 90), -1)
    visible = ((points >= 0) & (points < SIZE)).all(axis=1)
    x, y = points.min(axis=0).tolist()
    width, length = np.ptp(points, axis=0).tolist()
    return PersonAnnotation(
        points.astype(np.float32), np.where(visible, 2, 0).astype(np.uint8), 0.4 * width * length, (x, y, width, length)
    )


def draw_noise(rng: np.random.Generator, size: int, blur: float) -> np.ndarray:
    """Returns a square image of blurred noise; `blur` is the standard deviation in pixels."""
    noise = cv2.GaussianBlur(rng.integers(0, 256, (size, size, 3), dtype=np.uint8), (0, 0), blur)
    return cv2.convertScaleAbs(noise, alpha=2.5, beta=rng.uniform(-280, -200))


def make_image(number: int) -> tuple[np.ndarray, ImageAnnotation]:
    """Returns an image of one to three persons on blurred noise, and its annotation."""
    rng = np.random.default_rng(number)
    image = draw_noise(rng, SIZE, 6)
    count = int(rng.integers(1, 4))
    persons = tuple(draw_person(image, rng, column, count) for column in range(count))
    return image, ImageAnnotation(number, f"{number:05}.png", (SIZE, SIZE), persons, tuple(range(len(SCHEMA))))


def write_set(
    folder: Path, schema: KeypointSchema, count: int, make: Callable[[int], tuple[np.ndarray, ImageAnnotation]]
) -> None:
    """Writes images and annotations in COCO's format."""
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    entries = []
    for number in range(1, count + 1):
        image, entry = make(number)
        (images / entry.file_name).write_bytes(cv2.imencode(".png", image[..., ::-1])[1].tobytes())
        entries.append(entry)
    record = to_coco_annotations(Annotations(schema, tuple(entries)))
    (folder / "annotations.json").write_text(json.dumps(record), encoding="utf-8")
    print(f"{count} images in {folder}")


def main(folder: str, count: str = "1000") -> None:
    """Writes the set."""
    write_set(Path(folder), SCHEMA, int(count), make_image)


if __name__ == "__main__":
    main(*sys.argv[1:])
