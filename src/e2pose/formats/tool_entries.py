"""From the points that annotation tools store to annotations: instances, keypoint names and file names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from e2pose.core.annotations import Annotations, ImageAnnotation, PersonAnnotation
from e2pose.core.errors import AnnotationError, E2PoseError, SchemaError
from e2pose.core.schema import KeypointSchema, find_built_in_schema, load_schema, schema_names
from e2pose.core.sides import find_mirrored_names
from e2pose.formats.boxes import DEFAULT_AREA_RATIO, Box, derive_box
from e2pose.formats.fields import FieldError, show
from e2pose.formats.reading_log import ReadingLog

HIDDEN, VISIBLE = 1, 2
"""Values of `PersonAnnotation.visibility`."""

ImageSizeReader = Callable[[Path], tuple[int, int]]
"""Returns (height, width) of an image file."""


def frame_name(index: int) -> str:
    """Returns the name of the image file of an extracted frame."""
    return f"{index:06d}.png"


@dataclass(frozen=True)
class ImageAccess:
    """What readers need from image files."""

    size_of: ImageSizeReader
    swap_red_and_blue: Callable[[bytes], bytes]  # of an encoded image; returns a PNG file
    extract_frames: Callable[[Path, Collection[int], Path], None]
    """Writes frames of a film, by their index from 0, into a folder under the names of `frame_name`."""
    cache: Path  # folder for images that are stored inside a file of labels or in a film


@dataclass(frozen=True)
class LabelledImages:
    """Annotations, and the folder that their file names are relative to."""

    folder: Path
    annotations: Annotations


@dataclass(frozen=True)
class Point:
    """A labelled point. Coordinates as in `PersonAnnotation`."""

    name: str
    x: float
    y: float
    is_hidden: bool = False
    group: str = ""  # points with the same group belong to one instance; empty if the tool does not state it


@dataclass(frozen=True)
class BoxLabel:
    """The box of an instance, as x, y, width and height."""

    box: Box | None  # None: it only states that there is an instance
    group: str = ""  # that of the instance's points


@dataclass(frozen=True)
class Instance:
    """An instance as a tool stores it."""

    points: Sequence[Point]
    where: str  # for messages
    box: Box | None = None


@dataclass(frozen=True)
class LabelledImage:
    """An image as a tool stores it."""

    file_name: str  # relative to the folder of the images
    size_hw: tuple[int, int]
    instances: Sequence[Instance]
    group: str = ""
    labelled_names: Collection[str] | None = None  # keypoints that could be labelled; None for all


@dataclass(frozen=True)
class Keypoints:
    """Names and edges of keypoints, as far as the tool states them."""

    category: str
    names: Sequence[str] = ()  # empty: the names of the labelled points, in the order of their first appearance
    edges: Sequence[tuple[str, str]] = ()
    flip_pairs: Sequence[tuple[str, str]] = ()  # empty: names that differ only in their side


def to_annotations(
    keypoints: Keypoints, images: Sequence[LabelledImage], path: str | Path, log: ReadingLog
) -> Annotations:
    """Returns the annotations of a tool's images; missing boxes are derived as for COCO.

    Raises:
        AnnotationError: The log has invalid entries, two images have the same file name, or there is no keypoint.
    """
    names_seen: set[str] = set()
    for image in images:
        if image.file_name in names_seen:
            log.invalid(f"image '{image.file_name}'", "another image has the same file; remove one of them")
        names_seen.add(image.file_name)
    log.raise_if_invalid()
    schema = _make_schema(keypoints, images, path)
    positions = {name: index for index, name in enumerate(schema.keypoints)}
    annotated = []
    for number, image in enumerate(images, start=1):
        persons = []
        for instance in image.instances:
            with log.entry(f"image '{image.file_name}', {instance.where}"):
                person = _to_person(instance, positions, image, log)
                persons += [] if person is None else [person]
        labelled = schema.keypoints if image.labelled_names is None else image.labelled_names
        indices = tuple(index for index, name in enumerate(schema.keypoints) if name in labelled)
        annotated.append(
            ImageAnnotation(number, image.file_name, image.size_hw, tuple(persons), indices, group=image.group)
        )
    log.raise_if_invalid()
    return Annotations(schema, tuple(annotated), log.omitted, log.notes)


def _make_schema(keypoints: Keypoints, images: Sequence[LabelledImage], path: str | Path) -> KeypointSchema:
    points = (point for image in images for instance in image.instances for point in instance.points)
    names = tuple(keypoints.names) or _in_usual_order(tuple(dict.fromkeys(point.name for point in points)))
    if not names:
        raise AnnotationError(
            f"'{path}' has no labelled keypoint", "label points in some of its images, and export again"
        )
    if built_in := find_built_in_schema(names):
        return built_in
    edges = [edge for edge in dict.fromkeys(keypoints.edges) if edge[0] != edge[1] and set(edge) <= set(names)]
    flip_pairs = keypoints.flip_pairs or find_mirrored_names(names)
    try:
        return KeypointSchema.from_names(keypoints.category, names, edges=edges, flip_pairs=flip_pairs)
    except SchemaError as error:
        raise AnnotationError(f"the keypoints of '{path}' are invalid: {error}", error.hint) from error


def _in_usual_order(names: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the names in the order of a built-in schema that has the same ones."""
    usual = (load_schema(name).keypoints for name in schema_names())
    return next((order for order in usual if len(order) == len(names) and set(order) == set(names)), names)


def _to_person(
    instance: Instance, positions: Mapping[str, int], image: LabelledImage, log: ReadingLog
) -> PersonAnnotation | None:
    """Returns a person; None if it has no box and its points do not span one."""
    points = np.zeros((len(positions), 2), np.float32)
    visibility = np.zeros(len(positions), np.uint8)
    for point in instance.points:
        index = positions.get(point.name)
        if index is None:
            raise FieldError(f"'{point.name}' is not a keypoint; there are: {', '.join(positions)}")
        if visibility[index]:
            raise FieldError(f"it has two points '{point.name}'")
        points[index] = point.x, point.y
        visibility[index] = HIDDEN if point.is_hidden else VISIBLE
    box = instance.box
    if box is None:
        box = derive_box(points, visibility, image.size_hw)
        if box is None:
            where = f"image '{image.file_name}', {instance.where}"
            log.omit("instances", "there is no box, and the labelled keypoints do not span one", where)
            return None
        log.note("there is no box, so it is derived from the keypoints", "instances")
    return PersonAnnotation(points, visibility, DEFAULT_AREA_RATIO * box[2] * box[3], box)


def group_points(points: Sequence[Point], boxes: Sequence[BoxLabel], advice: str) -> list[Instance]:
    """Returns the instances of an image in a tool that labels points and boxes one by one.

    Points and boxes with the same group are one instance. Other points belong to the smallest box around them. If
    there is none, they are one instance, in which each name occurs once.

    Args:
        points: All points of the image.
        boxes: All boxes of the image.
        advice: How to group points in this tool, for the error message.

    Raises:
        FieldError: It is not clear which points belong together.
    """
    members: dict[str, list[Point]] = {}
    box_of: dict[str, Box | None] = {}
    free_boxes: dict[str, Box] = {}
    for number, label in enumerate(boxes, start=1):
        key = f"group {label.group}" if label.group else f"box {number}"
        if key in box_of:
            raise FieldError(f"two boxes have the same group '{label.group}'")
        box_of[key] = label.box
        members[key] = []
        if label.box is not None and not label.group:
            free_boxes[key] = label.box
    for point in points:
        around = [key for key, box in free_boxes.items() if _contains(box, point)]
        smallest = min(around, key=lambda one: free_boxes[one][2] * free_boxes[one][3], default="the image")
        members.setdefault(f"group {point.group}" if point.group else smallest, []).append(point)
    for key, group in members.items():
        repeated = [name for name, count in Counter(point.name for point in group).items() if count > 1]
        if repeated:
            raise FieldError(
                f"{key} has several points '{repeated[0]}', so it is unclear how they belong together; {advice}"
            )
    kept = {key: group for key, group in members.items() if group or box_of[key] is not None}
    return [Instance(group, key, box_of.get(key)) for key, group in kept.items()]


def _contains(box: Box, point: Point) -> bool:
    x, y, width, height = box
    return x <= point.x <= x + width and y <= point.y <= y + height


def locate(name: str, folder: Path) -> str:
    """Returns the name of an image file relative to a folder, from the path or address that a tool stores.

    The file is searched under the whole path, then without its first folders, each also in the subfolder `images`. If
    it is in none of these places, the last part of the path is returned.
    """
    parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("/", ".", "..")]
    for start in range(len(parts)):
        for prefix in ((), ("images",)):
            relative = PurePosixPath(*prefix, *parts[start:])
            if is_file(folder / relative):
                return str(relative)
    return parts[-1] if parts else name


def is_file(path: Path) -> bool:
    """Returns whether there is a file; also of names that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def read_size(path: Path, size_of: ImageSizeReader) -> tuple[int, int]:
    """Returns (height, width) of an image file.

    Raises:
        FieldError: It cannot be read.
    """
    try:
        return size_of(path)
    except E2PoseError as error:
        raise FieldError(f"its size cannot be read: {error.message}") from error
    except (OSError, ValueError) as error:
        raise FieldError(f"{show(path.name)} cannot be the name of its image file") from error
