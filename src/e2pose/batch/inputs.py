"""Lists the inputs of a job: files, folders, patterns, lists and Parquet tables, local or in an object store.

Paths arrive in chunks and in a fixed order, so that millions of them need little memory.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from glob import has_magic
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

from e2pose.batch.storage import import_pyarrow, locate
from e2pose.core.address import is_address
from e2pose.core.errors import InputError
from e2pose.core.files import reason_of
from e2pose.sources.files import KNOWN_SUFFIXES
from e2pose.sources.find import is_known

CHUNK = 1 << 14
"""Number of files that are held in memory."""

_KNOWN_SUFFIXES = tuple(KNOWN_SUFFIXES)
_COLUMNS = ("uri", "file", "path")
_CHECK_SPELLING = "check the spelling of the path"
_T = TypeVar("_T")
_R = TypeVar("_R")


class Listed(NamedTuple):
    """A file that was found."""

    uri: str  # absolute path or address
    num_bytes: int | None  # None if unknown


class _Listing(NamedTuple):
    files: list[Listed]  # with a known suffix if listed for a folder, all for a pattern
    folders: list[str]


def list_inputs(names: Iterable[str], threads: ThreadPoolExecutor) -> Iterator[list[Listed]]:
    """Yields the files of all inputs in chunks, in the order of the inputs and then sorted by folder and name.

    An input is a file, a folder with its subfolders, a pattern with `*`, `**`, `?` or `[...]`, a text file after `@`
    with one file per line, or a Parquet table with the files in the column `uri`, `file` or `path` and, optionally,
    their sizes in `bytes`. Folders and patterns skip hidden files.

    Raises:
        InputError: An input does not exist or cannot be listed.
    """
    for name in names:
        if name.startswith("@"):
            yield from _read_list(name[1:], threads)
        elif name.lower().endswith(".parquet"):
            yield from _read_table(name, threads)
        else:
            yield from _list_name(to_address(name), threads)


def to_address(name: str) -> str:
    """Returns an address as it is, and the absolute form of a path with `/`."""
    if is_address(name):
        return name
    return os.path.abspath(os.path.expanduser(name)).replace(os.sep, "/")  # noqa: PTH100, PTH111 - fast


def map_ahead(
    threads: ThreadPoolExecutor, function: Callable[[_T], _R], values: Iterable[_T], ahead: int = 32
) -> Iterator[_R]:
    """Yields the results of a function in order; up to `ahead` of them are computed in advance."""
    pending: deque[Future[_R]] = deque()
    for value in values:
        pending.append(threads.submit(function, value))
        if len(pending) > ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _list_name(name: str, threads: ThreadPoolExecutor) -> Iterator[list[Listed]]:
    filesystem, path = locate(name)
    try:
        info = filesystem.get_file_info(path.rstrip("/"))
    except OSError as error:
        raise InputError(
            f"cannot read '{name}': {reason_of(error)}", "check the address and the credentials"
        ) from error
    if info.is_file:
        yield [Listed(name, info.size)]
        return
    root, pattern = (name, None) if info.type == import_pyarrow().fs.FileType.Directory else _split_pattern(name)
    num_files = 0
    for files in _walk(root.rstrip("/"), pattern, threads):
        num_files += len(files)
        yield files
    if not num_files:
        if pattern:
            raise InputError(f"no file matches the pattern '{name}'", "check the pattern; ** matches any subfolders")
        known = " ".join(sorted(_KNOWN_SUFFIXES))
        raise InputError(
            f"there is no image or video in the folder '{name}'", f"check the path; known suffixes: {known}"
        )


class _Pattern(NamedTuple):
    regex: re.Pattern[str]  # of the path below the root
    depth: int | None  # number of folders below the root; None if unlimited


def _split_pattern(name: str) -> tuple[str, _Pattern]:
    parts = name.split("/")
    first = next((index for index, part in enumerate(parts) if has_magic(part)), None)
    if first is None:
        raise InputError(f"there is no file '{name}'", _CHECK_SPELLING)
    rest = parts[first:]
    return "/".join(parts[:first]), _Pattern(_to_regex(rest), None if "**" in rest else len(rest) - 1)


def _to_regex(parts: list[str]) -> re.Pattern[str]:
    """Returns the regular expression of a glob pattern. `**` matches any folders; no wildcard matches hidden files."""
    text = ""
    for index, part in enumerate(parts):
        is_last = index == len(parts) - 1
        if part == "**":
            text += r"(?:[^/.][^/]*/)*" + (r"[^/.][^/]*" if is_last else "")
            continue
        words = re.split(r"(\*|\?|\[[^]]+\])", part)
        text += "" if part.startswith(".") else r"(?!\.)"
        for word in words:
            if word.startswith("[") and word.endswith("]"):
                escaped = re.sub(r"([\\\[^&~|])", r"\\\1", word[1:-1].removeprefix("!"))
                text += f"[^{escaped}]" if word[1] == "!" else f"[{escaped}]"
            else:
                text += {"*": "[^/]*", "?": "[^/]"}.get(word) or re.escape(word)
        text += "" if is_last else "/"
    return re.compile(text)


def _walk(root: str, pattern: _Pattern | None, threads: ThreadPoolExecutor) -> Iterator[list[Listed]]:
    """Yields the files below a folder, folder by folder; threads list the next folders."""
    list_folder = _list_remote if is_address(root) else _list_local

    def visit(listing: _Listing, depth: int) -> Iterator[list[Listed]]:
        files = listing.files
        if pattern is None:
            files = [file for file in files if _is_known(file.uri)]
        else:
            files = [file for file in files if pattern.regex.fullmatch(file.uri, len(root) + 1)]
        for start in range(0, len(files), CHUNK):
            yield files[start : start + CHUNK]
        if pattern is None or pattern.depth is None or depth < pattern.depth:
            for child in map_ahead(threads, list_folder, listing.folders):
                yield from visit(child, depth + 1)

    yield from visit(list_folder(root or "/"), 0)


def _is_known(uri: str) -> bool:
    name = uri.lower()
    is_ambiguous = name.endswith((".ts", ".mts")) and not is_address(uri)
    return name.endswith(_KNOWN_SUFFIXES) and (not is_ambiguous or is_known(Path(uri)))


def _list_local(folder: str) -> _Listing:
    files, folders, base = [], [], folder.rstrip("/")
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{base}/{entry.name}")
                elif entry.is_file():
                    files.append(Listed(f"{base}/{entry.name}", entry.stat().st_size))
                elif entry.is_symlink() and not entry.is_dir():
                    files.append(Listed(f"{base}/{entry.name}", None))  # the worker reports the missing file
    except OSError as error:
        raise InputError(f"cannot list the folder '{folder}': {reason_of(error)}", "check its permissions") from error
    return _Listing(sorted(files), sorted(folders))


def _list_remote(address: str) -> _Listing:
    from pyarrow.fs import FileSelector

    filesystem, path = locate(address)
    try:
        infos = filesystem.get_file_info(FileSelector(path))
    except OSError as error:
        raise InputError(f"cannot list '{address}': {reason_of(error)}", "check the address") from error
    shown = sorted((info for info in infos if not info.base_name.startswith(".")), key=lambda info: str(info.path))
    files = [Listed(f"{address}/{info.base_name}", info.size) for info in shown if info.is_file]
    return _Listing(files, [f"{address}/{info.base_name}" for info in shown if not info.is_file])


def _read_list(name: str, threads: ThreadPoolExecutor) -> Iterator[list[Listed]]:
    try:
        with Path(name).expanduser().open(encoding="utf-8", errors="surrogateescape") as file:
            lines = (line.strip() for line in file)
            yield from _list_files((line for line in lines if line), threads)
    except OSError as error:
        raise InputError(f"cannot read the list '{name}': {reason_of(error)}", _CHECK_SPELLING) from error


def _read_table(name: str, threads: ThreadPoolExecutor) -> Iterator[list[Listed]]:
    arrow = import_pyarrow()
    filesystem, path = locate(to_address(name))
    try:
        with arrow.parquet.ParquetFile(path, filesystem=filesystem) as table:
            column = next((column for column in _COLUMNS if column in table.schema_arrow.names), None)
            if column is None:
                found = ", ".join(table.schema_arrow.names)
                raise InputError(
                    f"the table '{name}' needs a column uri, file or path; it has: {found}", "rename the column"
                )
            has_sizes = "bytes" in table.schema_arrow.names
            for batch in table.iter_batches(CHUNK, columns=[column, "bytes"] if has_sizes else [column]):
                uris = batch.column(column).cast("string").to_pylist()
                if not all(uris):
                    raise InputError(
                        f"the column '{column}' of the table '{name}' has empty values", "remove these rows"
                    )
                if has_sizes:
                    yield list(map(Listed, map(to_address, uris), batch.column("bytes").cast("int64").to_pylist()))
                else:
                    yield from _list_files(uris, threads)
    except (OSError, arrow.ArrowException) as error:
        raise InputError(
            f"cannot read the table '{name}': {reason_of(error)}", "use a Parquet file with text in this column"
        ) from error


def _list_files(names: Iterable[str], threads: ThreadPoolExecutor) -> Iterator[list[Listed]]:
    """Yields single files with their sizes; the sizes in an object store stay unknown."""
    names = iter(names)
    yield from map_ahead(threads, _with_sizes, iter(lambda: list(islice(names, CHUNK)), []), ahead=4)


def _with_sizes(names: list[str]) -> list[Listed]:
    addresses = map(to_address, names)
    return [Listed(address, None if is_address(address) else _size_of(address)) for address in addresses]


def _size_of(path: str) -> int | None:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - a `Path` takes four times as long
    except (OSError, ValueError):
        return None  # the worker reports the reason
