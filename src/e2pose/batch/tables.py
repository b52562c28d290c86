"""The result tables of a shard: `poses` with a row per person and `files` with a row per item, as Parquet files."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from e2pose.batch.storage import JobFolder, import_pyarrow
from e2pose.core.frame import Frame
from e2pose.core.poses import Poses
from e2pose.core.schema import KeypointSchema
from e2pose.formats.table import to_header, to_rows
from e2pose.sinks.parquet import COLUMN_TYPES, to_arrow

if TYPE_CHECKING:
    from types import TracebackType

_GROUP_ROWS = 10_000
SCHEMA_KEY = b"e2pose.schema"
"""Metadata key of the pose tables for the keypoint schema as JSON."""


class FileRow(NamedTuple):
    """What happened to an item: an image, a video or a segment of a video."""

    id: int
    segment: int
    file: str
    width: int | None  # pixels of the last frame; None if none was read
    height: int | None
    first_frame: int
    frames: int  # processed
    persons: int
    ms: float  # for reading and processing, in milliseconds
    error: str | None  # None if the item was processed completely


_FILE_TYPES = dict(
    zip(
        FileRow._fields,
        ("int64", "int32", "string", "int32", "int32", "int64", "int64", "int64", "float", "string"),
        strict=True,
    )
)


def part_name(table: str, shard: int) -> str:
    """Returns the name of the table of a shard in the folder of the job."""
    return f"{table}/part-{shard:06d}.parquet"


def shard_of(name: str) -> int:
    """Returns the number of the shard of a table."""
    return int(name.removeprefix("part-").removesuffix(".parquet"))


class ShardWriter:
    """A context that publishes both tables of a shard when it ends: first the poses, then the files.

    A shard is done when its file table exists.

    Raises:
        OutputError: A table cannot be written.
    """

    def __init__(self, folder: JobFolder, shard: int, schema: KeypointSchema) -> None:
        self._arrow = import_pyarrow()
        self._folder = folder
        self._shard = shard
        self._schema = schema
        self._opened = ExitStack()
        self._rows: list[list[object]] = []
        self._files: list[FileRow] = []

    def __enter__(self) -> Self:
        fields = [("id", "int64"), *((name, COLUMN_TYPES.get(name, "float32")) for name in to_header(self._schema))]
        metadata = {SCHEMA_KEY: json.dumps(self._schema.to_record())}
        self._pose_schema = self._arrow_schema(fields).with_metadata(metadata)
        path = self._opened.enter_context(self._folder.create(part_name("poses", self._shard)))
        writer = self._arrow.parquet.ParquetWriter(path, self._pose_schema, compression="zstd")
        self._writer = self._opened.enter_context(writer)
        return self

    def write_poses(self, item_id: int, frame: Frame, poses: Poses) -> None:
        """Appends the persons of a frame."""
        self._rows += ([item_id, *row] for row in to_rows(frame, poses))
        if len(self._rows) >= _GROUP_ROWS:
            self._write_group()

    def write_file(self, row: FileRow) -> None:
        """Appends the row of an item."""
        self._files.append(row)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._opened.__exit__(kind, error, trace)
            return
        with self._opened:
            self._write_group()
        schema = self._arrow_schema(list(_FILE_TYPES.items()))
        with self._folder.create(part_name("files", self._shard)) as path:
            self._arrow.parquet.write_table(to_arrow(self._files, schema), path, compression="zstd")

    def _write_group(self) -> None:
        if self._rows:
            self._writer.write_table(to_arrow(self._rows, self._pose_schema))
            self._rows.clear()

    def _arrow_schema(self, fields: list[tuple[str, str]]) -> Any:  # noqa: ANN401 - pyarrow has no types
        return self._arrow.schema([(name, self._arrow.type_for_alias(alias)) for name, alias in fields])
