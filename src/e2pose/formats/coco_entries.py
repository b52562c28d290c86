"""Images and persons of COCO annotations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

import numpy as np
from jaxtyping import Float32, UInt8

from e2pose.core.annotations import ImageAnnotation, PersonAnnotation
from e2pose.core.errors import E2PoseError
from e2pose.formats.boxes import DEFAULT_AREA_RATIO, Box, derive_box
from e2pose.formats.fields import LARGEST, FieldError, is_missing, require, show, to_flag, to_id, to_integer, to_number
from e2pose.formats.reading_log import ReadingLog

HALF_PIXEL = np.float32(0.5)
"""Offset from COCO's keypoint coordinates to those of e2pose."""

_VISIBILITIES = frozenset((0, 1, 2))

SizeReader = Callable[[str], tuple[int, int]]
"""Returns (height, width) of the image file with a name."""


def parse_image(entry: Mapping[str, Any], num_keypoints: int, size_of: SizeReader | None) -> ImageAnnotation:
    """Returns an image without persons.

    Raises:
        FieldError: A field is missing or invalid.
    """
    name = _parse_file_name(entry)
    crowd_index = entry.get("crowdIndex")
    crowding = None if is_missing(crowd_index) else to_number(crowd_index, "crowdIndex")
    if crowding is not None and not 0 <= crowding <= 1:
        raise FieldError(f"'crowdIndex' must be from 0 to 1, not {show(crowd_index)}")
    return ImageAnnotation(
        id=to_id(require(entry, "id"), "id"),
        file_name=name,
        size_hw=_parse_size(entry, name, size_of),
        persons=(),
        labelled_keypoints=_parse_labelled(entry.get("labelled_keypoints"), num_keypoints),
        exhaustive=to_flag(entry.get("exhaustive"), "exhaustive", default=True),
        ignore=_parse_ignore(entry.get("ignore")),
        crowd_index=crowding,
        group=PurePosixPath(name).parent.name,
    )


def _parse_file_name(entry: Mapping[str, Any]) -> str:
    """Returns the file name with forward slashes; of an address, the name of its file."""
    names = [entry[key] for key in ("file_name", "coco_url", "flickr_url") if not is_missing(entry.get(key))]
    if not names:
        raise FieldError("the field 'file_name' is missing")
    name = str(names[0]).replace("\\", "/")
    if isinstance(names[0], list | dict | bool) or "\0" in name or not _is_encodable(name):
        raise FieldError(f"'file_name' must be the name of a file, not {show(names[0])}")
    if "://" in name:
        _, _, address_path = name.partition("://")[2].partition("?")[0].partition("/")
        name = PurePosixPath(unquote(address_path)).name
    if not PurePosixPath(name).name:
        raise FieldError(f"'file_name' must be the name of a file, not {show(names[0])}")
    return name


def _is_encodable(name: str) -> bool:
    try:
        name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _parse_size(entry: Mapping[str, Any], name: str, size_of: SizeReader | None) -> tuple[int, int]:
    values = entry.get("height"), entry.get("width")
    if any(is_missing(value) or value == 0 for value in values):
        if size_of is None:
            raise FieldError("the fields 'height' and 'width' are missing")
        try:
            return size_of(name)
        except E2PoseError as error:
            raise FieldError(f"'height' and 'width' are missing, and {error.message}") from error
    size_hw = to_integer(values[0], "height"), to_integer(values[1], "width")
    if min(size_hw) < 1:
        raise FieldError(f"'height' and 'width' must be positive, not {show(list(values))}")
    return size_hw


def _parse_labelled(value: object, num_keypoints: int) -> tuple[int, ...]:
    if value is None:
        return tuple(range(num_keypoints))
    labelled = tuple(to_integer(index, "labelled_keypoints") for index in value) if isinstance(value, list) else (-1,)
    if not all(0 <= index < num_keypoints for index in labelled):
        raise FieldError(
            f"'labelled_keypoints' must be a list of indices from 0 to {num_keypoints - 1}, not {show(value)}"
        )
    return labelled


def _parse_ignore(value: object) -> Float32[np.ndarray, "r 4"]:
    if is_missing(value):
        return np.zeros((0, 4), np.float32)
    boxes = _to_array(value)
    if boxes is None or boxes.size % 4 or boxes.ndim > 2 or boxes.shape[-1] % 4 or not (np.abs(boxes) <= LARGEST).all():
        raise FieldError(f"'ignore' must be a list of boxes: x, y, width, height; not {show(value)}")
    return boxes.reshape(-1, 4).astype(np.float32)


def parse_person(
    entry: Mapping[str, Any], names: Sequence[str], size_hw: tuple[int, int], log: ReadingLog
) -> PersonAnnotation | None:
    """Returns a person, whose keypoints are not labelled if the entry has none; missing boxes and areas are derived.

    None if there is no box and it cannot be derived from the labelled keypoints.

    Raises:
        FieldError: A field is invalid.
    """
    keypoints, visibility = _parse_keypoints(entry.get("keypoints"), names)
    box = _parse_box(entry.get("bbox"))
    if box is None and not visibility.any():
        log.note("there is neither a box nor a labelled keypoint, so the position is unknown", "annotations")
        box = (0.0, 0.0, 0.0, 0.0)
    if box is None:
        box = derive_box(keypoints, visibility, size_hw)
        if box is None:
            return None
        log.note("the box is missing or has no size, so it is derived from the keypoints", "annotations")
    area = 0.0 if is_missing(entry.get("area")) else to_number(entry["area"], "area")
    if area <= 0:
        if box[2] > 0 and not is_missing(entry.get("area")):
            log.note(f"the area is not positive, so it is {DEFAULT_AREA_RATIO} of the box", "annotations")
        area = DEFAULT_AREA_RATIO * box[2] * box[3]
    return PersonAnnotation(keypoints, visibility, area, box, to_flag(entry.get("iscrowd"), "iscrowd"))


def _parse_box(value: object) -> Box | None:
    """Returns the box; None if it is missing or has no size."""
    if is_missing(value) or (isinstance(value, list) and all(map(is_missing, value))):
        return None
    if not isinstance(value, list) or len(value) != 4:
        raise FieldError(f"'bbox' must be x, y, width and height, not {show(value)}")
    x, y, width, height = (to_number(number, "bbox") for number in value)
    if min(width, height) < 0:
        raise FieldError(f"'bbox' must have a width and a height that are not negative, not {show(value)}")
    return (x, y, width, height) if min(width, height) > 0 else None


def _parse_keypoints(value: object, names: Sequence[str]) -> tuple[Float32[np.ndarray, "k 2"], UInt8[np.ndarray, "k"]]:
    """Returns positions and visibility; nothing is labelled if the value is missing."""
    count = len(names)
    if is_missing(value):
        return np.zeros((count, 2), np.float32), np.zeros(count, np.uint8)
    numbers = _to_array(value)
    if numbers is None or not isinstance(value, list):
        raise FieldError(f"'keypoints' must be a list of numbers, not {show(value)}")
    if numbers.shape not in ((3 * count,), (count, 3)):
        raise FieldError(
            f"'keypoints' must have x, y and visibility of {count} keypoints: {3 * count} numbers, not {numbers.size}"
        )
    triples = numbers.reshape(count, 3)
    is_usual = np.abs(numbers).max() <= LARGEST and bool not in map(type, value)  # the other checks are slow
    if not is_usual or not _VISIBILITIES.issuperset(triples[:, 2].tolist()):
        triples = _check_triples(triples, value, names)
    return triples[:, :2].astype(np.float32) + HALF_PIXEL, triples[:, 2].astype(np.uint8)


def _check_triples(triples: np.ndarray, value: list[Any], names: Sequence[str]) -> np.ndarray:
    """Returns x, y and visibility (K, 3) of an entry with true, null or invalid values; true means visible."""
    points, visibility = triples[:, :2], triples[:, 2]
    if len(value) == triples.size:
        visibility = np.where([flag is True for flag in value[2::3]], 2, visibility)
    has_position = (np.abs(points) <= LARGEST).all(axis=1)
    visibility = np.where(np.isnan(visibility) & ~has_position, 0, visibility)
    for index, number in enumerate(visibility.tolist()):
        if number not in _VISIBILITIES:
            raise FieldError(f"the visibility of '{names[index]}' must be 0, 1 or 2, not {number:g}")
        if number > 0 and not has_position[index]:
            raise FieldError(f"'{names[index]}' has the visibility {number:g}, but no valid position")
    return np.column_stack([np.where(has_position[:, None], points, 0), visibility])


def _to_array(value: object) -> np.ndarray | None:
    """Returns a list of numbers as float64, with NaN for null; None if it is something else."""
    try:
        return np.array(value, dtype=np.float64) if isinstance(value, list) else None
    except (TypeError, ValueError, OverflowError):
        return None
