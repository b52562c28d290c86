"""Files and folders, local or in an object store: `s3://bucket/key`, `gs://...`, or any address that fsspec knows."""

from __future__ import annotations

import io
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2pose.core.address import is_address
from e2pose.core.errors import InputError, MissingExtraError, OutputError
from e2pose.core.files import atomic_path, check_folder, reason_of, write_error

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

_READ_BYTES = 4 << 20  # per request to an object store
_MAX_SHOWN = 250  # characters of a path in a message
_TABLE = re.compile(r"part-\d+\.parquet", re.ASCII)


def import_pyarrow() -> Any:  # noqa: ANN401 - pyarrow has no types
    """Returns pyarrow.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import pyarrow
        import pyarrow.fs
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "parquet") from error
    return pyarrow


@cache
def _open_filesystem(root: str) -> tuple[FileSystem, str]:
    """Returns the file system of `scheme://authority` and the path of its root."""
    fs = import_pyarrow().fs
    scheme, _, bucket = root.partition("://")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    try:
        if scheme == "s3" and endpoint:  # which pyarrow ignores
            return fs.S3FileSystem(endpoint_override=endpoint, region=os.environ.get("AWS_REGION", "us-east-1")), bucket
        if scheme in ("s3", "gs", "gcs", "abfs", "abfss", "hdfs", "file"):
            opened: tuple[FileSystem, str] = fs.FileSystem.from_uri(root)
            return opened
        from fsspec.core import url_to_fs

        filesystem, path = url_to_fs(root)
        return fs.PyFileSystem(fs.FSSpecHandler(filesystem)), path
    except ImportError as error:
        raise InputError(
            f"cannot open '{root}': {error}", f"install fsspec and its file system for {scheme}://, if there is one"
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot open '{root}': {reason_of(error)}",
            "check the address, the credentials and the network; AWS_ENDPOINT_URL selects another S3 server",
        ) from error


def locate(address: str) -> tuple[FileSystem, str]:
    """Returns the file system of an address or path, and the path in it.

    Raises:
        InputError: The file system cannot be opened.
    """
    if not is_address(address):
        return import_pyarrow().fs.LocalFileSystem(), address
    scheme, _, rest = address.partition("://")
    authority, _, path = rest.partition("/")
    filesystem, base = _open_filesystem(f"{scheme}://{authority}")
    return filesystem, f"{base.rstrip('/')}/{path}"


def from_text(name: str) -> str:
    """Returns the local path that a text from `e2pose.formats.record.to_text` names."""
    if "\\udc" not in name or os.path.lexists(name):
        return name
    return re.sub(r"\\udc([89a-f][0-9a-f])", lambda match: chr(0xDC00 + int(match[1], 16)), name)


def open_file(address: str) -> io.BufferedReader:
    """Opens a file of an object store for random access.

    Raises:
        InputError: It cannot be read.
    """
    filesystem, path = locate(address)
    try:
        return io.BufferedReader(filesystem.open_input_file(path), _READ_BYTES)
    except FileNotFoundError as error:
        raise InputError(f"there is no file '{address}'", "check the spelling of the address") from error
    except OSError as error:
        raise InputError(f"cannot read '{address}': {reason_of(error)}", "check its permissions") from error


class JobFolder:
    """The folder of a job, whose files appear complete or not at all.

    A local file is written under a temporary name, synced and renamed; an object store shows complete objects only.
    """

    def __init__(self, address: str) -> None:
        self.address = address if is_address(address) else str(Path(address).expanduser().absolute())
        if re.search("[\ud800-\udfff]", self.address):  # pyarrow needs UTF-8
            raise InputError(f"the name of the folder {self.address!a} is not UTF-8 text", "rename the folder")
        self.filesystem, self.path = locate(self.address.rstrip("/"))
        """The file system and the path of the folder in it, for pyarrow."""
        self._local = None if is_address(address) else Path(self.path)

    def check(self) -> None:
        """Checks that the folder can be written.

        Raises:
            OutputError: It cannot.
        """
        if self._local is not None:
            check_folder(self._local)

    def open(self, name: str) -> io.BufferedReader:
        """Opens a file for random access."""
        return io.BufferedReader(self.filesystem.open_input_file(f"{self.path}/{name}"), _READ_BYTES)

    def read(self, name: str) -> bytes | None:
        """Returns the content of a file; None if there is none."""
        try:
            with self.filesystem.open_input_stream(f"{self.path}/{name}") as file:
                content: bytes = file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise OutputError(
                f"cannot read '{self.address}/{name}': {reason_of(error)}", "check the folder and its permissions"
            ) from error
        return content

    def names(self, subfolder: str) -> list[str]:
        """Returns the names of the tables in a subfolder, sorted and without temporary and foreign files.

        Raises:
            InputError: The subfolder cannot be listed.
        """
        from pyarrow.fs import FileSelector

        try:
            infos = self.filesystem.get_file_info(FileSelector(f"{self.path}/{subfolder}", allow_not_found=True))
        except OSError as error:
            reason = reason_of(error).partition("Detail: ")[2] or reason_of(error)  # the rest repeats the path
            folder = f"{self.address}/{subfolder}"
            name = folder if len(folder) <= _MAX_SHOWN else f"{folder[:_MAX_SHOWN]}..."
            raise InputError(f"cannot list '{name}': {reason}", "check the folder and its permissions") from error
        return sorted(info.base_name for info in infos if info.is_file and _TABLE.fullmatch(info.base_name))

    @contextmanager
    def create(self, name: str) -> Iterator[Path]:
        """Yields a local path to write, and gives the file its final name if the block succeeds.

        Raises:
            OutputError: The file cannot be written.
        """
        if self._local is not None:
            target = self._local / name
            try:
                with atomic_path(target) as temporary:
                    yield temporary
                    _sync(temporary)
                _sync(target.parent)
            except OSError as error:  # of pyarrow, which names no file
                raise write_error(target, error) from error
            return
        with tempfile.TemporaryDirectory(prefix="e2pose-") as folder:
            temporary = Path(folder) / Path(name).name
            yield temporary
            self._upload(temporary, name)

    def write(self, name: str, content: str) -> None:
        """Writes a text file.

        Raises:
            OutputError: The file cannot be written.
        """
        with self.create(name) as path:
            path.write_text(content, encoding="utf-8")

    def remove_temporary(self) -> None:
        """Deletes the temporary files that killed processes left behind."""
        if self._local is not None:
            for path in self._local.glob("*/.*.parquet"):
                path.unlink(missing_ok=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Prevents that two runs on one machine write the same job; an object store has no lock.

        Raises:
            OutputError: Another run is writing.
        """
        if self._local is None:
            yield
            return
        from filelock import FileLock, Timeout

        lock = FileLock(self._local / ".lock")
        try:
            self._local.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except Timeout as error:
            raise OutputError(
                f"another run is writing into '{self.address}'", "wait until it ends, or choose another folder"
            ) from error
        except OSError as error:
            raise write_error(self._local, error) from error
        try:
            yield
        finally:
            lock.release()

    def _upload(self, local: Path, name: str) -> None:
        from pyarrow.fs import LocalFileSystem, copy_files

        try:
            copy_files(
                str(local),
                f"{self.path}/{name}",
                source_filesystem=LocalFileSystem(),
                destination_filesystem=self.filesystem,
            )
        except OSError as error:
            raise OutputError(
                f"cannot write '{self.address}/{name}': {reason_of(error)}",
                "check the bucket and the permission to write objects",
            ) from error


def _sync(path: Path) -> None:
    """Waits until a file or folder is on the disk. Windows cannot sync folders."""
    if os.name == "nt" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
