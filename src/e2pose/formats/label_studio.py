"""Label Studio: its JSON export, with `KeyPointLabels` and, where there are several instances, `RectangleLabels`.

Coordinates are percentages of the image's width and height, so 100 is the far corner: nothing is added.

Source: labelstud.io/guide/export, "Label Studio JSON format"; labelstud.io/tags/keypointlabels.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from e2pose.core.errors import AnnotationError
from e2pose.formats.boxes import Box
from e2pose.formats.fields import FieldError, is_missing, require, show, to_flag, to_integer, to_number
from e2pose.formats.json_file import load_json
from e2pose.formats.reading_log import ReadingLog
from e2pose.formats.tool_entries import (
    BoxLabel,
    ImageAccess,
    Keypoints,
    LabelledImage,
    LabelledImages,
    Point,
    group_points,
    is_file,
    locate,
    read_size,
    to_annotations,
)

_HINT = "export the project from Label Studio as JSON, not as JSON-MIN or CSV"
_ADVICE = "make each point a child of a rectangle, or draw a rectangle around each instance"
_WHOLE_IMAGE = (0.0, 0.0, 100.0, 100.0)
_UPLOAD_PREFIX = re.compile("[0-9a-f]{8}-")  # that Label Studio puts before the names of uploaded files


def read_label_studio(path: Path, images: Path | None, access: ImageAccess) -> LabelledImages:
    """Reads a JSON export of Label Studio.

    A point belongs to the rectangle that is its parent or has a relation to it, otherwise to the smallest rectangle
    around it. Without rectangles the points of an image are one instance. Of several annotations of a task the latest
    is read. Predictions, and tasks without an annotation, are omitted. The group of an image is its folder.

    Args:
        path: The JSON file.
        images: Folder of the image files; None for `images` beside the file, or its own folder.
        access: Access to the image files.

    Raises:
        AnnotationError: The file cannot be read or has invalid entries; the message lists the first of them.
    """
    tasks = load_json(path, "the labels", _HINT)
    if not isinstance(tasks, list):
        raise AnnotationError(f"'{path}' is not an export of Label Studio: it must be a list of tasks", _HINT)
    folder = images or path.parent
    log = ReadingLog(path)
    found = []
    for position, task in enumerate(tasks):
        with log.entry(_name(task, position)):
            image = _read_task(task, folder, access, log, _name(task, position))
            found += [] if image is None else [image]
    return LabelledImages(folder, to_annotations(Keypoints("label-studio"), found, path, log))


def _name(task: object, position: int) -> str:
    task_id = task.get("id") if isinstance(task, dict) else None
    return f"task at position {position}" if task_id is None else f"task {show(task_id)}"


def _read_task(task: object, folder: Path, access: ImageAccess, log: ReadingLog, where: str) -> LabelledImage | None:
    if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
        raise FieldError("it must have the field 'data'; " + _HINT)
    annotations = task.get("annotations", task.get("completions"))
    if not isinstance(annotations, list):
        raise FieldError("it must have the list 'annotations'; " + _HINT)
    if not is_missing(task.get("predictions")):
        log.omit("predictions", "they are not labels", where)
    complete = [
        one for one in annotations if isinstance(one, dict) and not to_flag(one.get("was_cancelled"), "was_cancelled")
    ]
    if not complete:
        log.omit("tasks", "they have no annotation, so they may not be labelled yet", where)
        return None
    if len(complete) > 1:
        log.note("there are several annotations, of which the latest is read", "tasks")
    latest = max(complete, key=lambda one: str(one.get("updated_at") or ""))
    results = latest.get("result")
    if not isinstance(results, list) or not all(isinstance(one, dict) for one in results):
        raise FieldError("'result' of its annotation must be a list of regions")
    name, group = _find_image(task["data"], folder)
    points, boxes, size_hw = _read_regions(results, log, where)
    if size_hw is None:
        size_hw = read_size(folder / name, access.size_of)
    height, width = size_hw
    scaled = [Point(one.name, one.x * width / 100, one.y * height / 100, group=one.group) for one in points]
    placed = [BoxLabel(_scale(one.box, width, height), one.group) for one in boxes]
    return LabelledImage(name, size_hw, group_points(scaled, placed, _ADVICE), group)


def _scale(box: Box | None, width: int, height: int) -> Box | None:
    """Returns a box in pixels; None for a rectangle around the whole image, which tools write without a box."""
    if box is None or box == _WHOLE_IMAGE:
        return None
    return box[0] * width / 100, box[1] * height / 100, box[2] * width / 100, box[3] * height / 100


def _find_image(data: Mapping[str, Any], folder: Path) -> tuple[str, str]:
    """Returns the name of a task's image file relative to the folder, and the folder in its address."""
    addresses = [value for value in data.values() if isinstance(value, str) and re.search(r"\.\w{3,4}($|\?)", value)]
    address = next((data[key] for key in ("image", "img", "ocr") if isinstance(data.get(key), str)), None)
    address = address or next(iter(addresses), None)
    if not address:
        raise FieldError(f"'data' must have the address of an image, not {show(dict(data))}")
    parts = urlsplit(address)
    local = parse_qs(parts.query).get("d")  # of files served from a local folder
    stored = local[0] if local else unquote(parts.path)
    name = locate(stored, folder)
    if not is_file(folder / name) and (match := _UPLOAD_PREFIX.match(name)):
        original = locate(name[match.end() :], folder)
        name = original if is_file(folder / original) else name
    group = Path(stored).parent.name if local or parts.scheme else ""
    return name, group


def _read_regions(
    results: list[dict[str, Any]], log: ReadingLog, where: str
) -> tuple[list[Point], list[BoxLabel], tuple[int, int] | None]:
    """Returns points and boxes in percent of the image, and (height, width) of the image if a region states it."""
    rectangles = {str(one.get("id")) for one in results if one.get("type") == "rectanglelabels"}
    owners = _find_owners(results, rectangles)
    points: list[Point] = []
    boxes: list[BoxLabel] = []
    sizes: set[tuple[int, int]] = set()
    for one in results:
        kind, region = one.get("type"), str(one.get("id"))
        if kind == "keypointlabels":
            points.append(_parse_point(_value(one), region, owners.get(region, "")))
        elif kind == "rectanglelabels":
            boxes.append(BoxLabel(_parse_box(_value(one), region), region if region in owners.values() else ""))
        else:
            if kind != "relation":
                log.omit("regions", f"the type {show(kind)} is not read", where)
            continue
        if to_number(one.get("image_rotation") or 0, "image_rotation"):
            raise FieldError("the image is rotated in Label Studio, which is not supported; label it upright")
        size = one.get("original_height"), one.get("original_width")
        if not any(is_missing(side) for side in size):
            sizes.add((to_integer(size[0], "original_height"), to_integer(size[1], "original_width")))
    if len(sizes) > 1:
        raise FieldError(f"its regions state different sizes of the image: {sorted(sizes)}")
    return points, boxes, next(iter(sizes), None)


def _find_owners(results: list[dict[str, Any]], rectangles: Collection[str]) -> dict[str, str]:
    """Returns the rectangle of each region that is its child or has a relation to it."""
    owners = {str(one.get("id")): str(one["parentID"]) for one in results if one.get("parentID") in rectangles}
    for one in results:
        if one.get("type") == "relation":
            start, end = str(one.get("from_id")), str(one.get("to_id"))
            owners |= {start: end} if end in rectangles else {end: start} if start in rectangles else {}
    return owners


def _parse_point(value: Mapping[str, Any], region: str, owner: str) -> Point:
    label = value.get("keypointlabels")
    if not isinstance(label, list) or len(label) != 1:
        raise FieldError(f"point {region} must have one label, not {show(label)}")
    x, y = (to_number(require(value, axis), axis) for axis in ("x", "y"))
    return Point(str(label[0]), x, y, group=owner)


def _parse_box(value: Mapping[str, Any], region: str) -> Box:
    if to_number(value.get("rotation") or 0, "rotation"):
        raise FieldError(f"rectangle {region} is rotated, which is not supported; draw it upright")
    x, y, width, height = (to_number(require(value, side), side) for side in ("x", "y", "width", "height"))
    return x, y, width, height


def _value(region: Mapping[str, Any]) -> Mapping[str, Any]:
    value = region.get("value")
    if not isinstance(value, dict):
        raise FieldError(f"region {region.get('id')} must have the mapping 'value', not {show(value)}")
    return value
