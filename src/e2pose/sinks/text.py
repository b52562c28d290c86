"""The file behind every sink of text."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from e2pose.core.files import atomic_path
from e2pose.sinks.base import is_kept
from e2pose.sinks.reserved_file import ReservedFile

_SPARE_BYTES = 1 << 20  # for the frame that did not fit, with everybody in it, and the end


class TextSink:
    """A UTF-8 file that grows with every frame and appears under its name when the context ends.

    A byte of a file name that is not UTF-8, such as FF, becomes a backslash and `udcff`: in JSON that is an escape.

    Args:
        path: The file to write.
        before: Text at its beginning.
        after: Text at its end.
    """

    def __init__(self, path: str | Path, before: str = "", after: str = "") -> None:
        self._opened = _open(Path(path), before, after)

    def __enter__(self) -> Self:
        self._file, self._spare = self._opened.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if is_kept(error):
            self._opened.__exit__(None, None, None)
        else:
            self._opened.__exit__(kind, error, trace)

    def _append(self, text: str) -> None:
        """Writes the text of a whole frame.

        Raises:
            OutputError: The disk is full; the frame is in the file nevertheless.
        """
        self._file.write(text)
        self._spare.check()


@contextmanager
def _open(path: Path, before: str, after: str) -> Iterator[tuple[io.TextIOWrapper, ReservedFile]]:
    with (
        atomic_path(path) as temporary,
        ReservedFile(temporary, path, _SPARE_BYTES) as spare,
        io.TextIOWrapper(
            io.BufferedWriter(spare), "utf-8", errors="backslashreplace", newline="", write_through=True
        ) as file,
    ):
        file.write(before)
        yield file, spare
        file.write(after)
