"""A sink that writes a table with one row for each person."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from e2pose.core.frame import Frame
from e2pose.core.poses import Poses
from e2pose.formats.table import to_header, to_rows
from e2pose.sinks.text import TextSink


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
