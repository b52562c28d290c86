"""Files that the name of an input selects."""

from __future__ import annotations

import difflib
import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path

from e2pose.core.errors import InputError
from e2pose.core.files import expand_home, reason_of
from e2pose.sources.base import NoticeHandler, ignore_notice
from e2pose.sources.files import KNOWN_SUFFIXES

_CHECK_SPELLING = "check the spelling of the path"
_FRAME_NUMBER = re.compile(r"%\d*d(?![a-zA-Z])")
_MAX_NAMES = 3  # of skipped files in a message
# A suffix that MPEG transport streams share with TypeScript. Source: ISO/IEC 13818-1 and the BDAV format.
_TRANSPORT_SUFFIXES = (".ts", ".mts")
_TRANSPORT_PACKETS = ((0, 188), (4, 196))  # positions of the first two bytes 0x47


def find_files(name: str, on_notice: NoticeHandler = ignore_notice) -> list[Path]:
    """Returns the files of an input, in natural order; an existing file takes precedence over a pattern.

    `on_notice` receives a message about files of a folder or pattern that are neither images nor videos.

    Raises:
        InputError: There is no such file, or no image or video in the folder.
    """
    if not name.strip():
        raise InputError("the name of an input is empty", "use a file, a folder or a quoted pattern")
    try:
        path = expand_home(name)
        if path.is_dir():
            return _list_folder(path, on_notice)
        if path.is_file():
            return [path]
        exists = path.exists()
    except OSError as error:
        raise InputError(f"cannot read '{name}': {reason_of(error)}", "check the path and its permissions") from error
    if name == "-":
        raise InputError(
            "'-' (standard input) is not supported as an input",
            "save the data to a file; use './-' for a file named '-'",
        )
    if exists:
        raise InputError(f"'{name}' is a device or a pipe, not a file", "save its data to a file first")
    if glob.has_magic(name):
        return _match_pattern(str(path), on_notice)
    raise _missing_file_error(path)


def _list_folder(folder: Path, on_notice: NoticeHandler) -> list[Path]:
    try:
        files = [path for path in folder.iterdir() if not path.is_dir() and not path.name.startswith(".")]
    except OSError as error:
        raise InputError(f"cannot read the folder '{folder}': {error.strerror}", "check its permissions") from error
    known = _select_known(files, f"in the folder '{folder}'", on_notice)
    if not known:
        raise InputError(
            f"there is no image or video in the folder '{folder}'",
            f"subfolders are not searched; to include them, quote a pattern: '{folder / '**' / '*.jpg'}'",
        )
    return known


def _match_pattern(pattern: str, on_notice: NoticeHandler) -> list[Path]:
    """Returns the matching files; files with other suffixes count only if no image or video matches.

    Of several paths of a file, as links to folders make, the shortest counts.
    """
    paths = map(Path, glob.glob(pattern, recursive=True))  # noqa: PTH207
    found: dict[str, Path] = {}
    for path in sorted(paths, key=lambda path: (len(path.parts), _natural_key(path))):
        file = os.path.realpath(path)
        if not Path(file).is_dir():
            found.setdefault(file, path)
    files = list(found.values())
    if not any(path.is_file() for path in files):
        folder = Path(pattern).parent
        if folder.is_dir() and not os.access(folder, os.R_OK | os.X_OK):
            raise InputError(f"cannot read the folder '{folder}': Permission denied", "check its permissions")
        raise InputError(
            f"no file matches the pattern '{pattern}'", "check its folder and suffix; '**' matches all subfolders"
        )
    known = _select_known(files, f"of the pattern '{pattern}'", on_notice)
    return known or sorted(filter(Path.is_file, files), key=_natural_key)


def _select_known(files: Sequence[Path], where: str, on_notice: NoticeHandler) -> list[Path]:
    """Returns the images and videos, in natural order, and reports the other files."""
    known: list[Path] = []
    others: list[str] = []
    for path in sorted(files, key=_natural_key):
        if path.is_file() and is_known(path):  # not a pipe, which blocks when it is opened, or a link to a missing file
            known.append(path)
        else:
            others.append(path.name)
    if known and others:
        names = ", ".join(others[:_MAX_NAMES])
        more = f" and {len(others) - _MAX_NAMES} more" if len(others) > _MAX_NAMES else ""
        number = "1 file" if len(others) == 1 else f"{len(others)} files"
        on_notice(f"skipped {number} {where} that cannot be read as images or videos: {names}{more}")
    return known


def is_known(path: Path) -> bool:
    """Returns whether a file of a folder is read: by its suffix, and `.ts` files, which may be programs, by content."""
    suffix = path.suffix.lower()
    return suffix in KNOWN_SUFFIXES and (suffix not in _TRANSPORT_SUFFIXES or _is_transport_stream(path))


def _is_transport_stream(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(200)
    except OSError:
        return True  # opening the file reports the reason
    return any(head[first : first + 1] == head[second : second + 1] == b"G" for first, second in _TRANSPORT_PACKETS)


def _natural_key(path: Path) -> tuple[tuple[int, int, str], ...]:
    """Sort key that places `a2` before `a10`."""
    words = re.split(r"(\d+)", str(path))
    return tuple((0, int(word), word) if word.isdecimal() else (1, 0, word.casefold()) for word in words)


def _missing_file_error(path: Path) -> InputError:
    folder = path.parent
    if path.is_symlink():
        target = path.readlink()
        return InputError(f"'{path}' is a link to '{target}', which does not exist", "restore the file, or its path")
    if _FRAME_NUMBER.search(path.name):
        pattern = path.with_name(_FRAME_NUMBER.sub("*", path.name))
        return InputError(f"there is no file '{path}'", f"for numbered images, use a quoted pattern: '{pattern}'")
    if not folder.is_dir():
        return InputError(f"there is no file '{path}': its folder does not exist", _CHECK_SPELLING)
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError:
        names = []  # the folder may allow reading its files but not listing them
    similar = difflib.get_close_matches(path.name, names, n=3)
    hint = f"did you mean {' or '.join(repr(str(folder / name)) for name in similar)}?" if similar else ""
    return InputError(f"there is no file '{path}'", hint or _CHECK_SPELLING)
