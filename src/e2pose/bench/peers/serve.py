"""A peer's side of the bench: it says hello, answers one line per frame and ends; one function for all of it.

A peer is a script beside this one, run as `python peer.py --threads N --files FOLDER [--option value]`, which calls
`serve(load)` with a function that loads everything and returns a `Peer`. Libraries are imported in that function: until
then stdout still belongs to the bench, and an import that fails is reported in one line.

Needs Python and NumPy only, and nothing of e2pose: it runs in the peer's own environment.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TextIO

import numpy as np

PROTOCOL = 1

COCO = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder"),
    *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip"),
    *("left_knee", "right_knee", "left_ankle", "right_ankle"),
)
"""COCO's keypoints in COCO's order."""

HALF_PIXEL = 0.5
"""Added to the coordinates of networks that learnt COCO's: COCO counts from the centre of the first pixel."""

_LONGEST = 300  # characters of an error


class Stopwatch:
    """Adds up the milliseconds of the three parts of the work on one frame."""

    def __init__(self) -> None:
        self.ms = {"preprocess": 0.0, "network": 0.0, "postprocess": 0.0}

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Measures what happens inside the `with`; a part may be measured several times."""
        start = time.perf_counter()
        yield
        self.ms[part] += (time.perf_counter() - start) * 1000


@dataclass(frozen=True)
class Pose:
    """One person: a score and, for each keypoint, x, y (pixels of the frame from its outer corner) and a score."""

    score: float
    keypoints: np.ndarray


Estimate = Callable[[np.ndarray, Stopwatch], Sequence[Pose]]
"""Finds the poses in an RGB image, uint8 (H, W, 3), and measures the parts of the work."""


@dataclass(frozen=True)
class Peer:
    """A peer that has loaded everything.

    Args:
        estimate: Finds the poses in a frame.
        name: Shown in the table, with the options that matter.
        version: Of the library or the model.
        licence: SPDX identifier.
        runtime: What computes the network, with its version.
        weights: Files of weights that were loaded; empty for random ones.
        random_weights: Whether the weights mean nothing.
        precision: Of the network.
        people: How many people are found in a frame, "many" or "one".
        keypoints: Names in the order of the answers.
        threads: How many the network uses, where that is not what was asked for.
        note: One line for the table.
    """

    estimate: Estimate
    name: str
    version: str
    licence: str
    runtime: str
    weights: Sequence[Path] = ()
    random_weights: bool = False
    precision: str = "f32"
    people: str = "many"
    keypoints: Sequence[str] = field(default=COCO)
    threads: int | None = None
    note: str = ""

    def hello(self, threads: int) -> dict[str, Any]:
        """What the peer says of itself."""
        said = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "estimate"}
        said["weights"] = [{"file": path.name, "sha256": sha256(path)} for path in self.weights]
        return {"hello": PROTOCOL, **said, "threads": self.threads or threads}


def serve(load: Callable[[argparse.Namespace], Peer], **options: Sequence[Any]) -> NoReturn:
    """Runs a peer from its command line until the bench ends it.

    Args:
        load: Loads everything; its argument has `threads`, `files` (the folder of weights) and the options.
        options: The values that each option of the peer may have, the usual one first; one value stands for any.
    """
    channel = claim_stdout()
    sys.path.sort(key=str(Path(__file__).parent).__eq__)  # last: a script may be called like the library that it runs
    try:
        given = _parse(options)
        limit_threads(given.threads)
        peer = load(given)
        _say(channel, peer.hello(given.threads))
        for line in sys.stdin:
            request = json.loads(line)
            if request.get("end"):
                _say(channel, {"end": True, "peak_memory_mb": peak_memory_mb()})
                break
            _say(channel, _answer(peer.estimate, request))
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        _say(channel, {"error": in_one_line(error)})
        sys.exit(1)
    sys.exit(0)


def claim_stdout() -> TextIO:
    """Keeps stdout for the bench alone: whatever a library prints from now on goes to stderr.

    This moves the file descriptor, so that it also holds for libraries written in C and for processes started by them.
    """
    sys.stdout.flush()
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)
    return channel


def limit_threads(threads: int) -> None:
    """Tells libraries that are not imported yet how many threads to use; what is set already, stays."""
    for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB"):
        variable = "VECLIB_MAXIMUM_THREADS" if name == "VECLIB" else f"{name}_NUM_THREADS"
        os.environ.setdefault(variable, str(threads))


def apart(work: Callable[..., None], *arguments: object) -> None:
    """Does preparatory work in another process, so that its memory and libraries do not count as the peer's.

    Raises:
        RuntimeError: It fails; its traceback goes to stderr.
    """
    process = multiprocessing.get_context("spawn").Process(target=work, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"the step '{work.__name__}' failed with exit code {process.exitcode}; the log says why")


def peak_memory_mb() -> float:
    """The most memory that this process has had at a time, in MB of 2^20 bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage counts on Linux what the parent had before exec
        lines = status.read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2 ** (20 if sys.platform == "darwin" else 10)


def in_one_line(error: BaseException) -> str:
    """An error as the bench's table shows it."""
    words = " ".join(f"{type(error).__name__}: {error}".removesuffix(": ").split())
    return words if len(words) <= _LONGEST else words[: _LONGEST - 1] + "…"


def sha256(path: Path) -> str:
    """The hash of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def made_whole(target: Path) -> Iterator[Path]:
    """Gives a name to write to; the file appears under its own name only when it is complete."""
    temporary = target.with_name(f".{os.getpid()}-{target.name}")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _parse(options: Mapping[str, Sequence[Any]]) -> argparse.Namespace:
    parser = _Parser(allow_abbrev=False)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--files", type=Path, required=True)
    for name, values in options.items():
        choices = values if len(values) > 1 else None
        parser.add_argument(f"--{name}", type=type(values[0]), choices=choices, default=values[0])
    return parser.parse_args()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def _answer(estimate: Estimate, request: Mapping[str, Any]) -> dict[str, Any]:
    watch = Stopwatch()
    poses = estimate(np.load(request["path"]), watch)
    found = [{"score": float(pose.score), "keypoints": pose.keypoints.tolist()} for pose in poses]
    return {"frame": request["frame"], "poses": found, "ms": watch.ms}


def _say(channel: TextIO, record: Mapping[str, Any]) -> None:
    channel.write(json.dumps(record, allow_nan=False) + "\n")
    channel.flush()
