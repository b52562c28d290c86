"""Jobs of `e2pose batch` for tests."""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.dataset

from helpers.synthetic import write_image

WITH_FAULTS = """
import os, signal, sys
from e2pose.batch import reading

original = reading._frames

def frames(item, *arguments):
    name = os.path.basename(item.uri)
    if "kill" in name:
        os.kill(os.getpid(), signal.SIGKILL)
    if "raise" in name:
        raise RuntimeError("an unexpected error")
    return original(item, *arguments)

reading._frames = frames
if __name__ == "__main__":
    from e2pose.cli.app import main
    sys.exit(main(sys.argv[1:]))
"""
"""A program that runs the command line; in its workers, files with "kill" in their name end the process."""


def write_images(folder: Path, count: int) -> Path:
    """Writes images of different sizes; every third one is black, so that the tiny model finds no person in it."""
    for index in range(count):
        write_image(folder / f"{index:04d}.png", (40 + index % 50, 60), 0 if index % 3 == 0 else 200)
    return folder


def start(*arguments: object, script: Path | None = None, **options: object) -> subprocess.Popen[str]:
    """Starts the command line, or a script with the same arguments, in a process group of its own."""
    command = [sys.executable, *(["-m", "e2pose"] if script is None else [str(script)])]
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def read_table(job: str | Path, name: str, *, filesystem: object = None) -> list[dict[str, object]]:
    """Returns the rows of a result table without times, in the order of the shards."""
    table = pyarrow.dataset.dataset(f"{job}/{name}", filesystem=filesystem).to_table()
    return table.drop([column for column in ("ms",) if column in table.column_names]).to_pylist()


def assert_same_results(job: str | Path, expected: str | Path, **options: object) -> None:
    for name in ("files", "poses"):
        assert read_table(job, name, **options) == read_table(expected, name)


def temporary_files(job: Path) -> list[str]:
    return [path.name for path in job.rglob(".*") if path.name != ".lock"]


def finished_shards(job: Path) -> dict[str, int]:
    """Returns the modification times of the file tables in nanoseconds."""
    folder = job / "files"
    if not folder.is_dir():
        return {}
    return {entry.name: entry.stat().st_mtime_ns for entry in os.scandir(folder) if not entry.name.startswith(".")}
