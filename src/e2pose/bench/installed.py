"""How much room an installation takes."""

from __future__ import annotations

from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from os.path import normpath
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_BYTES_PER_MB = 2**20


def size_of_folder_mb(folder: Path) -> float:
    """The length of all files in a folder in MB of 2^20 bytes, links left out."""
    return _sum([path for path in folder.rglob("*") if not path.is_symlink() and path.is_file()])


def size_of_distribution_mb(name: str) -> float:
    """The same of all files of an installed package and of all that it needs, extras left out."""
    found: dict[str, Distribution] = {}
    pending = [name]
    while pending:
        needed = canonicalize_name(pending.pop())
        if needed in found:
            continue
        try:
            found[needed] = distribution(needed)
        except PackageNotFoundError:
            continue  # it is not needed on this machine after all
        requirements = map(Requirement, found[needed].requires or ())
        pending += [one.name for one in requirements if one.marker is None or one.marker.evaluate({"extra": ""})]
    files = {normpath(str(entry.locate())) for one in found.values() for entry in one.files or ()}
    package = find_spec(name)
    if package is not None and package.origin is not None:  # an editable installation lists no files
        files |= {normpath(path) for path in Path(package.origin).parent.rglob("*")}
    return _sum([path for path in map(Path, files) if path.is_file()])


def _sum(files: list[Path]) -> float:
    return sum(path.stat().st_size for path in files) / _BYTES_PER_MB
