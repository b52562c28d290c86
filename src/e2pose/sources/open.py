"""Chooses the source for the name of an input."""

from __future__ import annotations

import re
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from e2pose.core.address import SCHEMES, is_address, redact_address
from e2pose.core.arguments import check_callable, check_list, check_path
from e2pose.core.errors import InputError
from e2pose.sources.base import ErrorHandler, NoticeHandler, Source, ignore_notice, raise_error, unexpected_error
from e2pose.sources.camera import CameraConnection
from e2pose.sources.files import FilesSource
from e2pose.sources.find import find_files
from e2pose.sources.live import LiveSource
from e2pose.sources.screen import SCREEN_PREFIX, ScreenConnection
from e2pose.sources.stream import StreamConnection
from e2pose.sources.video import VideoSource

_CAMERA = re.compile(r"(?:/dev/video)?(\d+)", re.ASCII)


def open_source(
    inputs: str | Path | Sequence[str | Path],
    *,
    on_error: ErrorHandler = raise_error,
    on_notice: NoticeHandler = ignore_notice,
) -> Source:
    """Opens images, videos, cameras, streams or screens.

    An input is a file, a folder (its images and videos in natural order, without subfolders) or a pattern with `*`,
    `**`, `?` or `[...]`. Duplicate files are read once. A single input may also be the number of a camera, the address
    of a stream, or `screen:` with a number or region. An existing file of the same name takes precedence.

    Args:
        inputs: One input or several.
        on_error: Receives, immediately, the error of each input that does not exist and, during iteration, the error of
            each file, or video at an address, that cannot be read.
        on_notice: Receives a message about files that are passed over, and when the connection to a camera or stream is
            lost or restored.

    Example:
        >>> with open_source("clips/*.mp4") as source:
        ...     times_s = [frame.time_s for frame in source]
    """
    check_callable("'on_error'", on_error, hint="pass a function that takes an error, or omit it")
    check_callable("'on_notice'", on_notice, hint="pass a function that takes a text, or omit it")
    inputs = [inputs] if isinstance(inputs, str | PathLike) else inputs
    inputs = check_list("the inputs", inputs, hint="pass a path, an address, or a list of them")
    found: dict[Path, Path] = {}
    for name in inputs:
        try:
            name = check_path("the name of an input", name, error=InputError)  # noqa: PLW2901
            if isinstance(name, str) and _is_live(name) and not _exists(name):
                return _open_live(name, on_error, on_notice, is_alone=len(inputs) == 1)
            paths = find_files(str(name), on_notice)
        except Exception as error:
            on_error(unexpected_error(redact_address(str(name)), error))
            continue
        for path in paths:
            found.setdefault(path.resolve(), path)
    return FilesSource(list(found.values()), on_error, on_notice)


def _is_live(name: str) -> bool:
    return bool(_CAMERA.fullmatch(name)) or name.startswith(SCREEN_PREFIX) or is_address(name)


def _exists(name: str) -> bool:
    """Returns whether a file or folder of this name exists; devices such as /dev/video0 do not count."""
    try:
        return Path(name).is_file() or Path(name).is_dir()
    except (OSError, ValueError):
        return False


def _open_live(name: str, on_error: ErrorHandler, on_notice: NoticeHandler, *, is_alone: bool) -> Source:
    public_name = redact_address(name)
    if not is_alone:
        raise InputError(
            f"'{public_name}' is a camera, screen or address and cannot be combined with other inputs",
            "use it as the only input",
        )
    if camera := _CAMERA.fullmatch(name):
        return LiveSource(name, lambda: CameraConnection(int(camera[1])), on_notice=on_notice)
    if name.startswith(SCREEN_PREFIX):
        return LiveSource(name, lambda: ScreenConnection(name.removeprefix(SCREEN_PREFIX)), on_notice=on_notice)
    scheme, _, rest = name.partition(":")
    if scheme.lower() not in SCHEMES:
        accepted = f"use an address that begins with {', '.join(f'{known}://' for known in SCHEMES)}"
        raise InputError(
            f"the scheme '{scheme}' of the address '{public_name}' is not supported",
            "use the path of the file without 'file://'" if scheme.lower() == "file" else accepted,
        )
    name = f"{scheme.lower()}:{rest}"  # FFmpeg does not accept capital letters
    connection = StreamConnection(name)
    if connection.is_file:
        connection.close()
        return VideoSource(name, on_error)
    return LiveSource(public_name, lambda: StreamConnection(name), connection=connection, on_notice=on_notice)
