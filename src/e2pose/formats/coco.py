"""COCO keypoint files: annotations that people made, CrowdPose's among them, and results that a model made.

COCO counts keypoints from the centre of the first pixel, as whole numbers; e2pose counts from its outer corner. So
reading adds half a pixel and writing takes it off. Boxes are continuous in both.
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
from e2pose.core.poses import NO_TRACK, Poses
from e2pose.core.schema import KeypointSchema, find_mirrored_names, load_schema, schema_names
from e2pose.formats.crowdpose import rename_keypoints

CATEGORY_ID = 1
"""The category of people in every file that e2pose writes."""

AREA_OF_BOX = 0.53
"""A person's share of the box where no area is given; the evaluation code of CrowdPose uses the same."""

_HALF_PIXEL = np.float32(0.5)


def read_coco(path: str | Path) -> Annotations:
    """Reads a file of COCO keypoint annotations.

    Besides COCO's own fields an image may have `labelled_keypoints`, `exhaustive`, `ignore` and CrowdPose's
    `crowdIndex`; see `ImageAnnotation`.
    Annotations of other categories than the one with keypoints are left out.

    Raises:
        AnnotationError: The file cannot be read or an entry is wrong; the message names the entry.
    """
    record = _load(path)
    category = _category(record["categories"], path)
    schema = _schema(category, path)
    persons: dict[int, list[PersonAnnotation]] = {}
    for position, entry in enumerate(record["annotations"]):
        with _blame(path, "annotation", entry, position):
            if entry.get("category_id", category["id"]) == category["id"]:
                persons.setdefault(entry["image_id"], []).append(_person(entry, len(schema)))
    images = []
    for position, entry in enumerate(record["images"]):
        with _blame(path, "image", entry, position):
            images.append(_image(entry, persons.get(entry["id"], []), len(schema)))
    known = {image.id for image in images}
    if len(known) < len(images):
        raise AnnotationError(f"'{path}': two images have the same id", "give each image its own id")
    if not known.issuperset(persons):
        strangers = sorted(map(str, set(persons) - known))
        raise AnnotationError(
            f"'{path}': annotations refer to images that are not listed, with the ids {', '.join(strangers[:5])}",
            "add the images to the list 'images', or remove the annotations",
        )
    return Annotations(schema, tuple(images))


def to_coco_annotations(dataset: Annotations) -> dict[str, Any]:
    """The contents of a file of annotations: the inverse of `read_coco`, up to a thousandth of a pixel."""
    schema = dataset.schema
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image in dataset.images:
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
            annotations.append(_annotation(person, len(annotations) + 1, image.id))
    category = {
        "id": CATEGORY_ID,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(schema.keypoints),
        "skeleton": [[first + 1, second + 1] for first, second in schema.edges],
    }
    return {"images": images, "annotations": annotations, "categories": [category]}


def to_coco_results(poses: Poses, image_id: int, file_name: str) -> list[dict[str, Any]]:
    """The poses of one image as entries of a COCO results file.

    An entry has `image_id`, `category_id`, `keypoints` (x, y, score for each), `score`, `bbox` around all keypoints and
    `file_name`; somebody who was tracked also has `track_id`. A keypoint that is not finite becomes (0, 0, 0).
    """
    finite = np.isfinite(poses.keypoints).all(axis=-1)[..., None]
    located = np.where(finite, poses.keypoints - _HALF_PIXEL, 0).astype(np.float64).round(2)
    scores = np.where(finite, poses.keypoint_scores[..., None], 0).astype(np.float64).round(5)
    boxes = np.nan_to_num(poses.boxes()).astype(np.float64).round(2)
    track_ids = [NO_TRACK] * len(poses) if poses.track_ids is None else poses.track_ids.tolist()
    return [
        {
            "image_id": image_id,
            "category_id": CATEGORY_ID,
            "keypoints": np.concatenate([located[index], scores[index]], axis=-1).ravel().tolist(),
            "score": round(float(poses.scores[index]), 5),
            "bbox": boxes[index].tolist(),
            "file_name": file_name,
            **({} if track_ids[index] == NO_TRACK else {"track_id": track_ids[index]}),
        }
        for index in range(len(poses))
    ]


def _load(path: str | Path) -> dict[str, list[Any]]:
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AnnotationError(f"cannot read the annotations '{path}': {error}", "give a COCO keypoint file") from error
    names = ("images", "annotations", "categories")
    if not isinstance(record, dict) or not all(isinstance(record.get(name), list) for name in names):
        raise AnnotationError(
            f"'{path}' is not a file of COCO annotations: it must have the lists {', '.join(map(repr, names))}",
            "a file of COCO results has none of them and cannot be used as annotations",
        )
    return record


def _category(categories: Sequence[Any], path: str | Path) -> dict[str, Any]:
    found = [entry for entry in categories if isinstance(entry, dict) and "id" in entry and entry.get("keypoints")]
    if len(found) != 1:
        raise AnnotationError(
            f"'{path}' has {len(found)} categories with keypoints, but must have one",
            "the category of people has the fields 'id', 'keypoints' (names) and 'skeleton'",
        )
    return found[0]


def _schema(category: Mapping[str, Any], path: str | Path) -> KeypointSchema:
    """The schema that comes with e2pose if it has the same keypoints, else one made from the names alone."""
    try:
        names = rename_keypoints(tuple(map(str, category["keypoints"])))
        for known in map(load_schema, schema_names()):
            if known.keypoints == names:
                return known
        return KeypointSchema.from_names(
            str(category.get("name", "custom")),
            names,
            edges=[[names[int(end) - 1] for end in edge] for edge in category.get("skeleton", ())],
            flip_pairs=find_mirrored_names(names),
        )
    except (SchemaError, TypeError, ValueError, IndexError) as error:
        raise AnnotationError(
            f"'{path}': the keypoint category is wrong: {error}", getattr(error, "hint", "")
        ) from error


@contextmanager
def _blame(path: str | Path, kind: str, entry: object, position: int) -> Iterator[None]:
    """Turns the errors of a wrong entry into one that names it."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        name = (
            f"{kind} {entry['id']}" if isinstance(entry, dict) and "id" in entry else f"{kind} at position {position}"
        )
        reason = f"the field {error} is missing" if isinstance(error, KeyError) else str(error)
        raise AnnotationError(f"'{path}': {name} is wrong: {reason}", "correct or remove this entry") from error


def _image(entry: Mapping[str, Any], persons: Sequence[PersonAnnotation], count: int) -> ImageAnnotation:
    size_hw = int(entry["height"]), int(entry["width"])
    if min(size_hw) < 1:
        raise ValueError(f"its height and width must be positive, not {size_hw}")
    labelled = tuple(int(index) for index in entry.get("labelled_keypoints", range(count)))
    if not all(0 <= index < count for index in labelled):
        raise ValueError(f"its labelled_keypoints must lie between 0 and {count - 1}, not {list(labelled)}")
    ignore = np.array(entry.get("ignore", []), dtype=np.float32).reshape(-1, 4)
    if not np.isfinite(ignore).all():
        raise ValueError("its ignore boxes must be finite")
    crowd_index = None if entry.get("crowdIndex") is None else float(entry["crowdIndex"])
    if crowd_index is not None and not 0 <= crowd_index <= 1:
        raise ValueError(f"its crowdIndex must lie between 0 and 1, not {crowd_index}")
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


def _person(entry: Mapping[str, Any], count: int) -> PersonAnnotation:
    numbers = np.array(entry["keypoints"], dtype=np.float64)
    if numbers.shape != (3 * count,) or not np.isfinite(numbers).all():
        raise ValueError(f"its keypoints must be {3 * count} finite numbers (x, y, visibility for each of {count})")
    triples = numbers.reshape(count, 3)
    if not {0, 1, 2}.issuperset(triples[:, 2].tolist()):
        raise ValueError(f"the visibility of its keypoints must be 0, 1 or 2, not {triples[:, 2].tolist()}")
    x, y, width, height = map(float, entry["bbox"])
    area = float(entry.get("area", AREA_OF_BOX * width * height))
    if not (math.isfinite(x + y + width + height + area) and min(width, height, area) >= 0):
        raise ValueError(f"its box {entry['bbox']} and area {area} must be finite and not negative")
    return PersonAnnotation(
        keypoints=triples[:, :2].astype(np.float32) + _HALF_PIXEL,
        visibility=triples[:, 2].astype(np.uint8),
        area=area,
        box=(x, y, width, height),
        is_crowd=bool(entry.get("iscrowd", 0)),
    )


def _annotation(person: PersonAnnotation, number: int, image_id: int) -> dict[str, Any]:
    labelled = person.visibility > 0
    points = np.where(labelled[:, None], person.keypoints.astype(np.float64) - _HALF_PIXEL, 0).round(3)
    return {
        "id": number,
        "image_id": image_id,
        "category_id": CATEGORY_ID,
        "iscrowd": int(person.is_crowd),
        "bbox": list(person.box),
        "area": person.area,
        "num_keypoints": int(labelled.sum()),
        "keypoints": np.concatenate([points, person.visibility[:, None]], axis=1).ravel().tolist(),
    }
