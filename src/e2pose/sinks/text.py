"""The file behind every sink of text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from e2pose.core.files import atomic_path


class TextSink:
    """A UTF-8 file that grows with every frame and appears under its name when the context ends without an error.

    A byte of a file name that is not UTF-8, such as FF, becomes a backslash and `udcff`: in JSON that is an escape.

    Args:
        path: The file to write.
        before: Text at its beginning.
        after: Text at its end.
    """

    def __init__(self, path: str | Path, before: str = "", after: str = "") -> None:
        self._opened = _open(Path(path), before, after)

    def __enter__(self) -> Self:
        self._file = self._opened.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.__exit__(kind, error, trace)


@contextmanager
def _open(path: Path, before: str, after: str) -> Iterator[TextIO]:
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        file.write(before)
        yield file
        file.write(after)
