"""A sink that writes a table in Parquet."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from e2pose.core.errors import MissingExtraError
from e2pose.core.files import atomic_path
from e2pose.core.frame import Frame
from e2pose.core.poses import Poses
from e2pose.core.schema import KeypointSchema
from e2pose.formats.table import Cell, to_header, to_rows
from e2pose.sinks.base import is_kept
from e2pose.sinks.reserved_file import ReservedFile

if TYPE_CHECKING:
    import pyarrow

_ROWS = 1000  # that are written together
_SPARE_BYTES = 4 << 20  # for them and the list of all groups at the end
_TYPES = {"file": "string", "frame": "int64", "time_s": "float64", "person": "int32", "track_id": "int64"}


class ParquetSink:
    """Writes the rows that `formats/table.py` defines as Parquet: numbers as float32, what is missing as null.

    Args:
        path: The file to write.

    Raises:
        MissingExtraError: The extra "parquet" is not installed.
    """

    def __init__(self, path: str | Path) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise MissingExtraError("pyarrow", "parquet") from error
        self._arrow = pyarrow
        self._path = Path(path)
        self._rows: list[list[Cell]] = []
        self._opened = ExitStack()
        self._writer: pyarrow.parquet.ParquetWriter | None = None

    def write(self, frame: Frame, poses: Poses) -> None:
        """Appends the rows of a frame.

        Raises:
            OutputError: The file cannot be written.
        """
        if self._writer is None:
            self._writer = self._start(poses.schema)
        self._rows += to_rows(frame, poses)
        if len(self._rows) >= _ROWS:
            self._flush()
            self._file.check()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finishes the file, or leaves nothing if there is no frame or none that is kept."""
        if not is_kept(error):
            self._opened.__exit__(kind, error, trace)
            return
        with self._opened:
            if self._writer is not None:
                self._flush()

    def _start(self, schema: KeypointSchema) -> pyarrow.parquet.ParquetWriter:
        fields = [(name, self._arrow.type_for_alias(_TYPES.get(name, "float32"))) for name in to_header(schema)]
        temporary = self._opened.enter_context(atomic_path(self._path))
        self._file = self._opened.enter_context(ReservedFile(temporary, self._path, _SPARE_BYTES))
        self._schema = self._arrow.schema(fields)
        return self._opened.enter_context(self._arrow.parquet.ParquetWriter(self._file, self._schema))

    def _flush(self) -> None:
        assert self._writer is not None
        columns = [list(column) for column in zip(*self._rows, strict=True)]
        if columns:
            arrays = [
                self._arrow.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)
            ]
            self._writer.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))
        self._rows.clear()
