"""A sink that writes one line of JSON for each frame."""

from __future__ import annotations

from e2pose.core.frame import Frame
from e2pose.core.poses import Poses
from e2pose.formats.jsonl import to_json_line
from e2pose.sinks.text import TextSink


class JsonlSink(TextSink):
    """Writes the poses of each frame as a line of JSON, as `formats/jsonl.py` defines it."""

    def write(self, frame: Frame, poses: Poses) -> None:
        """Appends the line of a frame."""
        self._append(to_json_line(frame, poses) + "\n")
