"""Writing files so that nobody ever sees half of one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2pose.core.errors import OutputError


@contextmanager
def atomic_path(target: str | Path) -> Iterator[Path]:
    """Gives a temporary path beside `target` to write to, and renames it to `target` if all went well.

    The folder is made if it is missing. The temporary name keeps the suffix of `target`, so that writers that choose a
    format by suffix work. If the block fails, the temporary file is removed and `target` is as it was.

    Raises:
        OutputError: The folder or the file cannot be written.
    """
    target = Path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise IsADirectoryError(f"'{target}' is a folder")
        handle, name = tempfile.mkstemp(prefix=f".{target.stem[:40]}-", suffix=target.suffix, dir=target.parent)
        os.close(handle)
    except OSError as error:
        raise cannot_write(target, error) from error
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    except OSError as error:
        if error.filename is not None and str(error.filename) != name:
            raise  # it is about another file
        raise cannot_write(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def cannot_write(target: Path, error: OSError) -> OutputError:
    """The error for a file that the system refuses to write."""
    return OutputError(
        f"cannot write '{target}': {error.strerror or error}",
        "check the folder's permissions and the free disk space",
    )


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
