"""The `data.yaml` of a YOLO pose data set.

Source: docs.ultralytics.com/datasets/pose, "Dataset YAML format".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2pose.core.errors import AnnotationError, MissingExtraError, SchemaError
from e2pose.core.files import read_text, reason_of
from e2pose.core.schema import KeypointSchema, find_built_in_schema
from e2pose.core.sides import find_mirrored_names
from e2pose.formats.coco_categories import CategoryChoice, list_choices
from e2pose.formats.fields import FieldError, is_missing, show, to_integer, to_names

_MAX_KEYPOINTS = 10_000
_SPLITS: dict[str, tuple[str, ...]] = {"train": (), "val": ("valid", "validation"), "test": ()}  # and other names


@dataclass(frozen=True)
class DataYaml:
    """Content of a `data.yaml`."""

    path: Path
    folder: Path  # to which the paths in the file are relative
    missing_folder: str  # the entry `path` if there is no such folder, so that the folder of the file is used
    splits: Mapping[str, tuple[str, ...]]  # the existing entries out of `train`, `val` and `test`
    schema: KeypointSchema  # keypoints are named "0", "1" and so on if the file has no `kpt_names`
    values_per_keypoint: int  # 2 for x and y, 3 for x, y and visibility
    classes: Mapping[int, str]  # names by index
    selected: frozenset[int]  # the classes that are read


def read_data_yaml(path: str | Path, *, category: CategoryChoice = None) -> DataYaml:
    """Reads a `data.yaml`. Of several classes, `category` is read, or without it the one named "person".

    Paths may have backslashes. `category` is the name or index of a class, or several of them.

    Raises:
        AnnotationError: The file cannot be read, or an entry is missing or invalid.
        MissingExtraError: PyYAML is not installed.
    """
    path = Path(path)
    record = _load(path)
    try:
        classes = _parse_classes(record.get("names"), record.get("nc"))
        selected = _select(classes, category, path)
        num_keypoints, values_per_keypoint = _parse_shape(record.get("kpt_shape"))
        schema = _parse_schema(record, num_keypoints, selected[0], classes[selected[0]])
    except (FieldError, SchemaError) as error:
        hint = "correct this entry; docs/guides/data.md describes the file"
        raise AnnotationError(f"'{path}': {error}", getattr(error, "hint", hint)) from error
    named_folder = str(record.get("path") or "").replace("\\", "/")
    folder = path.parent / named_folder
    is_missing_folder = not _is_folder(folder)
    return DataYaml(
        path=path,
        folder=path.parent if is_missing_folder else folder,
        missing_folder=named_folder if is_missing_folder else "",
        splits={
            name: tuple(str(one).replace("\\", "/") for one in (entry if isinstance(entry, list) else [entry]))
            for name, others in _SPLITS.items()
            if (entry := next(filter(None, map(record.get, (name, *others))), None))
        },
        schema=schema,
        values_per_keypoint=values_per_keypoint,
        classes=classes,
        selected=frozenset(selected),
    )


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # for example, the name is too long
        return False


def _load(path: Path) -> dict[str, Any]:
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError("yaml", "train") from error
    hint = "use the data.yaml of a YOLO pose data set"
    try:
        record = yaml.safe_load(read_text(path))
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(reason_of(error).split())
        raise AnnotationError(f"cannot read '{path}': {reason}", hint) from error
    except (LookupError, AttributeError, TypeError, RecursionError) as error:
        reason = "its lists are nested too deeply, or a value contradicts its explicit type such as !!bool"
        raise AnnotationError(f"cannot read '{path}': {reason}", hint) from error
    if not isinstance(record, dict):
        raise AnnotationError(f"'{path}' has no entries", "it needs 'train' or 'val', 'names' and 'kpt_shape'")
    return record


def _parse_classes(value: object, count: object) -> dict[int, str]:
    """Returns the names of the classes by index; a file without names may have their number instead."""
    if is_missing(value) and type(count) is int and 0 < count <= _MAX_KEYPOINTS:
        value = [str(index) for index in range(count)]
    if isinstance(value, str):
        value = [value]
    if isinstance(value, dict):
        if all(type(index) is int for index in value.values()):
            value = {index: name for name, index in value.items()}
        return {to_integer(index, "names"): str(name).strip() for index, name in value.items()}
    return {index: str(name).strip() for index, name in enumerate(value)} if isinstance(value, list) else {}


def _select(classes: Mapping[int, str], choice: CategoryChoice, path: Path) -> list[int]:
    """Returns the indices of the classes to read, at least one.

    Raises:
        AnnotationError: There are several classes, and no choice.
        FieldError: There is no class, or the choice is not among them.
    """
    if choice is None:
        selected = [index for index, name in classes.items() if name.lower() == "person"] or list(classes)
        if len(selected) != 1:
            if not selected:
                raise FieldError("the entry 'names' with the names of the classes is missing")
            raise AnnotationError(
                f"'{path}' has {len(selected)} classes, none of them named 'person': {show(list(classes.values()))}",
                f'choose one: category = "{classes[selected[0]]}" of the image set in a recipe, --category on the '
                'command line; or "*" for all',
            )
        return selected
    selected = []
    for wanted in list_choices(choice):
        text = str(wanted).strip().lower()
        if text == "*":
            selected += classes
            continue
        found = [index for index, name in classes.items() if name.lower() == text]
        found = found or [index for index in classes if str(index) == text]
        selected += found
        if not found:
            raise FieldError(f"there is no class '{wanted}'; 'names' is {show(classes)}")
    if not selected:
        raise FieldError("no class is chosen")
    return selected


def _parse_shape(value: object) -> tuple[int, int]:
    """Returns the number of keypoints and the number of values of each."""
    match value:
        case [int(num_keypoints), 2 | 3 as values_per_keypoint] if 0 < num_keypoints <= _MAX_KEYPOINTS:
            return num_keypoints, values_per_keypoint
    if is_missing(value):
        raise FieldError(
            "the entry 'kpt_shape' is missing, as in data sets of boxes or outlines; it must be [number of keypoints, "
            "2 or 3], such as [17, 3]"
        )
    raise FieldError(f"'kpt_shape' must be [number of keypoints, 2 or 3], such as [17, 3], not {show(value)}")


def _parse_schema(record: Mapping[str, Any], num_keypoints: int, class_index: int, class_name: str) -> KeypointSchema:
    value = record.get("kpt_names")
    if isinstance(value, dict) and any(isinstance(names, list) for names in value.values()):  # by class
        value = value.get(class_index, value.get(str(class_index)))
    names = to_names(value, "kpt_names") or tuple(map(str, range(num_keypoints)))
    if len(names) != num_keypoints:
        raise FieldError(f"there are {len(names)} names in 'kpt_names', but {num_keypoints} keypoints in 'kpt_shape'")
    if built_in := find_built_in_schema(names):
        return built_in
    flip = record.get("flip_idx")
    pairs = find_mirrored_names(names) if is_missing(flip) else _flip_pairs(flip, names)
    return KeypointSchema.from_names(class_name, names, flip_pairs=pairs)


def _flip_pairs(value: object, names: Sequence[str]) -> list[tuple[str, str]]:
    if not isinstance(value, list) or len(value) != len(names):
        raise FieldError(f"'flip_idx' must have one index for each of {len(names)} keypoints, not {show(value)}")
    flip = [to_integer(partner, "flip_idx") for partner in value]
    if not all(0 <= partner < len(names) for partner in flip):
        raise FieldError(f"'flip_idx' must have indices from 0 to {len(names) - 1}, not {show(value)}")
    for index, partner in enumerate(flip):
        if flip[partner] != index:
            raise FieldError(f"'flip_idx' is invalid: {index} flips to {partner}, which flips to {flip[partner]}")
    return [(names[index], names[partner]) for index, partner in enumerate(flip) if index < partner]
