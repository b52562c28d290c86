"""The environment of a peer: created once, kept in the cache, never half there."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from e2pose.bench.installed import size_of_distribution_mb, size_of_folder_mb
from e2pose.bench.package_files import fetch_files
from e2pose.bench.peer_script import PeerScript
from e2pose.bench.protocol import one_line
from e2pose.core.errors import OutputError, PeerError
from e2pose.core.files import write_error
from e2pose.zoo.cache import OFFLINE, cache_folder, is_offline

STEP_LIMIT_S = 3600
"""An installation that takes longer is given up."""

_FACTS = "installed.json"
_VENV = ("venv",)
_PIP = ("pip", "--disable-pip-version-check", "--no-input", "install")


@dataclass(frozen=True)
class Environment:
    """Where a peer runs.

    Args:
        python: The interpreter.
        files: The folder with the files that it asked for.
        size_mb: What was installed for it, in MB of 2^20 bytes.
    """

    python: Path
    files: Path
    size_mb: float


def environment_of(
    script: PeerScript, *, rebuild: bool = False, on_step: Callable[[str], None] = lambda _: None
) -> Environment:
    """The environment of a peer; it is made if it is not there yet.

    Its name holds a hash of the script's metadata, so that a changed script gets a new one. It is made under another
    name and renamed when it is complete. What the installation prints is kept beside it, in a file `.log`.

    Args:
        script: The peer.
        rebuild: Make it anew.
        on_step: Told in a line what is being done, before what takes long.

    Raises:
        PeerError: It cannot be made; the message is one line.
        OutputError: The cache folder cannot be written.
    """
    folder = cache_folder("bench") / _key(script)
    if not script.requires_python.contains(platform.python_version(), prereleases=True):
        raise PeerError(f"it needs Python {script.requires_python}, and this is {platform.python_version()}")
    if script.needs.environment == "this":
        return Environment(Path(sys.executable), folder / "files", size_of_distribution_mb("e2pose"))
    if rebuild or not _python(folder).exists() or not (folder / _FACTS).is_file():
        _check_online(script)
        try:
            _build(script, folder, on_step)
        except OSError as error:
            raise write_error(folder, error) from error
    facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
    return Environment(_python(folder), folder / "files", float(facts["size_mb"]))


def _key(script: PeerScript) -> str:
    text = f"{script.block}\n{platform.python_implementation()} {platform.python_version()}"
    return f"{script.path.stem}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _check_online(script: PeerScript) -> None:
    fetches = script.dependencies or script.needs.steps or script.needs.files
    if fetches and is_offline():
        raise PeerError(f"its environment has not been made yet, and {OFFLINE} forbids to fetch what it needs")


def _build(script: PeerScript, folder: Path, on_step: Callable[[str], None]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = folder.with_name(f"{folder.name}.log")
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        with log.open("wb") as output:
            _install(script, unfinished, _Shell(output.fileno(), log), on_step)
        _replace(folder, unfinished)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _install(script: PeerScript, folder: Path, shell: _Shell, on_step: Callable[[str], None]) -> None:
    name = script.needs.name
    on_step(f"{name}: making its environment")
    shell.run("the environment cannot be made", [sys.executable, "-m", *_VENV, str(folder)])
    empty_mb = size_of_folder_mb(folder)
    python = str(_python(folder))
    if script.dependencies:
        on_step(f"{name}: installing {', '.join(script.dependencies)}")
        shell.run("its dependencies cannot be installed", [python, "-m", *_PIP, *script.dependencies])
    for step in script.needs.steps:
        on_step(f"{name}: {' '.join(step)}")
        shell.run(f"the step '{' '.join(step)}' failed", [python, "-m", *step])
    (folder / "files").mkdir(exist_ok=True)
    if script.needs.files:
        on_step(f"{name}: fetching {', '.join(file.name for file in script.needs.files)}")
        fetch_files(script.needs.files, folder / "files", lambda command, what: shell.run(what, [*command]), python)
    facts = {"size_mb": size_of_folder_mb(folder) - empty_mb}
    (folder / _FACTS).write_text(json.dumps(facts), encoding="utf-8")


def _replace(folder: Path, finished: Path) -> None:
    """Gives a finished environment its name; what has it so far goes."""
    if folder.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
        folder.replace(old / folder.name)
        shutil.rmtree(old, ignore_errors=True)
    try:
        finished.rename(folder)
    except OSError as error:
        if not (folder / _FACTS).is_file():  # or somebody else has just finished the same
            raise OutputError(f"cannot make '{folder}': {error.strerror}", "run it again") from error


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


@dataclass(frozen=True)
class _Shell:
    """Runs commands; what they print goes into a log."""

    output: int
    log: Path

    def run(self, failure: str, command: Sequence[str]) -> None:
        os.write(self.output, f"$ {' '.join(command)}\n".encode())
        environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=self.output,
                stderr=subprocess.STDOUT,
                env=environment,
                timeout=STEP_LIMIT_S,
                check=False,
            )
        except FileNotFoundError as error:
            raise PeerError(f"{failure}: the program '{command[0]}' is not installed") from error
        except subprocess.TimeoutExpired as error:
            raise PeerError(f"{failure}: given up after {STEP_LIMIT_S} s; see {self.log}") from error
        if done.returncode:
            raise PeerError(f"{one_line(failure)}: {last_words(self.log)}; see {self.log}")


def last_words(log: Path) -> str:
    """The last line of a log that says something, after the last one that begins with "error" if there is any."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 20_000))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    said = [line for line in lines if line and not line.startswith(("[notice]", "hint:", "note:"))]
    errors = [line for line in said if line.lower().startswith("error")]
    return one_line((errors or said or ["it printed nothing"])[-1])
