"""COCO keypoint annotations, including those of CrowdPose.

COCO measures keypoints from the centre of the first pixel, in whole numbers; e2pose measures from its outer corner.
Reading adds half a pixel, writing subtracts it. Boxes are the same in both.

CrowdPose differs from COCO in four ways, which `read_coco` handles:

- The top of the head is called "head"; in the schema `crowdpose` it is "head_top".
- The skeleton is that of COCO, with numbers up to 17 for 14 keypoints; the edges of the schema are used instead.
- An image has a `crowdIndex`: how much its persons overlap, from 0 to 1.
- A person has no area; its evaluation code uses 0.53 of the box.

Source: Li et al., "CrowdPose: Efficient Crowded Scenes Pose Estimation and a New Benchmark", CVPR 2019.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from e2pose.core.annotations import Annotations, ImageAnnotation, PersonAnnotation
from e2pose.core.errors import AnnotationError
from e2pose.core.schema import KeypointSchema
from e2pose.formats.coco_categories import Categories, CategoryChoice, read_categories
from e2pose.formats.coco_entries import HALF_PIXEL, SizeReader, parse_image, parse_person
from e2pose.formats.fields import FieldError, is_missing, require, show, to_id
from e2pose.formats.json_file import load_json
from e2pose.formats.reading_log import ReadingLog

_MIN_SIDE_IN_PIXELS = 8  # in smaller images, positions from 0 to 1 may be pixels

CATEGORY_ID = 1
"""Category of persons in all files written by e2pose."""


def read_coco(
    path: str | Path,
    *,
    category: CategoryChoice = None,
    schema: KeypointSchema | None = None,
    size_of: SizeReader | None = None,
) -> Annotations:
    """Reads a file of COCO keypoint annotations.

    Besides the fields of COCO an image may have `labelled_keypoints`, `exhaustive`, `ignore` and the `crowdIndex` of
    CrowdPose; see `ImageAnnotation`. An annotation without labelled keypoints is a person without keypoints. A missing
    box is derived from the keypoints, a missing area from the box. `Annotations.omitted` counts what is not read.

    Args:
        path: The JSON file.
        category: Name or id of the category to read, or several with the same keypoints. It is required if more than
            one category has keypoints.
        schema: Names of the keypoints if no category has any; otherwise it is not used.
        size_of: Returns (height, width) of the image file with a name; used for images without height and width.

    Raises:
        AnnotationError: The file cannot be read or has invalid entries; the message lists the first of them.
    """
    record = _load(path)
    log = ReadingLog(path)
    categories = read_categories(
        record["categories"], category, path, log, annotations=record["annotations"], schema=schema
    )
    images = _read_images(record["images"], len(categories.schema), size_of, log)
    persons = _read_persons(record["annotations"], categories, images, log)
    log.raise_if_invalid()
    _check_unit(path, images, persons)
    return Annotations(
        categories.schema,
        tuple(replace(image, persons=tuple(persons[image.id])) for image in images.values()),
        log.omitted,
        log.notes,
    )


def _read_images(
    entries: list[Any], num_keypoints: int, size_of: SizeReader | None, log: ReadingLog
) -> dict[int, ImageAnnotation]:
    images: dict[int, ImageAnnotation] = {}
    for position, entry in enumerate(entries):
        with log.entry(_name_entry("image", entry, position)):
            image = parse_image(_check_mapping(entry), num_keypoints, size_of)
            if images.setdefault(image.id, image) is not image:
                raise FieldError(f"another image, '{images[image.id].file_name}', has the same id")
    return images


def _read_persons(
    entries: list[Any], categories: Categories, images: Mapping[int, ImageAnnotation], log: ReadingLog
) -> dict[int, list[PersonAnnotation]]:
    """Returns the persons of each image by its id."""
    persons: dict[int, list[PersonAnnotation]] = {image_id: [] for image_id in images}
    names = categories.schema.keypoints
    num_listed, unlisted = 0, ""
    for position, entry in enumerate(entries):
        where = _name_entry("annotation", entry, position)
        with log.entry(where):
            category_id = _check_mapping(entry).get("category_id")
            if reason := categories.reason_to_omit(category_id):
                log.omit("annotations", reason, f"{where} of category {show(category_id)}")
                continue
            image_id = to_id(require(entry, "image_id"), "image_id")
            if image_id not in images:
                unlisted = f"{where} of image {show(entry['image_id'])}"
                log.omit("annotations", "the image is not in 'images'", unlisted)
                continue
            num_listed += 1
            person = parse_person(entry, names, images[image_id].size_hw, log)
            if person is None:
                log.omit("annotations", "there is no box, and the labelled keypoints do not span one", where)
            else:
                persons[image_id].append(person)
    if unlisted and not num_listed and images:
        log.invalid(unlisted, f"no annotation belongs to a listed image, such as {next(iter(images))}")
    return persons


def _check_unit(
    path: str | Path, images: Mapping[int, ImageAnnotation], persons: Mapping[int, Sequence[PersonAnnotation]]
) -> None:
    """Raises an error if all keypoints are in the corner of their images, as fractions of the size are."""
    points = [
        person.keypoints[person.visibility > 0]
        for image_id, image in images.items()
        for person in persons[image_id]
        if person.has_keypoints and min(image.size_hw) > _MIN_SIDE_IN_PIXELS
    ]
    if points and (np.abs(np.concatenate(points) - HALF_PIXEL) <= 1).all():
        raise AnnotationError(
            f"'{path}' has all keypoints within 1 pixel of the corner of their image; they are probably fractions of "
            "its size",
            "export the annotations in pixels, or multiply x by the width and y by the height",
        )


def _check_mapping(entry: object) -> Mapping[str, Any]:
    if not isinstance(entry, dict):
        raise FieldError(f"it must be a mapping of fields, not {show(entry)}")
    return entry


def _name_entry(kind: str, entry: object, position: int) -> str:
    entry_id = entry.get("id") if isinstance(entry, dict) else None
    has_id = isinstance(entry_id, int | float | str) and not is_missing(entry_id)
    return f"{kind} {show(entry_id)}" if has_id else f"{kind} at position {position}"


def to_coco_annotations(annotations: Annotations) -> dict[str, Any]:
    """Returns the content of an annotation file: the inverse of `read_coco`, up to a thousandth of a pixel."""
    schema = annotations.schema
    images: list[dict[str, Any]] = []
    persons: list[dict[str, Any]] = []
    for image in annotations.images:
        height, width = image.size_hw
        entry = {"id": image.id, "file_name": image.file_name, "width": width, "height": height}
        if image.labelled_keypoints != tuple(range(len(schema))):
            entry["labelled_keypoints"] = list(image.labelled_keypoints)
        if len(image.ignore):
            entry["ignore"] = image.ignore.astype(np.float64).round(3).tolist()
        if image.crowd_index is not None:
            entry["crowdIndex"] = image.crowd_index
        images.append({**entry, "exhaustive": image.exhaustive})
        for person in image.persons:
            persons.append(_to_entry(person, len(persons) + 1, image.id))
    category = {
        "id": CATEGORY_ID,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(schema.keypoints),
        "skeleton": [[first + 1, second + 1] for first, second in schema.edges],
    }
    return {"images": images, "annotations": persons, "categories": [category]}


def _load(path: str | Path) -> dict[str, Any]:
    record = load_json(path, "the annotations", "use a JSON file of COCO keypoint annotations")
    names = ("images", "annotations", "categories")
    lists = {name: record.get(name) if isinstance(record, dict) else None for name in names}
    missing = [name for name, value in lists.items() if not isinstance(value, list)]
    if missing:
        problem = f"it has no list {' and no list '.join(map(repr, missing))}"
        if isinstance(record, list):
            problem = "it is a list, as are COCO results and exports of some tools, instead of an object"
        raise AnnotationError(
            f"'{path}' is not a file of COCO annotations: {problem}",
            "export COCO keypoints from the annotation tool: an object with the lists 'images', 'annotations' and "
            "'categories'",
        )
    return lists


def _to_entry(person: PersonAnnotation, annotation_id: int, image_id: int) -> dict[str, Any]:
    labelled = person.visibility > 0
    points = np.where(labelled[:, None], person.keypoints.astype(np.float64) - HALF_PIXEL, 0).round(3)
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": CATEGORY_ID,
        "iscrowd": int(person.is_crowd),
        "bbox": list(person.box),
        "area": person.area,
        "num_keypoints": int(labelled.sum()),
        "keypoints": np.concatenate([points, person.visibility[:, None]], axis=1).ravel().tolist(),
    }
