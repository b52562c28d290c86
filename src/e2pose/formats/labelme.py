"""LabelMe: a JSON file beside each image, with points and, where there are several instances, rectangles.

LabelMe draws points on a canvas where (0, 0) is the outer corner of the first pixel: nothing is added.

Source: github.com/wkentaro/labelme, `labelme/_label_file.py` (fields) and `labelme/widgets/canvas.py` (origin).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from e2pose.core.errors import AnnotationError
from e2pose.formats.boxes import Box
from e2pose.formats.fields import FieldError, is_missing, require, show, to_integer, to_number
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

_ADVICE = "give the points of an instance the same group id in LabelMe, or draw a rectangle around each instance"
_HINT = "use the JSON files that LabelMe saves"
_HIDDEN_FLAGS = {"occluded", "hidden", "invisible"}


def read_labelme(path: Path, images: Path | None, access: ImageAccess) -> LabelledImages:
    """Reads all JSON files of LabelMe in a folder and its subfolders, or one file.

    Points with the same group id are one instance, as is what lies in a rectangle without one. A point is hidden if it
    has a flag "occluded", "hidden" or "invisible" that is set. The group of an image is its folder. Images without a
    JSON file are not read.

    Args:
        path: The folder, or a JSON file.
        images: Folder of the image files; None for the folder of the JSON files.
        access: Access to the image files.

    Raises:
        AnnotationError: A file cannot be read or has invalid entries; the message lists the first of them.
    """
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*.json") if not file.name.startswith("."))
    root = path.parent if path.is_file() else path
    folder = images or root
    log = ReadingLog(path)
    found = []
    for file in files:
        where = f"'{file.relative_to(root).as_posix()}'"
        with log.entry(where):
            try:
                record = load_json(file, "the labels", _HINT)
            except AnnotationError as error:
                raise FieldError(error.message) from error
            if not isinstance(record, dict) or not isinstance(record.get("shapes"), list):
                log.omit("files", "they are no labels of LabelMe: there is no list 'shapes'", where)
                continue
            found.append(_read_file(record, file, folder, access, log))
    return LabelledImages(folder, to_annotations(Keypoints("labelme"), found, path, log))


def _read_file(
    record: Mapping[str, Any], file: Path, folder: Path, access: ImageAccess, log: ReadingLog
) -> LabelledImage:
    stored = str(require(record, "imagePath")).replace("\\", "/")
    beside = PurePosixPath(file.parent.relative_to(folder).as_posix()) if file.parent.is_relative_to(folder) else None
    name = locate(stored if beside is None else str(beside / PurePosixPath(stored).name), folder)
    if not is_file(folder / name):
        name = locate(stored, folder)
    size = record.get("imageHeight"), record.get("imageWidth")
    if any(is_missing(side) for side in size):
        size_hw = read_size(folder / name, access.size_of)
    else:
        size_hw = to_integer(size[0], "imageHeight"), to_integer(size[1], "imageWidth")
    points: list[Point] = []
    boxes: list[BoxLabel] = []
    for position, shape in enumerate(record["shapes"]):
        kind = shape.get("shape_type") if isinstance(shape, dict) else shape
        if kind not in ("point", "rectangle"):
            log.omit("shapes", f"the type {show(kind)} is not read", f"shape {position} in '{file.name}'")
            continue
        group = "" if is_missing(shape.get("group_id")) else str(shape["group_id"])
        corners = _parse_points(shape, position)
        if kind == "rectangle":
            boxes.append(BoxLabel(_to_box(corners, position), group))
        else:
            points += [Point(str(require(shape, "label")), *corners[0], _is_hidden(shape), group)]
    return LabelledImage(name, size_hw, group_points(points, boxes, _ADVICE), file.parent.name)


def _parse_points(shape: Mapping[str, Any], position: int) -> list[tuple[float, float]]:
    value = shape.get("points")
    if not isinstance(value, list) or not value or any(not isinstance(xy, list) or len(xy) != 2 for xy in value):
        raise FieldError(f"'points' of shape {position} must be pairs of x and y, not {show(value)}")
    return [(to_number(x, "points"), to_number(y, "points")) for x, y in value]


def _to_box(corners: list[tuple[float, float]], position: int) -> Box:
    if len(corners) < 2:
        raise FieldError(f"rectangle {position} must have two corners, not {show(corners)}")
    xs, ys = zip(*corners, strict=True)
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def _is_hidden(shape: Mapping[str, Any]) -> bool:
    flags = shape.get("flags")
    return isinstance(flags, dict) and any(bool(flags[flag]) for flag in flags if str(flag).lower() in _HIDDEN_FLAGS)
