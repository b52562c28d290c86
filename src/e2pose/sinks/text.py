"""Sinks that write text: JSON lines, CSV and COCO results."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection
from pathlib import Path
from typing import Self

from e2pose.core.frame import Frame, Origin
from e2pose.core.poses import Poses
from e2pose.formats.coco_results import to_coco_results
from e2pose.formats.jsonl import to_json_line
from e2pose.formats.record import TIME_DIGITS
from e2pose.formats.table import to_header, to_rows
from e2pose.sinks.reserved_file import FileSink

_MAX_ID_DIGITS = 15  # every JSON reader represents integers of this length exactly
_RESERVED_BYTES = 1 << 20  # for the frame that did not fit, with many persons, and the end


class TextSink(FileSink):
    r"""A UTF-8 file that grows with every frame, with the text `before` at its beginning and `after` at its end.

    A byte of a file name that is not UTF-8, such as FF, is written as `\udcff`, which is an escape in JSON.
    """

    def __init__(self, path: str | Path, before: str = "", after: str = "") -> None:
        super().__init__(path, _RESERVED_BYTES)
        self._before = before
        self._after = after

    def __enter__(self) -> Self:
        self._raw = self._create()
        buffer = io.BufferedWriter(self._raw)
        text = io.TextIOWrapper(buffer, "utf-8", errors="backslashreplace", newline="", write_through=True)
        self._file = self._opened.enter_context(text)
        self._file.write(self._before)
        return self

    def _append(self, text: str) -> None:
        """Writes the text of one frame; if the disk is full, raises an `OutputError` after writing it."""
        self._file.write(text)
        self._raw.raise_if_full()

    def _finish(self) -> None:
        self._file.write(self._after)


class JsonlSink(TextSink):
    """Writes one line of JSON for each frame, in the format of `formats/jsonl.py`."""

    def write(self, frame: Frame, poses: Poses) -> None:
        """Appends the line of a frame."""
        self._append(to_json_line(frame, poses) + "\n")


class CsvSink(TextSink):
    """Writes one row of comma-separated values for each person, in the format of `formats/table.py`."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self._has_header = False

    def write(self, frame: Frame, poses: Poses) -> None:
        """Appends the rows of a frame, after the header if the frame is the first."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        if not self._has_header:
            table.writerow(to_header(poses.schema))
            self._has_header = True
        table.writerows(to_rows(frame, poses))
        self._append(text.getvalue())


class CocoJsonSink(TextSink):
    """Writes the poses of all frames as one JSON file of COCO results.

    Each person is an entry in COCO format plus `file_name`. The `image_id` of an image is the number in its file name
    if the name is only a number ("000000000139.jpg" has the id 139) and the id is unused. Other images and each frame
    of a video get the next unused number from 1. Entries of videos and cameras also have `frame` and `time_s`, those of
    pages `frame`.

    Args:
        path: The file to write.
        inputs: The files that will be written, as far as they are known. The numbers in their names are reserved, so
            that no earlier image without a number takes them.
    """

    def __init__(self, path: str | Path, inputs: Collection[Path] = ()) -> None:
        super().__init__(path, before="[", after="\n]\n")
        self._separator = "\n"
        self._reserved_ids = {_number_in_name(file) for file in inputs}
        self._named_ids: set[int] = set()
        self._running_id = 0

    def write(self, frame: Frame, poses: Poses) -> None:
        """Appends the poses of a frame."""
        origin = frame.origin
        fields: dict[str, float] = {} if origin.is_still and origin.frame_count in (None, 1) else {"frame": frame.index}
        if not origin.is_still:
            fields["time_s"] = round(frame.time_s, TIME_DIGITS)
        file_name = origin.path.name if origin.path else origin.name
        for entry in to_coco_results(poses, self._image_id(origin), file_name):
            text = json.dumps({**entry, **fields}, ensure_ascii=False, allow_nan=False)
            self._append(self._separator + text)
            self._separator = ",\n"

    def _image_id(self, origin: Origin) -> int:
        number = _number_in_name(origin.path) if origin.is_still and origin.path else None
        is_free = number in self._reserved_ids or number not in range(1, self._running_id + 1)
        if number is not None and number not in self._named_ids and is_free:
            self._named_ids.add(number)
            return number
        self._running_id += 1
        while self._running_id in self._named_ids or self._running_id in self._reserved_ids:
            self._running_id += 1
        return self._running_id


def _number_in_name(path: Path) -> int | None:
    """Returns the number in a file name that is only a number."""
    stem = path.stem
    return int(stem) if stem.isascii() and stem.isdigit() and len(stem) <= _MAX_ID_DIGITS else None
