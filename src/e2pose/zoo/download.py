"""Fetching model files: checked by hash, resumed where they broke off, never half there."""

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
"""Environment variable: an http(s) address that holds the files by name; asked instead of the catalogue's addresses."""

_CHUNK = 1 << 16
_TIMEOUT_S = 30


def cached_path(file: str, sha256: str | None) -> Path:
    """Where a fetched file lies, or would lie: in a folder named by its hash."""
    return cache_folder("models") / (sha256[:12] if sha256 else "recorded") / file


def fetch(file: str, urls: Sequence[str], *, size_bytes: int | None, sha256: str | None) -> Path:
    """The local copy of a file, fetched if it is not there yet.

    It lies in a folder named by its hash, so that a new edition never meets an old one. What has arrived stays beside
    it as `.part` if the connection breaks or the process ends, and the next call goes on from there. A file whose hash
    nobody knows is fetched in one go, and its hash is recorded beside it. Of several processes one fetches, and the
    others wait. Every call checks the hash.

    Args:
        file: Its name.
        urls: Where to fetch it from, in order of preference.
        size_bytes: Its length; None if unknown.
        sha256: Its hash, in hexadecimal digits; None if unknown.

    Raises:
        ModelError: It cannot be fetched, or what arrives is not that file; then none is left.
        OutputError: The cache folder cannot be written.
    """
    target = cached_path(file, sha256)
    if _is_there(target, sha256):
        return target
    if is_offline():
        raise ModelError(
            f"the model file '{file}' has not been fetched yet, and {OFFLINE} forbids it",
            f"unset {OFFLINE}, or put the file into '{target.parent}'",
        )
    with _lock(target):
        if not _is_there(target, sha256):
            mirror = os.environ.get(MIRROR)
            addresses = [f"{mirror.rstrip('/')}/{file}"] if mirror else urls
            _fetch_any(addresses, target, size_bytes, sha256 or _recorded(target))
    return target


def _is_there(target: Path, sha256: str | None) -> bool:
    expected = sha256 or _recorded(target)
    return target.is_file() and (expected is None or sha256_of(target) == expected)


@contextmanager
def _lock(target: Path) -> Iterator[None]:
    """Keeps other processes from fetching the same file. The system frees the lock of a process that was killed."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        check_folder(target.parent)
        lock = FileLock(target.with_name(f"{target.name}.lock"))
        lock.acquire()
    except OSError as error:
        raise write_error(target, error) from error
    except NotImplementedError as error:
        raise OutputError(f"'{target.parent}' is on a disk without locks: {error}", f"set {HOME} to another") from error
    try:
        yield
    finally:
        lock.release()


def _fetch_any(urls: Sequence[str], target: Path, size_bytes: int | None, sha256: str | None) -> None:
    """Fetches a file from the first address that has it."""
    failures = []
    for url in urls:
        try:
            return _fetch_one(url, target, size_bytes, sha256)
        except (OSError, ValueError, http.client.HTTPException) as error:  # a bad address is a ValueError
            failures.append(f"{url}: {error}")
    raise ModelError(
        f"cannot fetch the model file '{target.name}': {'; '.join(failures)}",
        f"run it again to go on where it stopped; set {MIRROR} to an address that has the file; or fetch it by other "
        f"means into '{target.parent}'",
    )


def _record(target: Path) -> Path:
    return target.with_name(f"{target.name}.sha256")


def _recorded(target: Path) -> str | None:
    """The hash that was recorded when a file was fetched; None for a file that somebody has put there."""
    record = _record(target)
    return record.read_text(encoding="ascii").strip() if record.is_file() else None


def _fetch_one(url: str, target: Path, size_bytes: int | None, sha256: str | None) -> None:
    """Fetches a file from one address, on from where an earlier call stopped."""
    part = target.with_name(f"{target.name}.part")
    if sha256 is None:
        part.unlink(missing_ok=True)  # nothing would tell two halves of different files
    part.touch()
    try:
        _receive(url, part, size_bytes)
        actual = sha256_of(part)
        if actual != (sha256 or actual):
            part.unlink()
            raise ValueError(f"what arrives has the SHA-256 {actual}, not {sha256}")
        if sha256 is None:
            with atomic_path(_record(target)) as record:
                record.write_text(f"{actual}\n", encoding="ascii")
        part.replace(target)
    finally:
        if part.is_file() and not part.stat().st_size:
            part.unlink()


def _receive(url: str, path: Path, size_bytes: int | None) -> None:
    """Completes a file, or writes it anew if the server cannot go on where it ends."""
    start = path.stat().st_size
    if size_bytes is not None and start >= size_bytes:
        return
    if not url.startswith(("https://", "http://")):
        raise ValueError("only http and https addresses are accepted")
    headers = {"User-Agent": "e2pose"} | ({"Range": f"bytes={start}-"} if start else {})
    with urlopen(Request(url, headers=headers), timeout=_TIMEOUT_S) as response:
        if response.headers.get_content_type() == "text/html":
            raise ValueError("what arrives is a web page")
        resumed = response.status == http.client.PARTIAL_CONTENT
        length = size_bytes or int(response.headers.get("Content-Length") or 0)
        with path.open("ab" if resumed else "wb") as file:
            while chunk := response.read(min(_CHUNK, length - file.tell()) if length else _CHUNK):
                file.write(chunk)
            if file.tell() < length:
                raise ConnectionError(f"it broke off after {file.tell()} of {length} bytes")
