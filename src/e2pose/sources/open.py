"""The text that names an input chooses its source."""

from __future__ import annotations

import difflib
import glob
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from e2pose.core.errors import InputError
from e2pose.core.frame import Frame
from e2pose.sources.address import is_address, public_name
from e2pose.sources.base import ErrorHandler, Notice, Source, SourceInfo, keep_quiet, stop_at_error
from e2pose.sources.camera import CameraConnection
from e2pose.sources.containers import SIGNATURE_LENGTH, picture_format
from e2pose.sources.images import IMAGE_SUFFIXES, ImageSource
from e2pose.sources.live import LiveSource
from e2pose.sources.screen import PREFIX as SCREEN
from e2pose.sources.screen import ScreenConnection
from e2pose.sources.stream import SCHEMES, StreamConnection
from e2pose.sources.video import VIDEO_SUFFIXES, VideoSource

_KNOWN_SUFFIXES = IMAGE_SUFFIXES | VIDEO_SUFFIXES
_CAMERA = re.compile(r"(?:/dev/video)?(\d+)", re.ASCII)


class FilesSource:
    """The frames of picture and video files, one file after the other.

    Each file is opened when its turn comes. A file that cannot be read is told to the handler and passed over.

    Args:
        paths: The files.
        on_error: Told of the files that cannot be read.
    """

    def __init__(self, paths: Sequence[Path], *, on_error: ErrorHandler = stop_at_error) -> None:
        self.paths = tuple(paths)
        self._on_error = on_error

    @cached_property
    def info(self) -> SourceInfo:
        """How many frames will come, which is not known if one of the videos does not say."""
        counts = [_frame_count(path) for path in self.paths]
        known = [count for count in counts if count is not None]
        return SourceInfo(sum(known) if len(known) == len(counts) else None, paths=self.paths)

    def __iter__(self) -> Iterator[Frame]:
        """Reads the files."""
        for path in self.paths:
            try:
                with _open_file(path) as source:
                    yield from source
            except InputError as error:
                problem = error
            else:
                continue
            self._on_error(problem)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Does nothing: each file is closed when its turn is over."""


def open_source(
    texts: str | Path | Sequence[str | Path],
    *,
    on_error: ErrorHandler = stop_at_error,
    on_notice: Notice = keep_quiet,
) -> Source:
    """Finds what is meant and gives its frames.

    A text names a file, a folder (its pictures and videos in natural order, without its subfolders) or a pattern with
    `*`, `**`, `?` or `[...]`. A file that is named twice is read once. A text that is given alone may also be the
    number of a camera, the address of a stream, or `screen:` with a number or region; a file of that name comes first.

    Args:
        texts: One text or several.
        on_error: Told, at once, of the texts that name nothing and, later, of the files that cannot be read.
        on_notice: Told when the connection to a camera or stream is lost and found.
    """
    texts = [texts] if isinstance(texts, str | Path) else texts
    found: dict[Path, Path] = {}
    for text in texts:
        try:
            if len(texts) == 1 and _is_live(text):
                return _open_live(str(text), on_notice)
            paths = _expand(str(text))
        except InputError as error:
            on_error(error)
            continue
        for path in paths:
            found.setdefault(path.resolve(), path)
    return FilesSource(list(found.values()), on_error=on_error)


def _is_live(text: str | Path) -> bool:
    """Whether a text means something else than files; a file that is called like that is that file."""
    return isinstance(text, str) and not _is_file(text) and _looks_live(text)


def _looks_live(text: str) -> bool:
    return bool(_CAMERA.fullmatch(text)) or text.startswith(SCREEN) or is_address(text)


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file() or Path(text).is_dir()
    except (OSError, ValueError):
        return False


def _open_live(text: str, on_notice: Notice) -> Source:
    if camera := _CAMERA.fullmatch(text):
        return LiveSource(text, lambda: CameraConnection(int(camera[1])), on_notice=on_notice)
    if text.startswith(SCREEN):
        return LiveSource(text, lambda: ScreenConnection(text.removeprefix(SCREEN)), on_notice=on_notice)
    scheme = text.partition(":")[0]
    if scheme.lower() not in SCHEMES:
        raise InputError(
            f"'{public_name(text)}' is an address of the kind '{scheme}', which cannot be read",
            f"addresses begin with one of {', '.join(f'{known}://' for known in SCHEMES)}",
        )
    first: list[StreamConnection] = [StreamConnection(text)]
    if first[0].is_file:
        first.pop().close()
        return VideoSource(text)
    return LiveSource(public_name(text), lambda: first.pop() if first else StreamConnection(text), on_notice=on_notice)


def _open_file(path: Path) -> ImageSource | VideoSource:
    """Opens a file by its first bytes, and by its name where these say nothing."""
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES or _starts_like_a_picture(path):
        return ImageSource(path)
    try:
        return VideoSource(path)
    except InputError as error:
        if suffix in VIDEO_SUFFIXES:
            raise
        raise InputError(
            f"'{path}' is neither a picture nor a video that can be read",
            f"accepted are files such as {', '.join(sorted(_KNOWN_SUFFIXES))}",
        ) from error


def _starts_like_a_picture(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return picture_format(file.read(SIGNATURE_LENGTH)) is not None
    except OSError:
        return False  # opening it as a video tells what is wrong


def _frame_count(path: Path) -> int | None:
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return 1
    try:
        with _open_file(path) as source:
            return source.info.frame_count
    except InputError:
        return 0


def _expand(text: str) -> list[Path]:
    """The files that a text names; a file that is called like a pattern is that file."""
    if not text.strip():
        raise InputError("an input has no name: the text is empty", "give a file, a folder or a quoted pattern")
    try:
        path = Path(text).expanduser()
        if path.is_dir():
            return _in_folder(path)
        if path.is_file():
            return [path]
        exists = path.exists()
    except (OSError, RuntimeError) as error:  # a home folder that is not known is a RuntimeError
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read '{text}': {reason}", "check the path and its permissions") from error
    if _looks_live(text):
        raise InputError(f"'{public_name(text)}' is live and cannot share a run with others", "give it alone")
    if exists:
        raise InputError(f"'{text}' is a device or a pipe, not a file", "save to a file first")
    if glob.has_magic(text):
        return _matches(str(path))
    raise _nothing_there(path)


def _in_folder(folder: Path) -> list[Path]:
    try:
        files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    except OSError as error:
        raise InputError(f"cannot read the folder '{folder}': {error.strerror}", "check its permissions") from error
    known = [path for path in files if path.suffix.lower() in _KNOWN_SUFFIXES]
    if not known:
        raise InputError(
            f"there is no picture or video in the folder '{folder}'",
            f"subfolders are not searched; to include them, quote a pattern: '{folder / '**' / '*.jpg'}'",
        )
    return sorted(known, key=_natural)


def _matches(pattern: str) -> list[Path]:
    """The files that match; those that are neither picture nor video by name only count if there are no others."""
    files = [path for path in map(Path, glob.glob(pattern, recursive=True)) if path.is_file()]  # noqa: PTH207
    if not files:
        raise InputError(
            f"no file matches the pattern '{pattern}'", "check its folder and suffix; '**' means all folders"
        )
    known = [path for path in files if path.suffix.lower() in _KNOWN_SUFFIXES]
    return sorted(known or files, key=_natural)


def _natural(path: Path) -> tuple[tuple[int, int, str], ...]:
    """Sorts `a2` before `a10`."""
    words = re.split(r"(\d+)", str(path))
    return tuple((0, int(word), word) if word.isdecimal() else (1, 0, word.casefold()) for word in words)


def _nothing_there(path: Path) -> InputError:
    folder = path.parent
    if not folder.is_dir():
        return InputError(f"there is no file '{path}': its folder does not exist", "check the spelling of the path")
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError:
        names = []  # a folder may let its files be read and not be listed
    close = difflib.get_close_matches(path.name, names, n=3)
    hint = f"did you mean {' or '.join(repr(str(folder / name)) for name in close)}?" if close else ""
    return InputError(f"there is no file '{path}'", hint or "check the spelling of the path")
