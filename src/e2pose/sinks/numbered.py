"""A sink that writes one numbered file for each frame."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Self

from e2pose.core.errors import OptionError
from e2pose.core.files import atomic_path
from e2pose.core.frame import Frame
from e2pose.core.poses import Poses
from e2pose.formats.openpose import to_openpose
from e2pose.sinks.base import Draw
from e2pose.sinks.images import IMAGE_SUFFIXES, check_not_an_input, encode_image

_NUMBER = re.compile(r"%0?([1-9]\d?)?d(?![a-zA-Z])")  # does not match inside "100%done"


class NumberedFilesSink:
    """Writes one file for each frame, numbered from 0 over all inputs; never replaces one of `inputs`.

    The file name of `pattern` has one `%d`, or `%06d` (also written `%6d`) for six digits. With the suffix `.json`, the
    files have the OpenPose format of `formats/openpose.py`; with an image suffix, they hold the frames with the poses
    drawn.

    Raises:
        OptionError: The suffix is not supported.
    """

    def __init__(self, pattern: str | Path, draw: Draw, *, inputs: Collection[Path] = ()) -> None:
        self._pattern = Path(pattern)
        self._inputs = inputs
        self._encode = self._choose_encoder(draw)
        self._index = 0

    def write(self, frame: Frame, poses: Poses) -> None:
        """Writes the file of the next frame; raises an `OutputError` if the file is an input."""
        path = self._pattern.with_name(
            _NUMBER.sub(lambda match: f"{self._index:0{match[1] or 1}d}", self._pattern.name)
        )
        check_not_an_input(path, self._inputs)
        data = self._encode(frame, poses)
        with atomic_path(path) as temporary:
            temporary.write_bytes(data)
        self._index += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """Does nothing: every file is complete."""

    def _choose_encoder(self, draw: Draw) -> Callable[[Frame, Poses], bytes]:
        suffix = self._pattern.suffix.lower()
        if suffix == ".json":
            return lambda _, poses: json.dumps(to_openpose(poses), allow_nan=False).encode()
        if suffix in IMAGE_SUFFIXES:
            return lambda frame, poses: encode_image(draw(frame, poses), self._pattern)
        raise OptionError(
            f"cannot write '{self._pattern}': one file per frame is not supported for this suffix",
            f"use .json for the OpenPose format, or one of {', '.join(sorted(IMAGE_SUFFIXES))}",
        )


def count_numbers(name: str) -> int:
    """Returns how many placeholders for the frame number a name contains."""
    return len(_NUMBER.findall(name))
