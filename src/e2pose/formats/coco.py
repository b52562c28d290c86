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

import json
import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from e2pose.core.annotations import Annotations, ImageAnnotation, PersonAnnotation
from e2pose.core.errors import AnnotationError, SchemaError
from e2pose.core.schema import KeypointSchema, find_built_in_schema, load_schema
from e2pose.core.sides import find_mirrored_names

CATEGORY_ID = 1
"""Category of persons in all files written by e2pose."""

DEFAULT_AREA_RATIO = 0.53
"""Area of a person relative to its box where no area is given, as in the evaluation code of CrowdPose."""

HALF_PIXEL = np.float32(0.5)
"""Offset from COCO's keypoint coordinates to those of e2pose."""

_CATEGORY_HINT = "the category of persons has the fields 'id', 'keypoints' (names) and 'skeleton'"


def read_coco(path: str | Path) -> Annotations:
    """Reads a file of COCO keypoint annotations.

    Besides the fields of COCO an image may have `labelled_keypoints`, `exhaustive`, `ignore` and the `crowdIndex` of
    CrowdPose; see `ImageAnnotation`. Annotations of categories without keypoints are skipped.

    Raises:
        AnnotationError: The file cannot be read or an entry is invalid; the message names the entry.
    """
    record = _load(path)
    category = _find_category(record["categories"], path)
    schema = _parse_schema(category, path)
    persons: dict[int, list[PersonAnnotation]] = {}
    for position, entry in enumerate(record["annotations"]):
        with _name_entry(path, "annotation", entry, position):
            if entry.get("category_id", category["id"]) == category["id"]:
                persons.setdefault(entry["image_id"], []).append(_parse_person(entry, len(schema)))
    images = []
    for position, entry in enumerate(record["images"]):
        with _name_entry(path, "image", entry, position):
            images.append(_parse_image(entry, persons.get(entry["id"], []), len(schema)))
    ids = {image.id for image in images}
    if len(ids) < len(images):
        raise AnnotationError(f"'{path}': two images have the same id", "make the id of each image unique")
    if not ids.issuperset(persons):
        unlisted = sorted(map(str, set(persons) - ids))
        raise AnnotationError(
            f"'{path}': annotations refer to images that are not listed, with the ids {', '.join(unlisted[:5])}",
            "add the images to the list 'images', or remove the annotations",
        )
    return Annotations(schema, tuple(images))


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


def _load(path: str | Path) -> dict[str, list[Any]]:
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AnnotationError(
            f"cannot read the annotations '{path}': {reason}", "use a JSON file of COCO keypoint annotations"
        ) from error
    names = ("images", "annotations", "categories")
    if not isinstance(record, dict) or not all(isinstance(record.get(name), list) for name in names):
        raise AnnotationError(
            f"'{path}' is not a file of COCO annotations: it must have the lists {', '.join(map(repr, names))}",
            "use a file of annotations; COCO results, as written by e2pose predict, have none of these lists",
        )
    return record


def _find_category(categories: Sequence[Any], path: str | Path) -> dict[str, Any]:
    found = [entry for entry in categories if isinstance(entry, dict) and "id" in entry and entry.get("keypoints")]
    if len(found) != 1:
        raise AnnotationError(f"'{path}' must have one category with keypoints, not {len(found)}", _CATEGORY_HINT)
    return found[0]


def _parse_schema(category: Mapping[str, Any], path: str | Path) -> KeypointSchema:
    """Returns the built-in schema with the same keypoints, if there is one, or a new one from names and skeleton."""
    try:
        names = _rename_crowdpose(tuple(map(str, category["keypoints"])))
        return find_built_in_schema(names) or KeypointSchema.from_names(
            str(category.get("name", "custom")),
            names,
            edges=[[names[int(end) - 1] for end in edge] for edge in category.get("skeleton", ())],
            flip_pairs=find_mirrored_names(names),
        )
    except (SchemaError, TypeError, ValueError, IndexError) as error:
        raise AnnotationError(
            f"'{path}': the category with keypoints is invalid: {error}", getattr(error, "hint", _CATEGORY_HINT)
        ) from error


def _rename_crowdpose(names: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the keypoint names of the schema `crowdpose` for those of CrowdPose; other names unchanged."""
    crowdpose = load_schema("crowdpose").keypoints
    return crowdpose if tuple("head_top" if name == "head" else name for name in names) == crowdpose else names


@contextmanager
def _name_entry(path: str | Path, kind: str, entry: object, position: int) -> Iterator[None]:
    """Converts errors of an invalid entry into an `AnnotationError` that names the entry."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        where = entry["id"] if isinstance(entry, dict) and "id" in entry else f"at position {position}"
        reason = f"the field {error} is missing" if isinstance(error, KeyError) else str(error)
        raise AnnotationError(f"'{path}': {kind} {where} is invalid: {reason}", "correct or remove it") from error


def _parse_image(entry: Mapping[str, Any], persons: Sequence[PersonAnnotation], num_keypoints: int) -> ImageAnnotation:
    size_hw = int(entry["height"]), int(entry["width"])
    if min(size_hw) < 1:
        raise ValueError(f"height and width must be positive, not {size_hw}")
    labelled = tuple(int(index) for index in entry.get("labelled_keypoints", range(num_keypoints)))
    if not all(0 <= index < num_keypoints for index in labelled):
        raise ValueError(f"labelled_keypoints must be from 0 to {num_keypoints - 1}, not {list(labelled)}")
    ignore = np.array(entry.get("ignore", []), dtype=np.float32).reshape(-1, 4)
    if not np.isfinite(ignore).all():
        raise ValueError("ignore boxes must be finite")
    crowd_index = None if entry.get("crowdIndex") is None else float(entry["crowdIndex"])
    if crowd_index is not None and not 0 <= crowd_index <= 1:
        raise ValueError(f"crowdIndex must be from 0 to 1, not {crowd_index}")
    return ImageAnnotation(
        id=operator.index(entry["id"]),
        file_name=str(entry["file_name"]),
        size_hw=size_hw,
        persons=tuple(persons),
        labelled_keypoints=labelled,
        exhaustive=bool(entry.get("exhaustive", True)),
        ignore=ignore,
        crowd_index=crowd_index,
    )


def _parse_person(entry: Mapping[str, Any], num_keypoints: int) -> PersonAnnotation:
    numbers = np.array(entry["keypoints"], dtype=np.float64)
    if numbers.shape != (3 * num_keypoints,) or not np.isfinite(numbers).all():
        raise ValueError(
            f"keypoints must be {3 * num_keypoints} finite numbers: x, y, visibility for each of {num_keypoints}"
        )
    triples = numbers.reshape(num_keypoints, 3)
    if not {0, 1, 2}.issuperset(triples[:, 2].tolist()):
        raise ValueError(f"the visibility of keypoints must be 0, 1 or 2, not {triples[:, 2].tolist()}")
    x, y, width, height = map(float, entry["bbox"])
    area = float(entry.get("area", DEFAULT_AREA_RATIO * width * height))
    if not (math.isfinite(x + y + width + height + area) and min(width, height, area) >= 0):
        raise ValueError(f"bbox {entry['bbox']} and area {area} must be finite and not negative")
    return PersonAnnotation(
        keypoints=triples[:, :2].astype(np.float32) + HALF_PIXEL,
        visibility=triples[:, 2].astype(np.uint8),
        area=area,
        box=(x, y, width, height),
        is_crowd=bool(entry.get("iscrowd", 0)),
    )


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
