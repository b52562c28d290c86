"""A sink that writes COCO results."""

from __future__ import annotations

import json
from pathlib import Path

from e2pose.core.frame import Frame, Origin
from e2pose.core.poses import Poses
from e2pose.formats.coco import to_coco_results
from e2pose.formats.record import TIME_DIGITS
from e2pose.sinks.text import TextSink

_MOST_DIGITS = 15  # every reader of JSON holds whole numbers of this length exactly


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
