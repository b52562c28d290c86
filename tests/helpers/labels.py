"""Labelled pictures, right ones and wrong ones."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from e2pose.core.annotations import Annotations, ImageAnnotation, PersonAnnotation
from e2pose.core.schema import load_schema
from e2pose.formats.coco import to_coco_annotations

COCO = load_schema("coco")
SIZE = (120, 160)

# From the front: what is left of the person lies on the right of the picture. Fractions of the person's box.
_FRONT = {
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


def front(name: str) -> tuple[float, float]:
    side, _, part = name.rpartition("_")
    x, y = _FRONT[part]
    return (x, y) if not side else (0.5 + (x if side == "left" else -x), y)


def made_person(box=(40.0, 20.0, 50.0, 90.0), *, behind=False, visibility=None, seed=0, **options) -> PersonAnnotation:
    """Somebody who stands and looks at us, or away from us, with keypoints a little off."""
    x, y, width, height = box
    fractions = np.array([front(name) for name in COCO.keypoints]) + np.random.default_rng(seed).normal(
        0, 0.01, (17, 2)
    )
    if behind:
        fractions[:, 0] = 1 - fractions[:, 0]
    points = np.array([x, y]) + fractions * np.array([width, height])
    seen = np.full(17, 2) if visibility is None else np.array(visibility)
    if behind and visibility is None:
        seen[0] = 1
    area = options.pop("area", 0.5 * width * height)
    return PersonAnnotation(points.astype(np.float32), seen.astype(np.uint8), area, box, **options)


def made_image(number: int, *persons: PersonAnnotation, **options) -> ImageAnnotation:
    return ImageAnnotation(
        number, f"{number}.png", SIZE, persons, options.pop("labelled_keypoints", tuple(range(17))), **options
    )


def made_dataset(*images: ImageAnnotation, schema=COCO) -> Annotations:
    return Annotations(schema, images)


def good_images(count: int, start: int = 0) -> list[ImageAnnotation]:
    """People from all sides, none of whom is labelled wrongly."""
    return [
        made_image(number, made_person((20.0 + number % 7, 15.0, 60.0, 100.0), behind=number % 3 == 0, seed=number))
        for number in range(start, start + count)
    ]


def write_dataset(folder: Path, dataset: Annotations, *, seed: int = 0, scale: int = 1) -> Path:
    """Writes labels and different pictures, blurred noise, for all images."""
    (folder / "images").mkdir(parents=True)
    (folder / "annotations.json").write_text(json.dumps(to_coco_annotations(dataset)), encoding="utf-8")
    for image in dataset.images:
        write_noise(folder / "images" / image.file_name, seed=1000 * seed + image.id, scale=scale)
    return folder


def write_noise(path: Path, *, seed: int, scale: int = 1, size_hw=SIZE) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    pixels = cv2.resize(noise, (size_hw[1] * scale, size_hw[0] * scale), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(path), pixels)


def swapped(person: PersonAnnotation, one: str, other: str) -> PersonAnnotation:
    """The same person with two keypoints exchanged."""
    i, j = COCO.keypoints.index(one), COCO.keypoints.index(other)
    keypoints = person.keypoints.copy()
    keypoints[[i, j]] = keypoints[[j, i]]
    return replace(person, keypoints=keypoints)
