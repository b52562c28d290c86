"""YOLO pose folders: a `data.yaml`, pictures, and beside each picture's folder a text file with one line per person.

Coordinates are fractions of the picture's width and height, so (1, 1) is its far corner: they are multiplied by the
size and nothing is added. (Files that were made from COCO's by dividing whole numbers have lost half a pixel; it
cannot be known here. Read the COCO file instead where there is one.)

Source: docs.ultralytics.com/datasets/pose, "Ultralytics YOLO format".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from e2pose.core.annotations import Annotations, ImageAnnotation, PersonAnnotation
from e2pose.core.errors import AnnotationError, MissingExtraError, SchemaError
from e2pose.core.schema import KeypointSchema, find_mirrored_names, load_schema, schema_names
from e2pose.formats.coco import AREA_OF_BOX

_SHAPE_HINT = "kpt_shape is [number of keypoints, 2 or 3], such as [17, 3]"
_SLACK = 0.01  # by how much a box may leave the picture before it looks as if it were in pixels


@dataclass(frozen=True)
class YoloFile:
    """What a `data.yaml` says.

    Args:
        path: The file.
        folder: Where the paths in it start from.
        splits: The entries `train`, `val` and `test`, as far as there are any.
        schema: The keypoints; called "0", "1" and so on where the file has no `kpt_names`.
        dimensions: Numbers per keypoint: 2 = x and y, 3 = x, y and visibility.
        person: Number of the class that is read.
    """

    path: Path
    folder: Path
    splits: Mapping[str, tuple[str, ...]]
    schema: KeypointSchema
    dimensions: int
    person: int


def read_yolo(
    path: str | Path, split: str, *, suffixes: Collection[str], size_of: Callable[[Path], tuple[int, int]]
) -> Annotations:
    """Reads one split of a YOLO pose folder. The file names in it are relative to `read_yolo_file(path).folder`.

    A picture without a text file shows nobody. Of a person with two numbers per keypoint, those at (0, 0) or with
    negative numbers are not labelled and all others visible.

    Args:
        path: The `data.yaml`.
        split: "train", "val" or "test".
        suffixes: File names that end like this are pictures.
        size_of: Gives the height and width of a picture.

    Raises:
        AnnotationError: A file cannot be read or a line is wrong; the message names file and line.
        MissingExtraError: PyYAML is not installed.
    """
    file = read_yolo_file(path)
    if split not in file.splits:
        raise AnnotationError(
            f"'{path}' has no split '{split}', but {', '.join(file.splits) or 'none at all'}",
            "name one of its splits, or add this one to the file",
        )
    images = []
    pictures = list(_pictures(file, split, suffixes))
    if pictures and not any(_label_path(picture).exists() for picture in pictures):
        raise AnnotationError(
            f"'{path}': none of the {len(pictures)} pictures of '{split}' has a text file, for example no "
            f"'{_label_path(pictures[0])}'",
            "put the labels into a folder 'labels' beside the folder 'images', under the names of the pictures",
        )
    for number, picture in enumerate(pictures, start=1):
        size_hw = size_of(picture)
        name = picture.relative_to(file.folder) if picture.is_relative_to(file.folder) else picture
        images.append(
            ImageAnnotation(
                id=number,
                file_name=name.as_posix(),
                size_hw=size_hw,
                persons=tuple(_persons(_label_path(picture), file, size_hw)),
                labelled_keypoints=tuple(range(len(file.schema))),
            )
        )
    return Annotations(file.schema, tuple(images))


def read_yolo_file(path: str | Path) -> YoloFile:
    """Reads a `data.yaml`.

    Raises:
        AnnotationError: It cannot be read, or an entry is missing or wrong.
        MissingExtraError: PyYAML is not installed.
    """
    path = Path(path)
    record = _load(path)
    names = record.get("names", {})
    classes = dict(enumerate(names)) if isinstance(names, list) else dict(names) if isinstance(names, Mapping) else {}
    people = [number for number, name in classes.items() if str(name).lower() == "person"] or list(classes)
    if len(people) != 1:
        raise AnnotationError(
            f"'{path}' must have one class, or one that is called 'person', but 'names' is {names}",
            "e2pose learns the keypoints of one kind of thing; write 'names: {0: person}' and keep its lines alone",
        )
    shape = record.get("kpt_shape")
    if not (isinstance(shape, list) and len(shape) == 2 and all(isinstance(size, int) for size in shape)):
        raise AnnotationError(f"'{path}': kpt_shape is wrong: {shape}", _SHAPE_HINT)
    if shape[0] < 1 or shape[1] not in (2, 3):
        raise AnnotationError(f"'{path}': kpt_shape is wrong: {shape}", _SHAPE_HINT)
    splits = {
        name: tuple(map(str, entry if isinstance(entry, list) else [entry]))
        for name in ("train", "val", "test")
        if (entry := record.get(name))
    }
    return YoloFile(
        path=path,
        folder=path.parent / str(record.get("path") or ""),
        splits=splits,
        schema=_schema(record, shape[0], people[0], classes, path),
        dimensions=shape[1],
        person=int(people[0]),
    )


def _load(path: Path) -> dict[str, Any]:
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError("yaml", "train") from error
    try:
        record = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise AnnotationError(f"cannot read '{path}': {error}", "give the data.yaml of a YOLO pose data set") from error
    if not isinstance(record, dict):
        raise AnnotationError(f"'{path}' has no entries", "it needs 'train' or 'val', 'names' and 'kpt_shape'")
    return record


def _schema(
    record: Mapping[str, Any], count: int, person: int, classes: Mapping[int, Any], path: Path
) -> KeypointSchema:
    given = record.get("kpt_names")
    listed = given.get(person) if isinstance(given, Mapping) else given
    names = tuple(map(str, listed)) if isinstance(listed, list) else tuple(map(str, range(count)))
    if len(names) != count:
        raise AnnotationError(f"'{path}' names {len(names)} keypoints in kpt_names, but kpt_shape has {count}")
    for known in map(load_schema, schema_names()):
        if known.keypoints == names:
            return known
    flip = record.get("flip_idx")
    try:
        pairs = find_mirrored_names(names) if flip is None else _flip_pairs(flip, names)
        return KeypointSchema.from_names(str(classes[person]), names, flip_pairs=pairs)
    except (SchemaError, TypeError, ValueError, IndexError) as error:
        raise AnnotationError(
            f"'{path}': flip_idx or kpt_names is wrong: {error}",
            "flip_idx gives for each keypoint the number of its partner in a mirrored picture, or its own",
        ) from error


def _flip_pairs(flip: Sequence[int], names: tuple[str, ...]) -> list[tuple[str, str]]:
    if len(flip) != len(names):
        raise ValueError(f"{len(flip)} numbers in flip_idx for {len(names)} keypoints")
    for index, partner in enumerate(flip):
        if flip[partner] != index:
            raise ValueError(f"{index} flips to {partner}, which flips to {flip[partner]}")
    return [(names[index], names[partner]) for index, partner in enumerate(flip) if index < partner]


def _pictures(file: YoloFile, split: str, suffixes: Collection[str]) -> Iterator[Path]:
    """The pictures of a split: entries are folders, or text files with a path on each line."""
    for entry in file.splits[split]:
        place = _locate(file, entry)
        if place.is_dir():
            found: Iterable[Path] = sorted(p for p in place.rglob("*") if p.suffix.lower() in suffixes)
        else:
            lines = _lines(place)
            found = [file.folder / line.strip() for _, line in lines if line.strip()]
        yield from found


def _locate(file: YoloFile, entry: str) -> Path:
    """Finds the place of an entry; some exports say "../train/images" where "train/images" is meant."""
    places = [file.folder / entry, file.folder / entry.removeprefix("../")]
    for place in places:
        if place.exists():
            return place
    raise AnnotationError(
        f"'{file.path}' names '{entry}', but there is no '{places[0]}'",
        "paths are relative to the entry 'path', which is relative to the folder of the file",
    )


def _label_path(picture: Path) -> Path:
    """The text file of a picture: in the folder `labels` that corresponds to its folder `images`, else beside it."""
    parts = list(picture.parts)
    folders = [index for index, part in enumerate(parts[:-1]) if part == "images"]
    if folders:
        parts[folders[-1]] = "labels"
    return Path(*parts).with_suffix(".txt")


def _persons(path: Path, file: YoloFile, size_hw: tuple[int, int]) -> Iterator[PersonAnnotation]:
    if not path.exists():
        return
    for number, line in _lines(path):
        words = line.split()
        if not words:
            continue
        try:
            values = np.array([float(word) for word in words])
            if values[0] == file.person:
                yield _person(values, file, size_hw)
        except ValueError as error:
            raise AnnotationError(f"'{path}', line {number} is wrong: {error}", "correct or remove the line") from error


def _person(values: np.ndarray, file: YoloFile, size_hw: tuple[int, int]) -> PersonAnnotation:
    count, dimensions = len(file.schema), file.dimensions
    if values.shape != (5 + count * dimensions,) or not np.isfinite(values).all():
        raise ValueError(
            f"it must have {5 + count * dimensions} finite numbers (class, 4 for the box, {dimensions} for each of "
            f"{count} keypoints), not {len(values)}"
        )
    size_xy = np.array(size_hw[::-1])
    center, extent = values[1:3], values[3:5]
    if extent.min() < 0 or (center - extent / 2).min() < -_SLACK or (center + extent / 2).max() > 1 + _SLACK:
        raise ValueError(f"its box {values[1:5].tolist()} must be given in fractions of the picture, inside of it")
    table = values[5:].reshape(count, dimensions)
    points = table[:, :2]
    given = (points >= 0).all(axis=1) & points.any(axis=1)
    visibility = table[:, 2] if dimensions == 3 else np.where(given, 2.0, 0.0)
    if not {0, 1, 2}.issuperset(visibility.tolist()):
        raise ValueError(f"the visibility of its keypoints must be 0, 1 or 2, not {visibility.tolist()}")
    (x, y), (width, height) = ((center - extent / 2) * size_xy).tolist(), (extent * size_xy).tolist()
    return PersonAnnotation(
        keypoints=(points * size_xy).astype(np.float32),
        visibility=visibility.astype(np.uint8),
        area=AREA_OF_BOX * width * height,
        box=(x, y, width, height),
    )


def _lines(path: Path) -> list[tuple[int, str]]:
    try:
        return list(enumerate(path.read_text(encoding="utf-8").splitlines(), start=1))
    except (OSError, UnicodeDecodeError) as error:
        raise AnnotationError(f"cannot read '{path}': {error}", "check the file and its permissions") from error
