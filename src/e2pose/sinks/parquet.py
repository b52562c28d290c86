"""A sink that writes a Parquet table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from e2pose.core.errors import MissingExtraError
from e2pose.core.frame import Frame
from e2pose.core.poses import Poses
from e2pose.core.schema import KeypointSchema
from e2pose.formats.table import Cell, to_header, to_rows
from e2pose.sinks.reserved_file import FileSink

if TYPE_CHECKING:
    import pyarrow

_GROUP_ROWS = 1000
_RESERVED_BYTES = 4 << 20  # for a row group and the footer that lists all groups
COLUMN_TYPES = {"file": "string", "frame": "int64", "time_s": "float64", "person": "int32", "track_id": "int64"}
"""Types of the columns of poses; all others are float32."""


class ParquetSink(FileSink):
    """Writes the rows of `formats/table.py` as Parquet, with float32 values and null for missing ones.

    Without any frame, no file is written.

    Raises:
        MissingExtraError: The extra "parquet" is not installed.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path, _RESERVED_BYTES)
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise MissingExtraError("pyarrow", "parquet") from error
        self._arrow = pyarrow
        self._rows: list[list[Cell]] = []
        self._writer: pyarrow.parquet.ParquetWriter | None = None

    def write(self, frame: Frame, poses: Poses) -> None:
        """Appends the rows of a frame."""
        if self._writer is None:
            self._writer = self._start(poses.schema)
        self._rows += to_rows(frame, poses)
        if len(self._rows) >= _GROUP_ROWS:
            self._finish()
            self._file.raise_if_full()

    def _start(self, schema: KeypointSchema) -> pyarrow.parquet.ParquetWriter:
        fields = [(name, self._arrow.type_for_alias(COLUMN_TYPES.get(name, "float32"))) for name in to_header(schema)]
        self._file = self._create()
        self._schema = self._arrow.schema(fields)
        return self._opened.enter_context(self._arrow.parquet.ParquetWriter(self._file, self._schema))

    def _finish(self) -> None:
        """Writes the collected rows as a row group."""
        if self._writer is None or not self._rows:
            return
        self._writer.write_table(to_arrow(self._rows, self._schema))
        self._rows.clear()


def to_arrow(rows: Sequence[Sequence[object]], schema: pyarrow.Schema) -> pyarrow.Table:
    """Returns rows as a table of pyarrow."""
    import pyarrow

    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = [pyarrow.array(list(column), field.type) for column, field in zip(columns, schema, strict=True)]
    return pyarrow.Table.from_arrays(arrays, schema=schema)
