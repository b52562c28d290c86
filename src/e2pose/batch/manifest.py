"""The manifest of a job: all files in a fixed order, with integer ids, divided into shards.

It is a folder of Parquet files with a row per item: an image, a video or a segment of a video. A part is never changed;
`--extend` adds a part. Rows of one shard are neighbours.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Container, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, compress, pairwise
from typing import Any, NamedTuple

import numpy as np

from e2pose.batch.inputs import CHUNK, Listed, list_inputs, map_ahead
from e2pose.batch.storage import JobFolder, import_pyarrow, open_file
from e2pose.core.address import is_address
from e2pose.core.errors import InputError, OutputError
from e2pose.core.files import reason_of, sha256_of
from e2pose.formats.record import to_text
from e2pose.sinks.parquet import to_arrow
from e2pose.sources.segments import Segment, cut_segments
from e2pose.sources.video import VIDEO_SUFFIXES

_NUM_SHARDS = 64  # of a small job, so that all cores of a machine have work
_MIN_SHARD_FILES, _MAX_SHARD_FILES = 32, 2000
_MAX_SHARD_BYTES = 256 << 20  # so that a shard of large images takes about as long as one of small images
_NUM_THREADS = 16  # listing and reading the packets of videos mostly wait for the file system
_TYPES = {
    "id": "int64",
    "segment": "int32",
    "uri": "string",
    "bytes": "int64",
    "is_video": "bool",
    **dict.fromkeys(Segment._fields, "int64"),
    "shard": "int32",
}

_WHOLE = (None,) * len(Segment._fields)
_VIDEO_SUFFIXES = tuple(VIDEO_SUFFIXES)
_RESTORE = "restore the folder, or start again in another one"


class Item(NamedTuple):
    """A unit that is processed in one piece; `id` and `segment` are unique."""

    id: int  # of the file
    segment: int  # position among the segments of a video, from 0
    uri: str
    is_video: bool
    part: Segment | None  # None for a whole file


class Shard(NamedTuple):
    """Items whose results are one file."""

    number: int
    items: list[Item]


@dataclass(frozen=True)
class ManifestPart:
    """A file of the manifest, and the counts after it."""

    name: str
    sha256: str
    num_files: int
    num_items: int
    num_shards: int


_NO_PARTS = ManifestPart("", "", 0, 0, 0)


class _SeenNames:
    """The names so far, as 64-bit hashes: for 10 million names, the probability that two collide is 1 in 370,000."""

    def __init__(self) -> None:
        self._runs: list[np.ndarray[Any, np.dtype[np.int64]]] = []  # sorted; each at least twice as long as the next

    def add(self, names: list[str]) -> list[bool]:
        """Returns for each name whether it is new."""
        hashes = np.fromiter(map(hash, names), np.int64, len(names))
        unique, first = np.unique(hashes, return_index=True)
        is_new = np.ones(len(unique), bool)
        for run in self._runs:
            found = run[np.minimum(np.searchsorted(run, unique), len(run) - 1)]
            is_new &= found != unique
        if is_new.any():
            self._runs.append(unique[is_new])
        while len(self._runs) > 1 and len(self._runs[-2]) < 2 * len(self._runs[-1]):
            self._runs.append(np.sort(np.concatenate([self._runs.pop(), self._runs.pop()]), kind="stable"))
        flags = np.zeros(len(names), bool)
        flags[first[is_new]] = True
        return [bool(flag) for flag in flags]


class _Sharder:
    """Assigns items, in order, to shards that are limited in files, bytes and seconds of video."""

    def __init__(self, number: int, max_files: int, max_seconds: float) -> None:
        self._limits = max_files, _MAX_SHARD_BYTES, max_seconds
        self._number = number - 1
        self._load: tuple[float, float, float] | None = None

    def assign(self, num_bytes: float, seconds: float) -> int:
        cost = 1, num_bytes, seconds
        load = None if self._load is None else tuple(map(sum, zip(self._load, cost, strict=True)))
        if load is None or any(value > limit for value, limit in zip(load, self._limits, strict=True)):
            self._number += 1
            load = cost
        self._load = load[0], load[1], load[2]
        return self._number

    @property
    def num_shards(self) -> int:
        return self._number + 1


def freeze(
    folder: JobFolder,
    inputs: Iterable[str],
    *,
    max_files: int | None = None,
    segment_s: float,
    whole_videos: bool,
    parts: tuple[ManifestPart, ...] = (),
    on_progress: Callable[[int], None] = lambda _: None,
) -> ManifestPart | None:
    """Lists the inputs and writes the files that the previous parts do not contain as the next part.

    Args:
        folder: Folder of the job.
        inputs: Names of the inputs.
        max_files: Maximum number of files in a shard; None for 1/64 of them, from 32 to 2000.
        segment_s: Length of the segments of videos in seconds.
        whole_videos: Whether videos are not cut into segments.
        parts: The existing parts.
        on_progress: Receives the number of files so far.

    Returns:
        None if there is no new file.

    Raises:
        InputError: An input cannot be listed.
        OutputError: The part cannot be written.
    """
    arrow = import_pyarrow()
    last = parts[-1] if parts else _NO_PARTS
    seen = _SeenNames()
    for batch in _read_batches(folder, parts, ["uri"]):
        seen.add(batch.column("uri").to_pylist())
    schema = arrow.schema([(name, arrow.type_for_alias(alias)) for name, alias in _TYPES.items()])
    name = f"manifest/part-{len(parts):05d}.parquet"
    files, items = last.num_files, last.num_items
    with suppress(_NothingNewError), folder.create(name) as path:
        with (
            ThreadPoolExecutor(_NUM_THREADS, "e2pose-list") as threads,
            arrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer,
        ):
            rest = list_inputs(inputs, threads)
            beginning = _take(rest, _NUM_SHARDS * _MAX_SHARD_FILES)
            share = sum(map(len, beginning)) // _NUM_SHARDS
            max_files = max_files or min(max(_MIN_SHARD_FILES, share), _MAX_SHARD_FILES)
            sharder = _Sharder(last.num_shards, max_files, segment_s)
            for listed in chain(beginning, rest):
                is_new = seen.add([to_text(file.uri) for file in listed])
                new = list(compress(listed, is_new))
                rows = list(_to_rows(new, files, sharder, math.inf if whole_videos else segment_s, threads))
                if rows:
                    writer.write_table(to_arrow(rows, schema))
                    files, items = files + len(new), items + len(rows)
                    on_progress(files)
        if files == last.num_files:
            raise _NothingNewError  # so that the file is not created
        return ManifestPart(name, sha256_of(path), files, items, sharder.num_shards)
    return None


def _take(chunks: Iterator[list[Listed]], num_files: int) -> list[list[Listed]]:
    """Returns the first chunks, up to a number of files."""
    taken: list[list[Listed]] = []
    while num_files > 0 and (chunk := next(chunks, None)) is not None:
        taken.append(chunk)
        num_files -= len(chunk)
    return taken


class _NothingNewError(Exception):
    """The inputs contain no file that the manifest does not contain."""


def read_shards(folder: JobFolder, parts: Iterable[ManifestPart], done: Container[int]) -> Iterator[Shard]:
    """Yields the shards that are not done, in order, with few of them in memory.

    Raises:
        OutputError: A part is missing or not the one that the job was created with.
    """
    number, items = -1, list[Item]()
    for batch in _read_batches(folder, parts, list(_TYPES)):
        shards = batch.column("shard").to_numpy()
        starts = np.flatnonzero(np.diff(shards, prepend=shards[:1] - 1)).tolist()
        for start, stop in pairwise([*starts, len(shards)]):
            if (new_number := int(shards[start])) != number:
                if items:
                    yield Shard(number, items)
                number, items = new_number, []
            if number not in done:
                items += map(_to_item, batch.slice(start, stop - start).to_pylist())
    if items:
        yield Shard(number, items)


def _read_batches(folder: JobFolder, parts: Iterable[ManifestPart], columns: list[str]) -> Iterator[Any]:
    arrow = import_pyarrow()
    for part in parts:
        try:
            with folder.open(part.name) as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != part.sha256:
                    raise OutputError(f"'{folder.address}/{part.name}' has been changed", _RESTORE)
                yield from arrow.parquet.ParquetFile(file).iter_batches(CHUNK, columns=columns)
        except (OSError, arrow.ArrowException) as error:
            raise OutputError(f"cannot read '{folder.address}/{part.name}': {reason_of(error)}", _RESTORE) from error


def _to_item(row: dict[str, Any]) -> Item:
    part = None if row["num_frames"] is None else Segment(*(row[name] for name in Segment._fields))
    return Item(row["id"], row["segment"], row["uri"], row["is_video"], part)


def _to_rows(
    files: list[Listed], first_id: int, sharder: _Sharder, segment_s: float, threads: ThreadPoolExecutor
) -> Iterator[tuple[object, ...]]:
    """Yields the rows of files; threads read the packets of the videos."""
    are_videos = [file.uri.lower().endswith(_VIDEO_SUFFIXES) for file in files]
    cuts = map_ahead(threads, lambda file: _cut(file.uri, segment_s), compress(files, are_videos))
    for number, (file, is_video) in enumerate(zip(files, are_videos, strict=True), start=first_id):
        row = number, 0, to_text(file.uri), file.num_bytes, is_video
        if not is_video:
            yield *row, *_WHOLE, sharder.assign(file.num_bytes or 0, 0)
            continue
        duration_s, segments = next(cuts)
        if not segments:
            yield *row, *_WHOLE, sharder.assign(file.num_bytes or 0, duration_s)
        num_frames = sum(segment.num_frames for segment in segments)
        for index, segment in enumerate(segments):
            share = segment.num_frames / num_frames
            shard = sharder.assign(share * (file.num_bytes or 0), share * duration_s)
            yield number, index, *row[2:], *segment, shard


def _cut(uri: str, segment_s: float) -> tuple[float, list[Segment]]:
    try:
        if not is_address(uri):
            return cut_segments(uri, segment_s)
        with open_file(uri) as file:
            return cut_segments(file, segment_s)
    except InputError:
        return 0.0, []  # the worker reports the reason
