"""Chooses the source for the name of an input."""

from __future__ import annotations

import difflib
import glob
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

from e2pose.core.address import SCHEMES, is_address, redact_address
from e2pose.core.errors import InputError
from e2pose.core.frame import Frame, Origin
from e2pose.sources.base import ErrorHandler, NoticeHandler, Source, SourceInfo, ignore_notice, raise_error, reason_of
from e2pose.sources.camera import CameraConnection
from e2pose.sources.image_format import SIGNATURE_LENGTH, detect_format
from e2pose.sources.images import IMAGE_SUFFIXES, read_image
from e2pose.sources.live import LiveSource
from e2pose.sources.screen import SCREEN_PREFIX, ScreenConnection
from e2pose.sources.stream import StreamConnection
from e2pose.sources.video import VIDEO_SUFFIXES, VideoSource

_KNOWN_SUFFIXES = IMAGE_SUFFIXES | VIDEO_SUFFIXES
_CAMERA = re.compile(r"(?:/dev/video)?(\d+)", re.ASCII)
_CHECK_SPELLING = "check the spelling of the path"


class FilesSource:
    """The frames of image and video files, one file after the other, each opened when it is read.

    `on_error` receives the error of each file that cannot be read; the file is then skipped.
    """

    def __init__(self, paths: Sequence[Path], on_error: ErrorHandler = raise_error) -> None:
        self._paths = tuple(paths)
        self._on_error = on_error

    @cached_property
    def info(self) -> SourceInfo:
        """The files and their number of frames, which is unknown if one of the videos does not state it."""
        counts = [_frame_count(path) for path in self._paths]
        known = [count for count in counts if count is not None]
        return SourceInfo(sum(known) if len(known) == len(counts) else None, paths=self._paths)

    def __iter__(self) -> Iterator[Frame]:
        for path in self._paths:
            try:
                if _is_image(path):
                    yield Frame(read_image(path), Origin(str(path), path, frame_count=1))
                else:
                    with _open_video(path) as video:
                        yield from video
            except InputError as error:
                self._on_error(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """Does nothing: the iterator closes each file."""


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
            each file that cannot be read.
        on_notice: Receives a message when the connection to a camera or stream is lost or restored.

    Example:
        >>> with open_source("clips/*.mp4") as source:
        ...     times_s = [frame.time_s for frame in source]
    """
    inputs = [inputs] if isinstance(inputs, str | Path) else inputs
    found: dict[Path, Path] = {}
    for name in inputs:
        try:
            if len(inputs) == 1 and isinstance(name, str) and _is_live(name) and not _exists(name):
                return _open_live(name, on_notice)
            paths = _find_files(str(name))
        except InputError as error:
            on_error(error)
            continue
        for path in paths:
            found.setdefault(path.resolve(), path)
    return FilesSource(list(found.values()), on_error)


def _is_live(name: str) -> bool:
    return bool(_CAMERA.fullmatch(name)) or name.startswith(SCREEN_PREFIX) or is_address(name)


def _exists(name: str) -> bool:
    """Returns whether a file or folder of this name exists; devices such as /dev/video0 do not count."""
    try:
        return Path(name).is_file() or Path(name).is_dir()
    except (OSError, ValueError):
        return False


def _open_live(name: str, on_notice: NoticeHandler) -> Source:
    if camera := _CAMERA.fullmatch(name):
        return LiveSource(name, lambda: CameraConnection(int(camera[1])), on_notice=on_notice)
    if name.startswith(SCREEN_PREFIX):
        return LiveSource(name, lambda: ScreenConnection(name.removeprefix(SCREEN_PREFIX)), on_notice=on_notice)
    public_name = redact_address(name)
    scheme = name.partition(":")[0]
    if scheme.lower() not in SCHEMES:
        raise InputError(
            f"the scheme '{scheme}' of the address '{public_name}' is not supported",
            f"use an address that begins with {', '.join(f'{known}://' for known in SCHEMES)}",
        )
    connection = StreamConnection(name)
    if connection.is_file:
        connection.close()
        return VideoSource(name)
    return LiveSource(public_name, lambda: StreamConnection(name), connection=connection, on_notice=on_notice)


def _is_image(path: Path) -> bool:
    """Returns whether a file is an image, by its suffix or its first bytes."""
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return detect_format(file.read(SIGNATURE_LENGTH)) not in (None, "GIF")  # a GIF is read as a video
    except OSError:
        return False  # opening the file as a video reports the reason


def _open_video(path: Path) -> VideoSource:
    try:
        return VideoSource(path)
    except InputError as error:
        if path.suffix.lower() in VIDEO_SUFFIXES:
            raise
        raise InputError(
            f"'{path}' is neither an image nor a video in a supported format",
            f"supported are files such as {', '.join(sorted(_KNOWN_SUFFIXES))}",
        ) from error


def _frame_count(path: Path) -> int | None:
    if _is_image(path):
        return 1
    try:
        with _open_video(path) as video:
            return video.info.frame_count
    except InputError:
        return 0


def _find_files(name: str) -> list[Path]:
    """Returns the files of an input; an existing file takes precedence over a pattern."""
    if not name.strip():
        raise InputError("the name of an input is empty", "use a file, a folder or a quoted pattern")
    try:
        path = Path(name).expanduser()
        if path.is_dir():
            return _list_folder(path)
        if path.is_file():
            return [path]
        exists = path.exists()
    except (OSError, RuntimeError) as error:  # an unknown home folder is a RuntimeError
        raise InputError(
            f"cannot read '{redact_address(name)}': {reason_of(error)}", "check the path and its permissions"
        ) from error
    if _is_live(name):
        raise InputError(
            f"'{redact_address(name)}' is live and cannot be combined with other inputs",
            "use it as the only input",
        )
    if exists:
        raise InputError(f"'{name}' is a device or a pipe, not a file", "save its data to a file first")
    if glob.has_magic(name):
        return _match_pattern(str(path))
    raise _missing_file_error(path)


def _list_folder(folder: Path) -> list[Path]:
    try:
        files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    except OSError as error:
        raise InputError(f"cannot read the folder '{folder}': {error.strerror}", "check its permissions") from error
    known = [path for path in files if path.suffix.lower() in _KNOWN_SUFFIXES]
    if not known:
        raise InputError(
            f"there is no image or video in the folder '{folder}'",
            f"subfolders are not searched; to include them, quote a pattern: '{folder / '**' / '*.jpg'}'",
        )
    return sorted(known, key=_natural_key)


def _match_pattern(pattern: str) -> list[Path]:
    """Returns the matching files; files with other suffixes count only if no image or video matches."""
    files = [path for path in map(Path, glob.glob(pattern, recursive=True)) if path.is_file()]  # noqa: PTH207
    if not files:
        raise InputError(
            f"no file matches the pattern '{pattern}'", "check its folder and suffix; '**' matches all subfolders"
        )
    known = [path for path in files if path.suffix.lower() in _KNOWN_SUFFIXES]
    return sorted(known or files, key=_natural_key)


def _natural_key(path: Path) -> tuple[tuple[int, int, str], ...]:
    """Sort key that places `a2` before `a10`."""
    words = re.split(r"(\d+)", str(path))
    return tuple((0, int(word), word) if word.isdecimal() else (1, 0, word.casefold()) for word in words)


def _missing_file_error(path: Path) -> InputError:
    folder = path.parent
    if not folder.is_dir():
        return InputError(f"there is no file '{path}': its folder does not exist", _CHECK_SPELLING)
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError:
        names = []  # the folder may allow reading its files but not listing them
    similar = difflib.get_close_matches(path.name, names, n=3)
    hint = f"did you mean {' or '.join(repr(str(folder / name)) for name in similar)}?" if similar else ""
    return InputError(f"there is no file '{path}'", hint or _CHECK_SPELLING)
