"""Synthetic labelled images, valid ones and ones with mistakes."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from e2pose.core.annotations import Annotations, ImageAnnotation, PersonAnnotation
from e2pose.core.schema import load_schema
from e2pose.formats.coco import to_coco_annotations

COCO = load_schema("coco")
SIZE_HW = (120, 160)

# Positions in a front view, relative to the person's box; of pairs the distance from the middle, left on the right.
_FRONT_VIEW = {
    "nose": (0.5, 0.05),
    "eye": (0.04, 0.03),
    "ear": (0.08, 0.05),
    "shoulder": (0.2, 0.2),
    "elbow": (0.3, 0.35),
    "wrist": (0.35, 0.5),
    "hip": (0.15, 0.5),
    "knee": (0.15, 0.75),
    "ankle": (0.15, 0.98),
}


def _front_view(name: str) -> tuple[float, float]:
    side, _, part = name.rpartition("_")
    x, y = _FRONT_VIEW[part]
    return (x, y) if not side else (0.5 + (x if side == "left" else -x), y)


def make_person(
    box=(40.0, 20.0, 50.0, 90.0), *, back_view=False, visibility=None, seed=0, **options
) -> PersonAnnotation:
    """Returns a standing person in front or back view, with a little noise on the keypoints."""
    x, y, width, height = box
    noise = np.random.default_rng(seed).normal(0, 0.01, (17, 2))
    fractions = np.array([_front_view(name) for name in COCO.keypoints]) + noise
    if back_view:
        fractions[:, 0] = 1 - fractions[:, 0]
    points = np.array([x, y]) + fractions * np.array([width, height])
    if visibility is None:
        visibility = [1 if back_view else 2] + [2] * 16
    area = options.pop("area", 0.5 * width * height)
    return PersonAnnotation(points.astype(np.float32), np.array(visibility, np.uint8), area, box, **options)


def make_image(number: int, *persons: PersonAnnotation, **options) -> ImageAnnotation:
    options = {"labelled_keypoints": tuple(range(17))} | options
    return ImageAnnotation(number, f"{number}.png", SIZE_HW, persons, **options)


def make_annotations(*images: ImageAnnotation, schema=COCO) -> Annotations:
    return Annotations(schema, images)


def valid_images(count: int) -> list[ImageAnnotation]:
    """Returns images of one person each without mistakes, a third of them in back view."""
    return [
        make_image(number, make_person((20.0 + number % 7, 15.0, 60.0, 100.0), back_view=number % 3 == 0, seed=number))
        for number in range(count)
    ]


def write_dataset(folder: Path, annotations: Annotations, *, seed: int = 0) -> Path:
    """Writes annotations and a different image of blurred noise for each of them."""
    (folder / "images").mkdir(parents=True)
    (folder / "annotations.json").write_text(json.dumps(to_coco_annotations(annotations)), encoding="utf-8")
    for image in annotations.images:
        write_noise(folder / "images" / image.file_name, seed=1000 * seed + image.id)
    return folder


def write_noise(path: Path, *, seed: int, size_hw=SIZE_HW) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    cv2.imwrite(str(path), cv2.resize(noise, size_hw[::-1], interpolation=cv2.INTER_CUBIC))


def swap_keypoints(person: PersonAnnotation, one: str, other: str) -> PersonAnnotation:
    i, j = COCO.keypoints.index(one), COCO.keypoints.index(other)
    keypoints = person.keypoints.copy()
    keypoints[[i, j]] = keypoints[[j, i]]
    return replace(person, keypoints=keypoints)
