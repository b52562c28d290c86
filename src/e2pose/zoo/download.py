"""Fetching model files: checked by hash, resumed where they broke off, never half there."""

from __future__ import annotations

import hashlib
import http.client
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from urllib.request import Request, urlopen

from platformdirs import user_cache_dir

from e2pose.core.errors import ModelError
from e2pose.core.files import cannot_write

HOME = "E2POSE_HOME"
"""Environment variable: the folder for fetched models, instead of the user's cache folder."""
OFFLINE = "E2POSE_OFFLINE"
"""Environment variable: if set to anything but 0, nothing is ever fetched."""
MIRROR = "E2POSE_MIRROR"
"""Environment variable: an http(s) address that holds the files by name; asked instead of the catalogue's addresses."""

_CHUNK = 1 << 20
_TIMEOUT_S = 30


def cache_folder() -> Path:
    """Where fetched models are kept."""
    return Path(os.environ.get(HOME) or user_cache_dir("e2pose")) / "models"


def fetch(file: str, urls: Sequence[str], *, size_bytes: int, sha256: str) -> Path:
    """The local copy of a file, fetched if it is not there yet.

    It lies in a folder named by its hash, so that a new edition never meets an old one. What has arrived stays beside
    it as `.part` if the connection breaks, and the next call goes on from there.

    Args:
        file: Its name.
        urls: Where to fetch it from, in order of preference.
        size_bytes: Its length.
        sha256: Its hash, in hexadecimal digits.

    Raises:
        ModelError: It cannot be fetched, or what arrives is not that file; then none is left.
        OutputError: The cache folder cannot be written.
    """
    target = cache_folder() / sha256[:12] / file
    if _is_complete(target, size_bytes):
        return target
    if os.environ.get(OFFLINE, "0") not in ("", "0"):
        raise ModelError(
            f"the model file '{file}' has not been fetched yet, and {OFFLINE} forbids it",
            f"unset {OFFLINE}, or put the file into '{target.parent}'",
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(target, error) from error
    mirror = os.environ.get(MIRROR)
    failures = []
    for url in [f"{mirror.rstrip('/')}/{file}"] if mirror else urls:
        try:
            return _fetch_one(url, target, size_bytes, sha256)
        except (OSError, ValueError, http.client.HTTPException) as error:  # a bad address is a ValueError
            failures.append(f"{url}: {error}")
    raise ModelError(
        f"cannot fetch the model file '{file}': {'; '.join(failures)}",
        f"run it again to go on where it stopped; or fetch the file by other means into '{target.parent}'",
    )


def _is_complete(path: Path, size_bytes: int) -> bool:
    return path.is_file() and path.stat().st_size == size_bytes


def _fetch_one(url: str, target: Path, size_bytes: int, sha256: str) -> Path:
    """Fetches a file from one address.

    What an earlier call left is taken over by renaming it, so that of several processes only one goes on with it and
    none touches the file of another.
    """
    part = target.with_name(f"{target.name}.part")
    own = target.with_name(f"{target.name}.{secrets.token_hex(4)}")
    try:
        part.replace(own)
    except FileNotFoundError:
        own.touch()
    try:
        _receive(url, own, size_bytes)
        with own.open("rb") as file:
            actual = hashlib.file_digest(file, "sha256").hexdigest()
        if actual != sha256:
            own.unlink()
            raise ValueError(f"what arrives has the SHA-256 {actual}, not {sha256}")
        own.replace(target)
    finally:
        if own.is_file() and own.stat().st_size:
            own.replace(part)
        own.unlink(missing_ok=True)
    return target


def _receive(url: str, path: Path, size_bytes: int) -> None:
    """Completes a file, or writes it anew if the server cannot go on where it ends."""
    start = path.stat().st_size
    if start >= size_bytes:
        return
    if not url.startswith(("https://", "http://")):
        raise ValueError("only http and https addresses are accepted")
    headers = {"User-Agent": "e2pose"} | ({"Range": f"bytes={start}-"} if start else {})
    with urlopen(Request(url, headers=headers), timeout=_TIMEOUT_S) as response:
        resumed = response.status == http.client.PARTIAL_CONTENT
        with path.open("ab" if resumed else "wb") as file:
            while file.tell() < size_bytes and (chunk := response.read(min(_CHUNK, size_bytes - file.tell()))):
                file.write(chunk)
            if file.tell() < size_bytes:
                raise ConnectionError(f"it broke off after {file.tell()} of {size_bytes} bytes")
