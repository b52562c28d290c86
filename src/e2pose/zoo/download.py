"""Downloads of model files: verified by hash, resumed after interruptions, and never left incomplete."""

from __future__ import annotations

import http.client
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

from filelock import FileLock

from e2pose.core.errors import ModelError, OutputError
from e2pose.core.files import atomic_path, check_folder, sha256_of, write_error
from e2pose.zoo.cache import HOME, OFFLINE, cache_folder, is_offline

MIRROR = "E2POSE_MIRROR"
"""Environment variable: http(s) address of a folder with the model files, which replaces all other addresses."""

_CHUNK_BYTES = 1 << 16
_TIMEOUT_S = 30


def cached_path(file: str, sha256: str | None) -> Path:
    """Returns the path of a file in the cache, in a folder that is named after its hash."""
    return cache_folder("models") / (sha256[:12] if sha256 else "recorded") / file


def fetch(file: str, urls: Sequence[str], *, size_bytes: int | None, sha256: str | None) -> Path:
    """Returns the cached copy of a file, downloaded if it is missing.

    The folder in the cache is named after the hash, so that versions of a file never mix. An interrupted download stays
    beside the target as `.part`, and the next call resumes it. A file without a known hash is downloaded in one piece,
    and its hash is recorded beside it. Of several processes, one downloads and the others wait. Every call verifies the
    hash.

    Args:
        file: Name of the file.
        urls: Download addresses in order of preference.
        size_bytes: Length of the file; None if unknown.
        sha256: SHA-256 in hexadecimal digits; None if unknown.

    Raises:
        ModelError: The download fails, or the content has another hash; no file is left then.
        OutputError: The cache folder cannot be written.
    """
    target = cached_path(file, sha256)
    if _is_valid(target, sha256):
        return target
    if is_offline():
        raise ModelError(
            f"the model file '{file}' is not in the cache, and {OFFLINE} forbids downloads",
            f"unset {OFFLINE}, or put the file into '{target.parent}'",
        )
    with _lock(target):
        if not _is_valid(target, sha256):
            mirror = os.environ.get(MIRROR)
            addresses = [f"{mirror.rstrip('/')}/{file}"] if mirror else urls
            _download(addresses, target, size_bytes, sha256 or _recorded_hash(target))
    return target


def _is_valid(target: Path, sha256: str | None) -> bool:
    expected = sha256 or _recorded_hash(target)
    return target.is_file() and (expected is None or sha256_of(target) == expected)


@contextmanager
def _lock(target: Path) -> Iterator[None]:
    """Prevents other processes from downloading the same file; the system releases the lock of a killed process."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        check_folder(target.parent)
        lock = FileLock(target.with_name(f"{target.name}.lock"))
        lock.acquire()
    except OSError as error:
        raise write_error(target, error) from error
    except NotImplementedError as error:
        raise OutputError(
            f"'{target.parent}' is on a file system without locks: {error}", f"set {HOME} to a folder on another one"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _download(urls: Sequence[str], target: Path, size_bytes: int | None, sha256: str | None) -> None:
    """Downloads a file from the first address that works."""
    failures = []
    for url in urls:
        try:
            return _download_from(url, target, size_bytes, sha256)
        except (OSError, ValueError, http.client.HTTPException) as error:  # an invalid address is a ValueError
            failures.append(f"{url}: {error}")
    raise ModelError(
        f"cannot download the model file '{target.name}': {'; '.join(failures)}",
        f"run the command again to resume; set {MIRROR} to an address that has the file; or put the file into "
        f"'{target.parent}'",
    )


def _hash_file(target: Path) -> Path:
    return target.with_name(f"{target.name}.sha256")


def _recorded_hash(target: Path) -> str | None:
    """Returns the hash recorded by an earlier download; None for a file that the user has put there."""
    record = _hash_file(target)
    return record.read_text(encoding="ascii").strip() if record.is_file() else None


def _download_from(url: str, target: Path, size_bytes: int | None, sha256: str | None) -> None:
    """Downloads a file from one address, and resumes an earlier download."""
    part = target.with_name(f"{target.name}.part")
    if sha256 is None:
        part.unlink(missing_ok=True)  # without a hash, parts of different versions could be mixed
    part.touch()
    try:
        _receive(url, part, size_bytes)
        actual = sha256_of(part)
        if actual != (sha256 or actual):
            part.unlink()
            raise ValueError(f"the content has the SHA-256 {actual}, not {sha256}")
        if sha256 is None:
            with atomic_path(_hash_file(target)) as record:
                record.write_text(f"{actual}\n", encoding="ascii")
        part.replace(target)
    finally:
        if part.is_file() and not part.stat().st_size:
            part.unlink()


def _receive(url: str, path: Path, size_bytes: int | None) -> None:
    """Appends the rest of a file, or writes it from the start if the server does not support ranges."""
    start = path.stat().st_size
    if size_bytes is not None and start >= size_bytes:
        return
    if not url.startswith(("https://", "http://")):
        raise ValueError("only http and https addresses are accepted")
    headers = {"User-Agent": "e2pose"} | ({"Range": f"bytes={start}-"} if start else {})
    with urlopen(Request(url, headers=headers), timeout=_TIMEOUT_S) as response:
        if response.headers.get_content_type() == "text/html":
            raise ValueError("the response is a web page")
        resumed = response.status == http.client.PARTIAL_CONTENT
        length = size_bytes or int(response.headers.get("Content-Length") or 0)
        with path.open("ab" if resumed else "wb") as file:
            while chunk := response.read(min(_CHUNK_BYTES, length - file.tell()) if length else _CHUNK_BYTES):
                file.write(chunk)
            if file.tell() < length:
                raise ConnectionError(f"the connection closed after {file.tell()} of {length} bytes")
