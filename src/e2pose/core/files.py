"""Text reading, atomic file writing, and checks of output paths."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2pose.core.errors import ModelError, OptionError, OutputError

LFS_POINTER = b"version https://git-lfs.github.com/"
"""The start of a file that Git LFS has not downloaded."""
_SIGNATURES = {
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    b"\x1f\x8b": "a gzip archive",
    b"PK\x03\x04": "a zip archive",
}


def expand_home(path: str | Path) -> Path:
    """Returns a path in which a leading `~` or `~user` is replaced by the home folder, if that is known."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - `Path.expanduser` raises an error for unknown users


def read_text(path: str | Path) -> str:
    """Reads a text file in UTF-8, with or without a byte-order mark.

    Raises:
        OSError: The file cannot be read.
        UnicodeError: The file is not UTF-8 text; the message is one phrase, such as "it is UTF-16 text, not UTF-8".
    """
    try:
        text = expand_home(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        kinds = (kind for signature, kind in _SIGNATURES.items() if error.object.startswith(signature))
        kind = next(kinds, f"in another encoding or binary, with the byte {error.object[error.start]:#04x}")
        raise UnicodeError(f"it is {kind}, not UTF-8 text") from error
    if "\0" in text:
        raise UnicodeError("it is UTF-16 text or binary, with zero bytes, not UTF-8 text")
    return text


def reason_of(error: BaseException) -> str:
    """Returns the message of an error of the operating system or FFmpeg, without number and file name."""
    return str(getattr(error, "strerror", None) or error)


@contextmanager
def atomic_path(target: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside `target`, and renames it to `target` if the block succeeds.

    Creates missing folders and expands `~`. If `target` is a link, the file that it refers to is replaced. The
    temporary name keeps the suffix of `target`, so that writers that select a format by suffix work. If the block
    fails, the temporary file is deleted and `target` stays unchanged.

    Raises:
        OutputError: The folder or the file cannot be written.
    """
    target = expand_home(target)
    try:
        target = _behind_link(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        _check_replaceable(target)
        handle, name = tempfile.mkstemp(prefix=f".{target.stem[:40]}-", suffix=target.suffix, dir=target.parent)
        os.close(handle)
    except OSError as error:
        raise write_error(target, error) from error
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)  # can only be read by setting it
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
    except OSError as error:
        if error.filename is not None and str(error.filename) != name:
            raise  # the error concerns another file
        raise write_error(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def check_target(target: Path) -> None:
    """Checks that a file can be written, before a long computation produces its content.

    Raises:
        OutputError: The path is a folder, a device or a pipe, or its folder cannot be written.
    """
    try:
        target = _behind_link(expand_home(target))
        _check_replaceable(target)
        check_folder(target.parent)
    except OSError as error:
        raise write_error(target, error) from error


def _behind_link(target: Path) -> Path:
    """Returns the path of the file to write, which is the target of a link; raises an OSError if its folder is missing.

    The folder may be on a disk that is not mounted, so it is not created.
    """
    if not target.is_symlink():
        return target
    file = Path(os.path.realpath(target))
    if not file.parent.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, f"it is a link into the missing folder '{file.parent}'")
    return file


def _check_replaceable(target: Path) -> None:
    """Raises an OSError if a path is a folder, or a device or pipe, which a file would replace."""
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if target.exists() and not target.is_file():
        raise FileExistsError(errno.EEXIST, "it is a device or a pipe, not a file")


def check_model_file(path: Path) -> None:
    """Checks that a model file exists and is neither empty nor a pointer of Git LFS.

    Raises:
        ModelError: It does not, or is.
    """
    try:
        if path.is_dir():
            raise ModelError(f"'{path}' is a folder, not a model file", "use the path of a file in it")
        with path.open("rb") as file:
            start = file.read(len(LFS_POINTER))
    except FileNotFoundError:
        hint = "check the path, or list the models with: e2pose models"
        raise ModelError(f"the model file '{path}' does not exist", hint) from None
    except OSError as error:
        reason = reason_of(error)
        raise ModelError(f"cannot read the model file '{path}': {reason}", "check its permissions") from error
    if not start:
        raise ModelError(f"the model file '{path}' is empty: it has 0 bytes", "copy or download it again")
    if start == LFS_POINTER:
        raise ModelError(f"'{path}' is a pointer of Git LFS, not the model", "download the model with: git lfs pull")


def check_folder(folder: Path) -> None:
    """Checks that a folder can be written, or created in its nearest existing parent.

    Raises:
        OutputError: It cannot.
    """
    folder = expand_home(folder)
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists() or path.is_symlink())
    if not nearest.is_dir():
        what = "a file" if nearest.exists() else "a link to a missing folder"
        raise OutputError(f"cannot write into '{folder}': '{nearest}' is {what}", "choose another output path")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError(
            f"cannot write into '{folder}': no write permission for '{nearest}'",
            "choose another folder, or change its permissions",
        )


def check_suffix(path: Path, suffix: str, what: str) -> None:
    """Checks that the name of an output ends in the suffix of its type; `what` names the type, such as "an ONNX model".

    Raises:
        OptionError: It does not.
    """
    if path.suffix.lower() != suffix:
        raise OptionError(
            f"the name of {what} must end in {suffix}, not '{path}'", f"change the suffix of the output to {suffix}"
        )


def write_error(target: Path, error: OSError) -> OutputError:
    """Returns the error for a file that the operating system refuses to write."""
    is_occupied = isinstance(error, IsADirectoryError | NotADirectoryError | FileExistsError)
    return OutputError(
        f"cannot write '{target}': {reason_of(error)}",
        "choose another output path" if is_occupied else "check the folder's permissions and the free disk space",
    )


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
