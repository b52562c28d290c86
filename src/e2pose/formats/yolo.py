"""YOLO pose data sets: a `data.yaml`, images, and for each image a text file with one line per person.

Coordinates are fractions of the image's width and height, so (1, 1) is the far corner: they are multiplied by the size,
and nothing is added. Files converted from COCO by dividing whole numbers have lost half a pixel, which cannot be
detected here; read the COCO file instead where there is one.

Source: docs.ultralytics.com/datasets/pose, "Ultralytics YOLO format".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from e2pose.core.annotations import Annotations, ImageAnnotation, PersonAnnotation
from e2pose.core.errors import AnnotationError
from e2pose.core.files import read_text, reason_of
from e2pose.formats.boxes import DEFAULT_AREA_RATIO, derive_box
from e2pose.formats.coco_categories import CategoryChoice
from e2pose.formats.data_yaml import DataYaml, read_data_yaml
from e2pose.formats.fields import FieldError, show
from e2pose.formats.reading_log import ReadingLog

_BOX_TOLERANCE = 0.01  # a box that exceeds the image by more is probably given in pixels
_MAX_FRACTION = 2.0  # a keypoint farther away is certainly given in pixels


def read_yolo(
    path: str | Path,
    split: str,
    *,
    suffixes: Collection[str],
    size_of: Callable[[Path], tuple[int, int]],
    category: CategoryChoice = None,
) -> Annotations:
    """Reads one split of a YOLO pose data set, with file names relative to `read_data_yaml(path).folder`.

    An image without a text file or with an empty one has no persons. A line without keypoints is a person without
    keypoints. With two values per keypoint, a keypoint at (0, 0) or with a negative value is not labelled, and all
    others are visible. `Annotations.omitted` counts lines of other classes.

    Args:
        path: The `data.yaml`.
        split: "train", "val" or "test".
        suffixes: Suffixes of image files in folders.
        size_of: Returns (height, width) of an image file.
        category: Name or index of the class to read, or several; None for "person" or the only class.

    Raises:
        AnnotationError: A file cannot be read, lines are invalid, or no image has a text file; the message lists the
            first invalid lines.
        MissingExtraError: PyYAML is not installed.
    """
    data = read_data_yaml(path, category=category)
    if split not in data.splits:
        raise AnnotationError(
            f"'{path}' has no split '{split}'; available: {', '.join(data.splits) or 'none'}",
            "use one of its splits, or add this one to the file",
        )
    log = ReadingLog(path)
    if data.missing_folder:
        log.note(f"there is no folder '{data.missing_folder}' (path), so paths are relative to the folder of the file")
    paths = list(_find_images(data, split, suffixes, log))
    log.raise_if_invalid()
    if paths and not any(_exists(_label_path(image)) for image in paths):
        raise AnnotationError(
            f"'{path}': no image of '{split}' has a text file; for example '{_label_path(paths[0])}' is missing",
            "put the labels into a folder 'labels' beside the folder 'images', under the names of the images",
        )
    images = []
    for number, image in enumerate(paths, start=1):
        size_hw = size_of(image)
        name = image.relative_to(data.folder) if image.is_relative_to(data.folder) else image
        images.append(
            ImageAnnotation(
                id=number,
                file_name=name.as_posix(),
                size_hw=size_hw,
                persons=tuple(_read_persons(_label_path(image), data, size_hw, log)),
                labelled_keypoints=tuple(range(len(data.schema))),
            )
        )
    log.raise_if_invalid()
    return Annotations(data.schema, tuple(images), log.omitted, log.notes)


def _find_images(data: DataYaml, split: str, suffixes: Collection[str], log: ReadingLog) -> Iterator[Path]:
    """Yields the images of a split, whose entries are folders or text files with one path per line.

    Hidden files and folders are skipped, which include the AppleDouble files of macOS such as "._a.jpg".
    """
    for entry in data.splits[split]:
        path = _resolve(data, entry)
        if path.is_dir():
            yield from list_images(path, suffixes)
            continue
        for number, line in enumerate(_read_lines(path), start=1):
            image = data.folder / line.strip().replace("\\", "/")
            if line.strip().startswith("./") and not _exists(image):
                image = path.parent / line.strip()
            if not line.strip() or image.name.startswith("._"):
                continue
            if image.name in ("", "..") or "\0" in line:
                log.invalid(f"'{path}', line {number}", f"it must be the path of an image, not {show(line)}")
            else:
                yield image


def list_images(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """Returns the image files in a folder and its subfolders, sorted and without hidden ones.

    Raises:
        AnnotationError: The folder cannot be read.
    """
    try:
        files = [file for file in folder.rglob("*") if file.suffix.lower() in suffixes]
    except OSError as error:
        reason = reason_of(error)
        raise AnnotationError(f"cannot read the folder '{folder}': {reason}", "check its permissions") from error
    return sorted(file for file in files if not _is_hidden(file.relative_to(folder)))


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # for example, the name is too long
        return False


def _resolve(data: DataYaml, entry: str) -> Path:
    """Returns the path of an entry; some exports write "../train/images" instead of "train/images"."""
    paths = [data.folder / entry, data.folder / entry.removeprefix("../")]
    for path in paths:
        if _exists(path):
            return path
    raise AnnotationError(
        f"'{data.path}' names '{entry}', but there is no '{paths[0]}'",
        "correct this entry, or remove it if the split does not exist; paths are relative to the entry 'path', or "
        "without it to the folder of the file",
    )


def _label_path(image: Path) -> Path:
    """Returns the text file of an image: in the folder `labels` instead of `images`, or else beside the image."""
    parts = list(image.parts)
    folders = [index for index, part in enumerate(parts[:-1]) if part == "images"]
    if folders:
        parts[folders[-1]] = "labels"
    return Path(*parts).with_suffix(".txt")


def _read_persons(path: Path, data: DataYaml, size_hw: tuple[int, int], log: ReadingLog) -> Iterator[PersonAnnotation]:
    if not _exists(path):
        log.note("there is no text file, so the image has no persons", "images")
        return
    lines = _read_lines(path)
    if not any(line.strip() for line in lines):
        log.note("the text file is empty, so the image has no persons", "images")
    for number, line in enumerate(lines, start=1):
        where = f"'{path}', line {number}"
        with log.entry(where):
            values = _parse_numbers(line)
            if not len(values):
                continue
            if not values[0].is_integer():
                raise FieldError(f"the class must be a whole number, not {values[0]:g}")
            if values[0] not in data.selected:
                name = data.classes.get(int(values[0]))
                reason = "the class is not in 'names'" if name is None else f"the class '{name}' is not read"
                log.omit("lines", reason, f"{where}, class {values[0]:g}")
                continue
            person = _parse_person(values, data, size_hw, log)
            if person is None:
                log.omit("lines", "the box has no size, and the labelled keypoints do not span one", where)
            else:
                yield person


def _parse_numbers(line: str) -> Float64[np.ndarray, "_"]:
    """Returns the numbers of a line, separated by spaces, tabs or commas."""
    words = line.replace(",", " ").split()
    try:
        return np.array(words, dtype=np.float64)
    except ValueError:
        for word in words:
            try:
                np.float64(word)
            except ValueError:
                raise FieldError(f"{show(word)} is not a number") from None
        raise


def _parse_person(
    values: Float64[np.ndarray, "_"], data: DataYaml, size_hw: tuple[int, int], log: ReadingLog
) -> PersonAnnotation | None:
    """Returns the person of a line; None if the box has no size and cannot be derived from the keypoints."""
    _check_count(len(values), data)
    points, visibility = _parse_keypoints(values[5:], data)
    size_xy = np.array(size_hw[::-1])
    keypoints = (points * size_xy).astype(np.float32)
    centre, extent = values[1:3], values[3:5]
    low, high = centre - extent / 2, centre + extent / 2
    if not (extent.min() >= 0 and low.min() >= -_BOX_TOLERANCE and high.max() <= 1 + _BOX_TOLERANCE):
        raise FieldError(f"the box {values[1:5].tolist()} must be inside the image, in fractions of its size")
    (x, y), (width, height) = (low * size_xy).tolist(), (extent * size_xy).tolist()
    box = (x, y, width, height)
    if min(width, height) == 0 and visibility.any():
        derived = derive_box(keypoints, visibility, size_hw)
        if derived is None:
            return None
        log.note("the box has no size, so it is derived from the keypoints", "lines")
        box = derived
    return PersonAnnotation(keypoints, visibility, DEFAULT_AREA_RATIO * box[2] * box[3], box)


def _check_count(count: int, data: DataYaml) -> None:
    """Raises a `FieldError` if a line has the wrong number of values; a line may have no keypoints."""
    num_keypoints, per_keypoint = len(data.schema), data.values_per_keypoint
    other = 5 - per_keypoint
    if count not in (5, 5 + num_keypoints * per_keypoint):
        raise FieldError(
            f"there must be {5 + num_keypoints * per_keypoint} numbers (class, 4 for the box, {per_keypoint} for each "
            f"of {num_keypoints} keypoints), not {count}"
            + (f"; that fits kpt_shape [{num_keypoints}, {other}]" if count == 5 + num_keypoints * other else "")
            + ("; a confidence at the end is not accepted" if count == 6 + num_keypoints * per_keypoint else "")
        )


def _parse_keypoints(values: Float64[np.ndarray, "_"], data: DataYaml) -> tuple[np.ndarray, np.ndarray]:
    """Returns positions (K, 2), as fractions of the image, and visibility (K,) from the values behind the box."""
    num_keypoints, per_keypoint = len(data.schema), data.values_per_keypoint
    if not len(values):
        return np.zeros((num_keypoints, 2)), np.zeros(num_keypoints, np.uint8)
    table = values.reshape(num_keypoints, per_keypoint)
    points = table[:, :2]
    is_labelled = (points >= 0).all(axis=1) & points.any(axis=1)
    visibility = table[:, 2] if per_keypoint == 3 else np.where(is_labelled, 2.0, 0.0)
    has_position = (np.abs(points) <= _MAX_FRACTION).all(axis=1)
    for name, number, point, is_valid in zip(
        data.schema.keypoints, visibility.tolist(), points, has_position, strict=True
    ):
        if number not in (0, 1, 2):
            raise FieldError(f"the visibility of '{name}' must be 0, 1 or 2, not {number:g}")
        if number > 0 and not is_valid:
            raise FieldError(
                f"'{name}' is at {point.tolist()}; keypoints must be in fractions of the image, not in pixels"
            )
    return np.where(has_position[:, None], points, 0), visibility.astype(np.uint8)


def _read_lines(path: Path) -> list[str]:
    try:
        return read_text(path).splitlines()
    except (OSError, UnicodeError) as error:
        reason = reason_of(error)
        raise AnnotationError(f"cannot read '{path}': {reason}", "check the file and its permissions") from error
