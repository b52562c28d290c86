"""YOLO pose data sets: a `data.yaml`, images, and for each image a text file with one line per person.

Coordinates are fractions of the image's width and height, so (1, 1) is the far corner: they are multiplied by the size,
and nothing is added. Files converted from COCO by dividing whole numbers have lost half a pixel, which cannot be
detected here; read the COCO file instead where there is one.

Source: docs.ultralytics.com/datasets/pose, "Ultralytics YOLO format".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from e2pose.core.annotations import Annotations, ImageAnnotation, PersonAnnotation
from e2pose.core.errors import AnnotationError, MissingExtraError, SchemaError
from e2pose.core.schema import KeypointSchema, find_built_in_schema
from e2pose.core.sides import find_mirrored_names
from e2pose.formats.boxes import DEFAULT_AREA_RATIO

_BOX_TOLERANCE = 0.01  # a box that exceeds the image by more is probably given in pixels


@dataclass(frozen=True)
class DataYaml:
    """Content of a `data.yaml`."""

    path: Path
    folder: Path  # to which the paths in the file are relative
    splits: Mapping[str, tuple[str, ...]]  # the existing entries out of `train`, `val` and `test`
    schema: KeypointSchema  # keypoints are named "0", "1" and so on if the file has no `kpt_names`
    values_per_keypoint: int  # 2 for x and y, 3 for x, y and visibility
    class_index: int  # the class that is read


def read_yolo(
    path: str | Path, split: str, *, suffixes: Collection[str], size_of: Callable[[Path], tuple[int, int]]
) -> Annotations:
    """Reads one split of a YOLO pose data set, with file names relative to `read_data_yaml(path).folder`.

    `path` is the `data.yaml`, `split` is "train", "val" or "test", and `size_of` returns (height, width) of an image
    file. An image without a text file has no persons. With two values per keypoint, a keypoint at (0, 0) or with a
    negative value is not labelled, and all others are visible.

    Raises:
        AnnotationError: A file cannot be read, a line is invalid, or no image has a text file; the message names file
            and line.
        MissingExtraError: PyYAML is not installed.
    """
    data = read_data_yaml(path)
    if split not in data.splits:
        raise AnnotationError(
            f"'{path}' has no split '{split}'; available: {', '.join(data.splits) or 'none'}",
            "use one of its splits, or add this one to the file",
        )
    paths = list(_find_images(data, split, suffixes))
    if paths and not any(_label_path(image).exists() for image in paths):
        raise AnnotationError(
            f"'{path}': none of the {len(paths)} images of '{split}' has a text file, for example "
            f"'{_label_path(paths[0])}' is missing",
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
                persons=tuple(_read_persons(_label_path(image), data, size_hw)),
                labelled_keypoints=tuple(range(len(data.schema))),
            )
        )
    return Annotations(data.schema, tuple(images))


def read_data_yaml(path: str | Path) -> DataYaml:
    """Reads a `data.yaml`. Of several classes, the one named "person" is used.

    Raises:
        AnnotationError: The file cannot be read, or an entry is missing or invalid.
        MissingExtraError: PyYAML is not installed.
    """
    path = Path(path)
    record = _load(path)
    names = record.get("names", {})
    classes = dict(enumerate(names)) if isinstance(names, list) else dict(names) if isinstance(names, Mapping) else {}
    candidates = [index for index, name in classes.items() if str(name).lower() == "person"] or list(classes)
    if len(candidates) != 1:
        raise AnnotationError(
            f"'{path}' must have one class, or one named 'person', but 'names' is {names}",
            "write 'names: {0: person}' and keep only the lines of this class",
        )
    match record.get("kpt_shape"):
        case [int(num_keypoints), 2 | 3 as values_per_keypoint] if num_keypoints > 0:
            pass
        case shape:
            raise AnnotationError(
                f"'{path}': kpt_shape is invalid: {shape}",
                "write kpt_shape as [number of keypoints, 2 or 3], such as [17, 3]",
            )
    return DataYaml(
        path=path,
        folder=path.parent / str(record.get("path") or ""),
        splits={
            name: tuple(map(str, entry if isinstance(entry, list) else [entry]))
            for name in ("train", "val", "test")
            if (entry := record.get(name))
        },
        schema=_parse_schema(record, num_keypoints, candidates[0], str(classes[candidates[0]]), path),
        values_per_keypoint=values_per_keypoint,
        class_index=int(candidates[0]),
    )


def _load(path: Path) -> dict[str, Any]:
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError("yaml", "train") from error
    try:
        record = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise AnnotationError(f"cannot read '{path}': {error}", "use the data.yaml of a YOLO pose data set") from error
    if not isinstance(record, dict):
        raise AnnotationError(f"'{path}' has no entries", "it needs 'train' or 'val', 'names' and 'kpt_shape'")
    return record


def _parse_schema(
    record: Mapping[str, Any], num_keypoints: int, class_index: int, class_name: str, path: Path
) -> KeypointSchema:
    kpt_names = record.get("kpt_names")
    listed = kpt_names.get(class_index) if isinstance(kpt_names, Mapping) else kpt_names
    names = tuple(map(str, listed)) if isinstance(listed, list) else tuple(map(str, range(num_keypoints)))
    if len(names) != num_keypoints:
        raise AnnotationError(
            f"'{path}' has {len(names)} names in kpt_names, but {num_keypoints} keypoints in kpt_shape",
            "list one name per keypoint",
        )
    if built_in := find_built_in_schema(names):
        return built_in
    flip = record.get("flip_idx")
    try:
        pairs = find_mirrored_names(names) if flip is None else _flip_pairs(flip, names)
        return KeypointSchema.from_names(class_name, names, flip_pairs=pairs)
    except (SchemaError, TypeError, ValueError, IndexError) as error:
        raise AnnotationError(
            f"'{path}': flip_idx or kpt_names is invalid: {error}",
            "give in flip_idx, for each keypoint, the index of its partner in a mirrored image, or its own index",
        ) from error


def _flip_pairs(flip: Sequence[int], names: tuple[str, ...]) -> list[tuple[str, str]]:
    if len(flip) != len(names):
        raise ValueError(f"{len(flip)} indices in flip_idx for {len(names)} keypoints")
    for index, partner in enumerate(flip):
        if flip[partner] != index:
            raise ValueError(f"{index} flips to {partner}, which flips to {flip[partner]}")
    return [(names[index], names[partner]) for index, partner in enumerate(flip) if index < partner]


def _find_images(data: DataYaml, split: str, suffixes: Collection[str]) -> Iterator[Path]:
    """Yields the images of a split, whose entries are folders or text files with one path per line."""
    for entry in data.splits[split]:
        path = _resolve(data, entry)
        if path.is_dir():
            yield from sorted(file for file in path.rglob("*") if file.suffix.lower() in suffixes)
        else:
            yield from (data.folder / line.strip() for line in _read_lines(path) if line.strip())


def _resolve(data: DataYaml, entry: str) -> Path:
    """Returns the path of an entry; some exports write "../train/images" instead of "train/images"."""
    paths = [data.folder / entry, data.folder / entry.removeprefix("../")]
    for path in paths:
        if path.exists():
            return path
    raise AnnotationError(
        f"'{data.path}' names '{entry}', but there is no '{paths[0]}'",
        "paths are relative to the entry 'path', which is relative to the folder of the file",
    )


def _label_path(image: Path) -> Path:
    """Returns the text file of an image: in the folder `labels` instead of `images`, or else beside the image."""
    parts = list(image.parts)
    folders = [index for index, part in enumerate(parts[:-1]) if part == "images"]
    if folders:
        parts[folders[-1]] = "labels"
    return Path(*parts).with_suffix(".txt")


def _read_persons(path: Path, data: DataYaml, size_hw: tuple[int, int]) -> Iterator[PersonAnnotation]:
    if not path.exists():
        return
    for number, line in enumerate(_read_lines(path), start=1):
        try:
            values = np.array(line.split(), dtype=np.float64)
            if len(values) and values[0] == data.class_index:
                yield _parse_person(values, data, size_hw)
        except ValueError as error:
            raise AnnotationError(
                f"'{path}', line {number} is invalid: {error}", "correct or remove the line"
            ) from error


def _parse_person(values: np.ndarray, data: DataYaml, size_hw: tuple[int, int]) -> PersonAnnotation:
    num_keypoints, per_keypoint = len(data.schema), data.values_per_keypoint
    if values.shape != (5 + num_keypoints * per_keypoint,) or not np.isfinite(values).all():
        raise ValueError(
            f"it must have {5 + num_keypoints * per_keypoint} finite numbers (class, 4 for the box, {per_keypoint} for "
            f"each of {num_keypoints} keypoints), not {len(values)}"
        )
    size_xy = np.array(size_hw[::-1])
    centre, extent = values[1:3], values[3:5]
    low, high = centre - extent / 2, centre + extent / 2
    if extent.min() < 0 or low.min() < -_BOX_TOLERANCE or high.max() > 1 + _BOX_TOLERANCE:
        raise ValueError(f"the box {values[1:5].tolist()} must be inside the image, in fractions of its size")
    table = values[5:].reshape(num_keypoints, per_keypoint)
    points = table[:, :2]
    is_labelled = (points >= 0).all(axis=1) & points.any(axis=1)
    visibility = table[:, 2] if per_keypoint == 3 else np.where(is_labelled, 2.0, 0.0)
    if not {0, 1, 2}.issuperset(visibility.tolist()):
        raise ValueError(f"the visibility of keypoints must be 0, 1 or 2, not {visibility.tolist()}")
    (x, y), (width, height) = (low * size_xy).tolist(), (extent * size_xy).tolist()
    return PersonAnnotation(
        keypoints=(points * size_xy).astype(np.float32),
        visibility=visibility.astype(np.uint8),
        area=DEFAULT_AREA_RATIO * width * height,
        box=(x, y, width, height),
    )


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise AnnotationError(f"cannot read '{path}': {error}", "check the file and its permissions") from error
