"""The HDF5 form of DeepLabCut's tables, as pandas writes it in its format "fixed".

Source: pandas, `pandas/io/pytables.py`, classes `GenericFixed` and `BlockManagerFixed`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from e2pose.core.errors import AnnotationError
from e2pose.formats.hdf5 import open_hdf5

if TYPE_CHECKING:
    import h5py

_HINT = "use the CSV file with the same labels, which DeepLabCut writes beside it"


def read_hdf5_table(path: Path) -> tuple[list[tuple[str, str, str]], list[tuple[str, list[object]]]]:
    """Returns the columns (individual, body part, coordinate) and the rows (path of the image, values) of a file.

    Raises:
        AnnotationError: The file cannot be read, or pandas wrote it in its format "table", which needs unpickling.
        MissingExtraError: h5py is not installed.
    """
    with open_hdf5(path, _HINT) as file:
        group = file[next(iter(file))]
        if "table" in group:
            raise AnnotationError(f"'{path}' is in the format \"table\" of pandas, which is not supported", _HINT)
        rows = _read_index(group, "axis1")
        columns: list[tuple[str, str, str]] = []
        values: list[list[object]] = [[] for _ in rows]
        for number in range(int(group.attrs["nblocks"])):
            items = _read_index(group, f"block{number}_items")
            columns += [(item[1] if len(item) == 4 else "", item[-2], item[-1]) for item in items]
            block = group[f"block{number}_values"][()]
            for row, cells in zip(values, block, strict=True):
                row.extend(cells.tolist())
        return columns, [("/".join(row), cells) for row, cells in zip(rows, values, strict=True)]


def _read_index(group: h5py.Group, name: str) -> list[tuple[str, ...]]:
    """Returns the labels of an index, one text per level."""
    if name in group:
        return [(text,) for text in _to_text(group[name])]
    num_levels = int(group.attrs[f"{name}_nlevels"])
    levels = [_to_text(group[f"{name}_level{level}"]) for level in range(num_levels)]
    codes = [group[f"{name}_label{level}"][()] for level in range(num_levels)]
    return [tuple(level[code] for level, code in zip(levels, entry, strict=True)) for entry in zip(*codes, strict=True)]


def _to_text(dataset: h5py.Dataset) -> list[str]:
    return [text.decode("utf-8") for text in dataset[()].astype("S").tolist()]
