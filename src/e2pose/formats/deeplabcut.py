"""Labels of DeepLabCut: `labeled-data/VIDEO/CollectedData_SCORER.csv` in a project with a `config.yaml`.

The labels are drawn in napari, where (0, 0) is the centre of the first pixel: reading adds half a pixel.

Source: deeplabcut.github.io, "Standard DeepLabCut project"; github.com/napari/napari/issues/310 for the origin.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from e2pose.core.errors import AnnotationError, MissingExtraError
from e2pose.core.files import read_text, reason_of
from e2pose.formats.deeplabcut_hdf5 import read_hdf5_table
from e2pose.formats.fields import FieldError, is_missing, show, to_number
from e2pose.formats.reading_log import ReadingLog
from e2pose.formats.tool_entries import (
    ImageAccess,
    Instance,
    Keypoints,
    LabelledImage,
    LabelledImages,
    Point,
    is_file,
    read_size,
    to_annotations,
)

FILES = "CollectedData_*"
"""Names of the files with labels, in the folder of each video."""

_HALF_PIXEL = 0.5
_NO_ANIMAL = "single"  # the individual of body parts that belong to no animal, in projects with several animals
_HINT = "use the CollectedData file as DeepLabCut writes it"


@dataclass(frozen=True)
class Table:
    """Content of a CollectedData file.

    A column is an individual ("" in projects with one animal), a body part and "x", "y" or "likelihood". A row is the
    path of an image and the value of each column, as text or number.
    """

    columns: Sequence[tuple[str, str, str]]
    rows: Sequence[tuple[str, Sequence[object]]]


def read_deeplabcut(path: Path, access: ImageAccess) -> LabelledImages:
    """Reads the labels of a DeepLabCut project, of all its videos or of one CollectedData file.

    Individuals become instances. The group of an image is the folder of its video. Images without any label are omitted
    because they may not be labelled yet, and body parts that belong to no individual beside those that do.

    Args:
        path: The `config.yaml`, its folder, or one `CollectedData_*.csv` or `.h5`. Of a pair, the CSV file is read.
        access: Access to the image files.

    Raises:
        AnnotationError: A file cannot be read or has invalid entries; the message lists the first of them.
        MissingExtraError: PyYAML, or for `.h5` files h5py, is not installed.
    """
    is_file = path.suffix.lower() in (".csv", ".h5")
    config_path = path / "config.yaml" if path.is_dir() else path
    config = {} if is_file else _load_config(config_path)
    folder = config_path.parent
    files = [path] if is_file else _find_files(folder, config)
    log = ReadingLog(path)
    tables = [(file, _read_table(file, log)) for file in files]
    used = dict.fromkeys(bodypart for _, table in tables for _, bodypart, _ in table.columns)
    images = [image for file, table in tables for image in _read_images(table, file, folder, access, log)]
    keypoints = Keypoints(str(config.get("Task") or "deeplabcut"), tuple(used), list(_edges(config)))
    return LabelledImages(folder, to_annotations(keypoints, images, path, log))


def read_animals(config_path: Path) -> list[str] | None:
    """Returns the names of the animals of a project, empty if it has one animal; None if there is no project.

    Raises:
        AnnotationError: The configuration cannot be read.
        MissingExtraError: PyYAML is not installed.
    """
    if not config_path.is_file():
        return None
    config = _load_config(config_path)
    animals = config.get("individuals")
    is_multi = config.get("multianimalproject") is True and isinstance(animals, list)
    return [str(animal) for animal in animals] if is_multi and isinstance(animals, list) else []


def _load_config(path: Path) -> dict[str, Any]:
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError("yaml", "labels") from error
    try:
        config = yaml.safe_load(read_text(path))
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError) as error:
        reason = " ".join(reason_of(error).split())
        raise AnnotationError(f"cannot read '{path}': {reason}", "use the config.yaml of the project") from error
    if not isinstance(config, dict):
        raise AnnotationError(f"'{path}' has no entries", "use the config.yaml of the project")
    return config


def _find_files(project: Path, config: Mapping[str, Any]) -> list[Path]:
    """Returns the file with labels of each video, by the scorer of the project where there are several."""
    files: list[Path] = []
    for folder in sorted(one for one in (project / "labeled-data").glob("*") if one.is_dir()):
        found = {file.stem: file for suffix in (".h5", ".csv") for file in sorted(folder.glob(FILES + suffix))}
        wanted = f"CollectedData_{config.get('scorer')}"
        if len(found) > 1 and wanted not in found:
            raise AnnotationError(
                f"'{folder}' has the labels of several scorers: {', '.join(sorted(found))}",
                "set 'scorer' in config.yaml to one of them, or read one of the files",
            )
        files += [found.get(wanted, file) for file in list(found.values())[:1]]
    if not files:
        raise AnnotationError(
            f"'{project}' has no labels: there is no file labeled-data/*/{FILES}.csv or .h5",
            "label frames with DeepLabCut first, or use the folder of another project",
        )
    return files


def _edges(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    skeleton = config.get("skeleton")
    for edge in skeleton if isinstance(skeleton, list) else []:
        if isinstance(edge, list) and len(edge) == 2:
            yield str(edge[0]), str(edge[1])


def _read_table(path: Path, log: ReadingLog) -> Table:
    """Returns the table of a file, without body parts that belong to no individual beside those that do."""
    table = read_csv_table(path) if path.suffix.lower() == ".csv" else Table(*read_hdf5_table(path))
    if {individual for individual, _, _ in table.columns} <= {_NO_ANIMAL}:
        return table
    kept = [index for index, (individual, _, _) in enumerate(table.columns) if individual != _NO_ANIMAL]
    for bodypart in dict.fromkeys(bodypart for individual, bodypart, _ in table.columns if individual == _NO_ANIMAL):
        log.omit("body parts", "they belong to no individual", f"'{bodypart}' in '{path}'")
    rows = [(image, [values[index] for index in kept]) for image, values in table.rows]
    return Table([table.columns[index] for index in kept], rows)


def read_csv_table(path: Path) -> Table:
    """Returns the table of a CSV file, which has the path of an image in its first column or in its first three.

    Raises:
        AnnotationError: The file cannot be read or has another header.
    """
    try:
        lines = [line for line in csv.reader(read_text(path).splitlines()) if any(cell.strip() for cell in line)]
    except (OSError, ValueError, csv.Error) as error:
        reason = reason_of(error)
        raise AnnotationError(f"cannot read '{path}': {reason}", _HINT) from error
    header = {line[0].strip().lower(): line for line in lines[:4]}
    if not {"scorer", "bodyparts", "coords"} <= header.keys():
        raise AnnotationError(
            f"'{path}' is not a table of DeepLabCut: it must begin with the lines 'scorer', 'bodyparts' and 'coords'",
            _HINT,
        )
    num_index = next((index for index, cell in enumerate(header["coords"]) if index and cell.strip()), 1)
    names = [header.get("individuals"), header["bodyparts"], header["coords"]]
    width = len(header["coords"])
    cells = [[""] * width if line is None else [cell.strip() for cell in line] for line in names]
    short = next((line for line in [*cells, *lines] if len(line) != width), None)
    if short is not None:
        raise AnnotationError(
            f"'{path}': all lines must have {width} values, as the line 'coords', not {len(short)}: {show(short[0])}",
            _HINT,
        )
    columns = [(individual, part, axis) for individual, part, axis in list(zip(*cells, strict=True))[num_index:]]
    rows = [("/".join(line[:num_index]), line[num_index:]) for line in lines[3 + ("individuals" in header) :]]
    return Table(columns, rows)


def _read_images(
    table: Table, file: Path, folder: Path, access: ImageAccess, log: ReadingLog
) -> Iterator[LabelledImage]:
    names = frozenset(bodypart for _, bodypart, _ in table.columns)
    for stored, values in table.rows:
        with log.entry(f"'{file}', image '{stored}'"):
            image = _locate(stored, file, folder)
            instances = _read_instances(table.columns, values)
            if not instances:
                log.omit("images", "they have no label, so they may not be labelled yet", f"'{stored}'")
                continue
            size_hw = read_size(folder / image, access.size_of)
            yield LabelledImage(image, size_hw, instances, file.parent.name, names)


def _locate(stored: str, file: Path, folder: Path) -> str:
    """Returns the name of an image relative to `folder`: beside its CollectedData file, wherever the project is."""
    path = PurePosixPath(stored.replace("\\", "/"))
    if not path.name:
        raise FieldError("the path of the image is missing")
    beside = file.parent / path.name
    if not is_file(beside) and is_file(folder / path):
        return str(path)
    return beside.relative_to(folder).as_posix()


def _read_instances(columns: Sequence[tuple[str, str, str]], values: Sequence[object]) -> list[Instance]:
    """Returns the individuals with at least one labelled body part."""
    cells = dict(zip(columns, values, strict=True))
    points: dict[str, list[Point]] = {}
    for individual, bodypart in dict.fromkeys((individual, bodypart) for individual, bodypart, _ in columns):
        xy = [cells.get((individual, bodypart, axis)) for axis in ("x", "y")]
        if any(is_missing(value) or str(value).lower() == "nan" for value in xy):
            continue
        x, y = (to_number(value, f"{bodypart} {axis}") for value, axis in zip(xy, "xy", strict=True))
        points.setdefault(individual, []).append(Point(bodypart, x + _HALF_PIXEL, y + _HALF_PIXEL))
    return [Instance(labelled, f"individual '{name}'" if name else "the animal") for name, labelled in points.items()]
