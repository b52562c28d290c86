"""Sinks that write text: JSON lines, CSV and COCO results."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from e2pose.core.files import atomic_path
from e2pose.core.frame import Frame, Origin
from e2pose.core.poses import Poses
from e2pose.formats.coco_results import to_coco_results
from e2pose.formats.jsonl import to_json_line
from e2pose.formats.record import TIME_DIGITS
from e2pose.formats.table import to_header, to_rows
from e2pose.sinks.base import is_kept
from e2pose.sinks.reserved_file import ReservedFile

_MOST_DIGITS = 15  # every reader of JSON holds whole numbers of this length exactly
_SPARE_BYTES = 1 << 20  # for the frame that did not fit, with everybody in it, and the end


class TextSink:
    """A UTF-8 file that grows with every frame and appears under its name when the context ends.

    A byte of a file name that is not UTF-8, such as FF, becomes a backslash and `udcff`: in JSON that is an escape.

    Args:
        path: The file to write.
        before: Text at its beginning.
        after: Text at its end.
    """

    def __init__(self, path: str | Path, before: str = "", after: str = "") -> None:
        self._opened = _open(Path(path), before, after)

    def __enter__(self) -> Self:
        self._file, self._spare = self._opened.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if is_kept(error):
            self._opened.__exit__(None, None, None)
        else:
            self._opened.__exit__(kind, error, trace)

    def _append(self, text: str) -> None:
        """Writes the text of a whole frame.

        Raises:
            OutputError: The disk is full; the frame is in the file nevertheless.
        """
        self._file.write(text)
        self._spare.check()


class JsonlSink(TextSink):
    """Writes the poses of each frame as a line of JSON, as `formats/jsonl.py` defines it."""

    def write(self, frame: Frame, poses: Poses) -> None:
        """Appends the line of a frame."""
        self._append(to_json_line(frame, poses) + "\n")


class CsvSink(TextSink):
    """Writes the poses as comma-separated values, as `formats/table.py` defines them.

    Args:
        path: The file to write.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self._has_header = False

    def write(self, frame: Frame, poses: Poses) -> None:
        """Appends the rows of a frame; the first frame also brings the header."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        if not self._has_header:
            table.writerow(to_header(poses.schema))
            self._has_header = True
        table.writerows(to_rows(frame, poses))
        self._append(text.getvalue())


class CocoJsonSink(TextSink):
    """Writes the poses of all frames as one file of COCO results.

    Each person is an entry as COCO defines it, with `file_name` besides. The `image_id` of a still picture is the
    number in its file name if that is nothing but a number ("000000000139.jpg" has the id 139) and the id is free;
    everything else gets the next free number from 1. Entries of videos and cameras also have `frame` and `time_s`.

    Args:
        path: The file to write.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path, before="[", after="\n]\n")
        self._separator = "\n"
        self._named_ids: set[int] = set()
        self._running_id = 0

    def write(self, frame: Frame, poses: Poses) -> None:
        """Appends the poses of a frame."""
        origin = frame.origin
        moment = {} if origin.is_still else {"frame": frame.index, "time_s": round(frame.time_s, TIME_DIGITS)}
        file_name = origin.path.name if origin.path else origin.name
        for entry in to_coco_results(poses, self._image_id(origin), file_name):
            text = json.dumps({**entry, **moment}, ensure_ascii=False, allow_nan=False)
            self._append(self._separator + text)
            self._separator = ",\n"

    def _image_id(self, origin: Origin) -> int:
        stem = origin.path.stem if origin.is_still and origin.path else ""
        if stem.isascii() and stem.isdigit() and len(stem) <= _MOST_DIGITS:
            number = int(stem)
            if number not in self._named_ids and not 1 <= number <= self._running_id:
                self._named_ids.add(number)
                return number
        self._running_id += 1
        while self._running_id in self._named_ids:
            self._running_id += 1
        return self._running_id


@contextmanager
def _open(path: Path, before: str, after: str) -> Iterator[tuple[io.TextIOWrapper, ReservedFile]]:
    with (
        atomic_path(path) as temporary,
        ReservedFile(temporary, path, _SPARE_BYTES) as spare,
        io.TextIOWrapper(
            io.BufferedWriter(spare), "utf-8", errors="backslashreplace", newline="", write_through=True
        ) as file,
    ):
        file.write(before)
        yield file, spare
        file.write(after)
