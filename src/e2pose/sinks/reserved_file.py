"""Files that can still be completed when the disk is full."""

from __future__ import annotations

import io
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

from e2pose.core.errors import OutputError
from e2pose.core.files import atomic_path, write_error
from e2pose.sinks.base import keeps_output

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class ReservedFile(io.FileIO):
    """A new file with disk space reserved for its end; error messages call it `target`.

    When a write fails, the reserved space is freed, the write is repeated and the error is stored for
    `raise_if_full`. The caller should then write only what completes the file.
    """

    def __init__(self, path: Path, target: Path, reserved_bytes: int) -> None:
        self._target = target
        self._error: OSError | None = None
        self._reserve = tempfile.TemporaryFile(dir=path.parent, buffering=0)  # noqa: SIM115 - closed in `close`
        try:
            super().__init__(path, "w")
            self.name = f"file:{path}"  # FFmpeg opens the file by this name to move the index to its front
            self._reserve.write(bytes(reserved_bytes))
        except BaseException:
            self.close()
            raise

    def write(self, data: ReadableBuffer, /) -> int:
        """Writes all bytes, into the reserved space if the disk is full."""
        rest = memoryview(data).cast("B")
        while rest:
            try:
                rest = rest[self._write_some(rest) :]
            except OSError as error:
                if self._error is not None:
                    raise
                self._error = error
                self._reserve.close()
        return memoryview(data).nbytes

    def raise_if_full(self) -> None:
        """Reports the first failed write.

        Raises:
            OutputError: A write failed.
        """
        if self._error is not None:
            error = write_error(self._target, self._error)
            raise OutputError(
                error.message, f"the file is complete up to the last written frame; {error.hint}"
            ) from self._error

    def close(self) -> None:
        """Closes the file and frees the reserved space."""
        self._reserve.close()
        super().close()

    def _write_some(self, data: memoryview) -> int:
        return super().write(data)


class FileSink:
    """Base of the sinks that write one growing file, whose end needs at most `reserved_bytes`."""

    def __init__(self, path: str | Path, reserved_bytes: int) -> None:
        self._path = Path(path)
        self._reserved_bytes = reserved_bytes
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Completes the file, or discards it if `keeps_output` says so."""
        if error is not None and not keeps_output(error):
            self._opened.__exit__(type(error), error, error.__traceback__)
            return
        with self._opened:
            self._finish()

    def _create(self) -> ReservedFile:
        """Creates the file; it is closed and gets its final name when the context ends."""
        with ExitStack() as stack:  # leaves no file behind if this fails
            temporary = stack.enter_context(atomic_path(self._path))
            file = stack.enter_context(ReservedFile(temporary, self._path, self._reserved_bytes))
            self._opened.push(stack.pop_all())
        return file

    def _finish(self) -> None:
        """Writes the end of the file."""
