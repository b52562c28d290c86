"""A sink that writes one file for each frame."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from pathlib import Path
from types import TracebackType
from typing import Self

from e2pose.core.errors import OptionError
from e2pose.core.files import atomic_path
from e2pose.core.frame import Frame
from e2pose.core.poses import Poses
from e2pose.formats.openpose import to_openpose
from e2pose.sinks.base import Draw
from e2pose.sinks.images import IMAGE_SUFFIXES, check_not_an_input, encode_image

_NUMBER = re.compile(r"%(0[1-9]\d?)?d(?![a-zA-Z])")  # not the middle of "100%done"


class NumberedSink:
    """Writes each frame into a file of its own; frames are counted from 0 over all inputs.

    The suffix chooses what is written: `.json` is OpenPose's form, as `formats/openpose.py` defines it, and that of a
    picture gets the poses drawn.

    Args:
        pattern: The files, with `%d` or, for six digits, `%06d` in their name.
        draw: Makes the pictures.
        inputs: Files that must not be replaced.

    Raises:
        OptionError: The pattern has no number or several, or its suffix is another one.
    """

    def __init__(self, pattern: str | Path, draw: Draw, *, inputs: Collection[Path] = ()) -> None:
        self._pattern = Path(pattern)
        self._inputs = inputs
        self._encode = self._encoder(draw)
        self._count = 0
        if not is_numbered(pattern):
            raise OptionError(f"'{pattern}' does not number its files", "write '%06d' once where the number belongs")

    def write(self, frame: Frame, poses: Poses) -> None:
        """Writes the file of the next frame.

        Raises:
            OutputError: It is an input or cannot be written.
        """
        path = self._pattern.with_name(_NUMBER.sub(self._digits, self._pattern.name))
        check_not_an_input(path, self._inputs)
        data = self._encode(frame, poses)
        with atomic_path(path) as temporary:
            temporary.write_bytes(data)
        self._count += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Does nothing: every file is finished already."""

    def _digits(self, place: re.Match[str]) -> str:
        return f"{self._count:{place[1] or ''}d}"

    def _encoder(self, draw: Draw) -> Callable[[Frame, Poses], bytes]:
        suffix = self._pattern.suffix.lower()
        if suffix == ".json":
            return lambda _, poses: json.dumps(to_openpose(poses), allow_nan=False).encode()
        if suffix in IMAGE_SUFFIXES:
            return lambda frame, poses: encode_image(draw(frame, poses), self._pattern)
        raise OptionError(
            f"cannot write '{self._pattern}': no files for each frame end like that",
            f"use .json for OpenPose's form, or one of {', '.join(sorted(IMAGE_SUFFIXES))}",
        )


def is_numbered(target: str | Path) -> bool:
    """Whether the name of a file has one place for the number of a frame."""
    return len(_NUMBER.findall(Path(target).name)) == 1
