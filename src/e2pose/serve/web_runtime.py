"""The files of ONNX Runtime Web, from its npm package."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from e2pose.core.errors import InputError
from e2pose.core.files import atomic_path, sha256_of
from e2pose.zoo.cache import OFFLINE, cache_folder, is_offline

PACKAGE = "onnxruntime-web"
VERSION = "1.30.0"
MODULE, BINARY = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
SHA256 = {
    MODULE: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    BINARY: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""The two files that run models in browsers, in the folder `dist` of the package."""

_TIMEOUT_S = 600
_OTHER_WAY = (
    f"run 'npm pack {PACKAGE}@{VERSION}' on a computer with npm, copy and unpack the archive, "
    "and add --runtime-dir package"
)


def find_web_runtime(folder: Path | None = None) -> dict[str, Path]:
    """Returns the verified runtime files by name.

    Args:
        folder: An unpacked npm package; None for the cache, which npm fills on first use.

    Raises:
        InputError: A file is missing or has another hash, npm is not installed, or the download fails.
    """
    if folder is not None:
        return {name: _verify(_locate(name, folder)) for name in SHA256}
    cache = cache_folder("web-runtime") / VERSION
    if not all((cache / name).is_file() and sha256_of(cache / name) == digest for name, digest in SHA256.items()):
        _download(cache)
    return {name: cache / name for name in SHA256}


def _locate(name: str, folder: Path) -> Path:
    """Returns the path of a file in the unpacked package, or in a folder around or inside it."""
    places = [folder / place / name for place in ("dist", "package/dist", ".")]
    path = next((path for path in places if path.is_file()), None)
    if path is None:
        raise InputError(
            f"'{folder}' has no file 'dist/{name}'", f"unpack the package there: npm pack {PACKAGE}@{VERSION}"
        )
    return path


def _verify(path: Path) -> Path:
    digest = sha256_of(path)
    if digest != SHA256[path.name]:
        raise InputError(
            f"'{path}' has the SHA-256 {digest}, not {SHA256[path.name]}",
            f"use version {VERSION} of the package: npm pack {PACKAGE}@{VERSION}",
        )
    return path


def _download(cache: Path) -> None:
    """Fetches the package with npm and stores the verified files."""
    package = f"{PACKAGE}@{VERSION}"
    if is_offline():
        raise InputError(f"{package} is not in the cache, and {OFFLINE} forbids downloads", _OTHER_WAY)
    npm = shutil.which("npm")
    if npm is None:
        raise InputError(f"fetching {package} needs npm, which is not installed", f"install Node.js, or {_OTHER_WAY}")
    with tempfile.TemporaryDirectory() as temporary:
        command = [npm, "pack", package, "--pack-destination", temporary, "--silent"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise InputError(f"npm did not deliver {package} within {_TIMEOUT_S} seconds", _OTHER_WAY) from error
        archives = list(Path(temporary).glob("*.tgz"))
        if done.returncode or len(archives) != 1:
            reason = (done.stderr.strip().splitlines() or ["no archive was written"])[-1]
            raise InputError(f"npm cannot fetch {package}: {reason}", _OTHER_WAY)
        for name in SHA256:
            with atomic_path(cache / name) as target:
                target.write_bytes(_read_member(archives[0], name))


def _read_member(archive: Path, name: str) -> bytes:
    with tarfile.open(archive) as package:
        try:
            member = package.extractfile(f"package/dist/{name}")
        except KeyError:
            member = None
        content = member.read() if member else b""
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256[name]:
        raise InputError(
            f"'{name}' of {PACKAGE}@{VERSION} has the SHA-256 {digest}, not {SHA256[name]}",
            "check the registry that npm is configured to use",
        )
    return content
