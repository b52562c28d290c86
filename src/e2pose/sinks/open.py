"""The suffix of an output chooses its sink."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path

from e2pose.core.errors import OptionError, OutputError
from e2pose.core.files import check_folder
from e2pose.sinks.base import Draw, Sink
from e2pose.sinks.folder import FolderSink
from e2pose.sinks.images import IMAGE_SUFFIXES, ImageFileSink, check_not_an_input
from e2pose.sinks.numbered import NumberedSink, is_numbered
from e2pose.sinks.parquet import ParquetSink
from e2pose.sinks.text import CocoJsonSink, CsvSink, JsonlSink
from e2pose.sinks.video import VIDEO_SUFFIXES, VideoFileSink
from e2pose.sinks.virtual_camera import PREFIX as CAMERA
from e2pose.sinks.virtual_camera import VirtualCameraSink

_DRAWN: dict[str, Callable[[Path, Draw], Sink]] = {
    **dict.fromkeys(sorted(IMAGE_SUFFIXES), ImageFileSink),
    **dict.fromkeys(sorted(VIDEO_SUFFIXES), VideoFileSink),
}
_DATA: dict[str, Callable[[Path], Sink]] = {
    ".json": CocoJsonSink,
    ".jsonl": JsonlSink,
    ".csv": CsvSink,
    ".parquet": ParquetSink,
}


def open_sink(target: str | Path, *, draw: Draw, inputs: Collection[Path] = ()) -> Sink:
    """Makes the sink for an output and checks that it can be written, before anything else is done.

    A name without suffix, one that ends with a slash and a folder that exists mean a folder. A name with `%06d` means a
    file for each frame, and `camera:` a virtual camera.

    Args:
        target: The file or folder to write.
        draw: Makes the pictures of the sinks that draw.
        inputs: Files that must not be replaced.

    Raises:
        OptionError: The text is empty, or its suffix belongs to no sink.
        MissingExtraError: The sink needs a package that is not installed.
        OutputError: The target is an input, or its folder cannot be written.
    """
    if not str(target).strip():
        raise OptionError(
            "an output has no name: the text is empty", "give a file, or a folder, which ends with a slash"
        )
    if str(target).startswith(CAMERA):
        return VirtualCameraSink(draw, str(target).removeprefix(CAMERA))
    try:
        path = Path(target).expanduser()
        is_folder = not path.suffix or path.is_dir() or str(target).endswith(("/", os.sep))
        check_folder(path if is_folder else path.parent)
    except (OSError, RuntimeError) as error:  # a home folder that is not known is a RuntimeError
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"cannot write '{target}': {reason}", "check the path and its permissions") from error
    if is_folder:
        return FolderSink(path, draw, inputs=inputs)
    if is_numbered(path):
        return NumberedSink(path, draw, inputs=inputs)
    suffix = path.suffix.lower()
    if suffix not in _DRAWN and suffix not in _DATA:
        raise OptionError(
            f"cannot write '{target}': '{suffix}' is no kind of output",
            f"use a folder, which ends with a slash, or a file ending with {', '.join([*_DRAWN, *_DATA])}",
        )
    check_not_an_input(path, inputs)
    return _DRAWN[suffix](path, draw) if suffix in _DRAWN else _DATA[suffix](path)
