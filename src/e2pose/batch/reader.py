"""Reads the results of a job."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from e2pose.batch.storage import JobFolder, import_pyarrow
from e2pose.batch.tables import SCHEMA_KEY, FileRow
from e2pose.core.arguments import check_path
from e2pose.core.errors import InputError
from e2pose.core.files import reason_of
from e2pose.core.frame import Frame, Origin
from e2pose.core.poses import NO_TRACK, Poses
from e2pose.core.schema import KeypointSchema
from e2pose.formats.table import to_header
from e2pose.sinks.text import CocoJsonSink
from e2pose.sources.video import VIDEO_SUFFIXES

_NUM_OTHER_COLUMNS = 6  # of a person, before the keypoints
_ANY_RATE = Fraction(25)
_NO_IMAGE = np.zeros((1, 1, 3), np.uint8)


class BatchPoses(NamedTuple):
    """The poses of an image, or of a frame of a video."""

    file: str  # absolute path or address
    frame: int  # 0-based number in a video; 0 for an image
    poses: Poses


class BatchResult:
    """The finished part of a job. Iteration yields the poses of all frames, in the order of the manifest.

    A frame without persons has empty poses; a file that could not be read has no frames. Positions have two decimals,
    scores four.

    Args:
        folder: Folder of the job, local or in an object store.

    Raises:
        InputError: The folder contains no finished shard.
        MissingExtraError: pyarrow is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        self._arrow = import_pyarrow()
        self._folder = JobFolder(str(check_path("the folder of a job", folder, error=InputError)))
        self._parts = self._folder.names("files")
        if not self._parts:
            raise InputError(
                f"'{folder}' contains no results of e2pose batch", "check the path, or wait for the first shard"
            )

    def __iter__(self) -> Iterator[BatchPoses]:
        for frame, poses in self._frames():
            yield BatchPoses(frame.origin.name, frame.index, poses)

    def files(self) -> Iterator[FileRow]:
        """Yields what happened to each file; the segments of a video are joined."""
        last: FileRow | None = None
        for name in self._parts:
            for row in self._rows(name):
                if last is not None and row.id == last.id:
                    last = _join(last, row)
                    continue
                if last is not None:
                    yield last
                last = row
        if last is not None:
            yield last

    def write_coco(self, path: str | Path) -> None:
        """Writes all poses as a JSON file of COCO results, as `e2pose predict -o poses.json` does.

        Raises:
            OutputError: The file cannot be written.
        """
        with CocoJsonSink(path) as sink:
            for frame, poses in self._frames():
                sink.write(frame, poses)

    def _frames(self) -> Iterator[tuple[Frame, Poses]]:
        for name in self._parts:
            yield from _to_frames(self._rows(name), self._read(f"poses/{name}"))

    def _rows(self, name: str) -> list[FileRow]:
        return [FileRow(**row) for row in self._read(f"files/{name}").to_pylist()]

    def _read(self, name: str) -> Any:  # noqa: ANN401 - pyarrow has no types
        try:
            with self._folder.open(name) as file:
                return self._arrow.parquet.read_table(file)
        except (OSError, self._arrow.ArrowException) as error:
            raise InputError(
                f"cannot read '{self._folder.address}/{name}': {reason_of(error)}",
                f"delete 'files/{Path(name).name}' in the job and continue it, which processes the shard again",
            ) from error


def open_batch(folder: str | Path) -> BatchResult:
    """Opens the results of `e2pose batch`.

    Args:
        folder: Folder of the job, local or in an object store. The job may still be running.

    Raises:
        InputError: The folder contains no finished shard.
        MissingExtraError: pyarrow is not installed.

    Example:
        >>> for file, frame, poses in e2pose.open_batch("job/"):
        ...     print(file, frame, len(poses))
    """
    return BatchResult(folder)


def _join(first: FileRow, second: FileRow) -> FileRow:
    return second._replace(
        segment=0,
        first_frame=first.first_frame,
        frames=first.frames + second.frames,
        persons=first.persons + second.persons,
        ms=first.ms + second.ms,
        error=first.error or second.error,
    )


def _to_frames(rows: list[FileRow], table: Any) -> Iterator[tuple[Frame, Poses]]:  # noqa: ANN401
    """Yields the frames of a shard. Both tables have the same order."""
    schema = KeypointSchema.from_record(json.loads(table.schema.metadata[SCHEMA_KEY]))
    ids, numbers, times_s = (table[name].to_numpy() for name in ("id", "frame", "time_s"))
    points = np.stack([table[name].to_numpy() for name in to_header(schema)[_NUM_OTHER_COLUMNS:]], axis=-1)
    points = points.reshape(len(ids), len(schema), 3).astype(np.float32)
    scores = table["score"].to_numpy()
    tracks = table["track_id"]
    track_ids = None if tracks.null_count == len(ids) else tracks.fill_null(NO_TRACK).to_numpy()
    start = 0
    for row in rows:
        is_video = row.file.lower().endswith(tuple(VIDEO_SUFFIXES))
        origin = Origin(row.file, Path(row.file), rate=_ANY_RATE if is_video else None)
        for number in range(row.first_frame, row.first_frame + row.frames):
            stop = start
            while stop < len(ids) and ids[stop] == row.id and numbers[stop] == number:
                stop += 1
            chosen = slice(start, stop)
            poses = Poses(
                keypoints=points[chosen, :, :2],
                keypoint_scores=points[chosen, :, 2],
                scores=scores[chosen],
                schema=schema,
                track_ids=None if track_ids is None else track_ids[chosen],
            )
            yield Frame(_NO_IMAGE, origin, number, float(times_s[start]) if stop > start else 0.0), poses
            start = stop
