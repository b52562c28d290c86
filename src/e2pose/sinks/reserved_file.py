"""Files that can still be finished when their disk is full."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from e2pose.core.errors import OutputError
from e2pose.core.files import write_error

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class ReservedFile(io.FileIO):
    """A new file with some space held back for its end.

    When writing fails, the space is given up, the write is repeated, and the problem is kept for `check` to raise:
    what follows should be no more than what makes the file complete.

    Args:
        path: The file to write.
        target: What to call it in errors.
        spare_bytes: How much space the end may need.
    """

    def __init__(self, path: Path, target: Path, spare_bytes: int) -> None:
        super().__init__(path, "w")
        self.name = f"file:{path}"  # so that the muxer can open it again to move its index to the front
        self._target = target
        self._problem: OSError | None = None
        self._spare = tempfile.TemporaryFile(dir=path.parent, buffering=0)  # noqa: SIM115 - closed together with this
        try:
            self._spare.write(bytes(spare_bytes))
        except BaseException:
            self.close()
            raise

    def write(self, data: ReadableBuffer, /) -> int:
        """Writes all of the bytes, into the space held back if there is no other."""
        rest = memoryview(data).cast("B")
        while rest:
            try:
                rest = rest[self._put(rest) :]
            except OSError as error:
                if self._problem is not None:
                    raise
                self._problem = error
                self._spare.close()
        return memoryview(data).nbytes

    def check(self) -> None:
        """Tells of the first write that failed.

        Raises:
            OutputError: One did.
        """
        if self._problem is not None:
            error = write_error(self._target, self._problem)
            raise OutputError(error.message, f"what was written before is complete; {error.hint}") from self._problem

    def close(self) -> None:
        """Closes the file and gives up the space held back."""
        self._spare.close()
        super().close()

    def _put(self, data: memoryview) -> int:
        return super().write(data)
