"""Peer side of the protocol: `serve` sends the handshake, answers requests, and sends the result message.

A peer is a script, run as `python peer.py --threads N --files FOLDER [--option value]`. It calls `serve(load)` with a
function that loads everything and returns a `Peer`, and imports its libraries in that function: `serve` redirects
stdout before, which libraries may print to, and reports an import error as one line.

This module runs in the environment of the peer and requires only Python and NumPy.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TextIO

import numpy as np

PROTOCOL = 2

COCO = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder"),
    *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip"),
    *("left_knee", "right_knee", "left_ankle", "right_ankle"),
)
"""The keypoints of COCO, in its order."""

HALF_PIXEL = 0.5
"""Added to the coordinates of networks trained on COCO, whose origin is the centre of the first pixel."""

_MAX_ERROR_CHARACTERS = 300


class Stopwatch:
    """Sums up the milliseconds of each stage of a frame."""

    def __init__(self) -> None:
        self.ms = {"preprocess": 0.0, "network": 0.0, "postprocess": 0.0}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Measures a `with` block; a stage can be measured several times."""
        start = time.perf_counter()
        yield
        self.ms[stage] += (time.perf_counter() - start) * 1000


@dataclass(frozen=True)
class Pose:
    """A person: its score, and (K, 3) x, y and score of each keypoint, in frame pixels from the outer image corner."""

    score: float
    keypoints: np.ndarray


Estimate = Callable[[np.ndarray, Stopwatch], Sequence[Pose]]
"""Returns the poses in an RGB image, uint8 (H, W, 3), and measures the stages."""


@dataclass(frozen=True)
class Peer:
    """A loaded peer.

    Args:
        estimate: Returns the poses in a frame.
        name: Name in the table, with the most important options.
        version: Version of the library or the model.
        licence: SPDX identifier.
        runtime: Library that runs the network, with its version.
        weights: Loaded files of weights; empty for random ones.
        random_weights: Whether only the speed is meaningful.
        precision: Precision of the network.
        multi_person: False if at most one person per frame is detected.
        keypoints: Names in the order of the poses.
        threads: Number of threads of the network; None for the requested one.
        note: One line for the notes below the table.
    """

    estimate: Estimate
    name: str
    version: str
    licence: str
    runtime: str
    weights: Sequence[Path] = ()
    random_weights: bool = False
    precision: str = "f32"
    multi_person: bool = True
    keypoints: Sequence[str] = COCO
    threads: int | None = None
    note: str = ""

    def handshake(self, threads: int) -> dict[str, Any]:
        """Returns the first message."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "estimate"}
        fields["weights"] = [
            {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()} for path in self.weights
        ]
        return {"handshake": PROTOCOL, **fields, "threads": self.threads or threads}


def serve(load: Callable[[argparse.Namespace], Peer], **options: Sequence[Any]) -> NoReturn:
    """Runs a peer from its command line until the bench stops it.

    Args:
        load: Loads everything. Its argument has the attributes `threads`, `files` (the folder of weights) and the
            options.
        options: Accepted values of each option of the peer, the default first; a single value accepts any other.
    """
    channel = redirect_stdout()
    sys.path.sort(key=str(Path(__file__).parent).__eq__)  # last: a script may have the name of a library
    try:
        arguments = _parse_arguments(options)
        peer = load(arguments)
        _send(channel, peer.handshake(arguments.threads))
        for line in sys.stdin:
            request = json.loads(line)
            if request.get("stop"):
                _send(channel, {"result": True, "peak_memory_mb": peak_memory_mb()})
                break
            _send(channel, _response(peer.estimate, request))
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        _send(channel, {"error": format_error(error)})
        sys.exit(1)
    sys.exit(0)


def redirect_stdout() -> TextIO:
    """Redirects stdout to stderr, and returns a channel to the original stdout.

    The file descriptor is redirected, which includes output of C libraries and of child processes.
    """
    sys.stdout.flush()
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)
    return channel


def run_in_subprocess(work: Callable[..., None], *arguments: object) -> None:
    """Runs preparatory work in another process, whose memory and libraries do not count for the peer.

    Raises:
        RuntimeError: The work fails; its traceback is printed to stderr.
    """
    process = multiprocessing.get_context("spawn").Process(target=work, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"the step '{work.__name__}' failed with exit code {process.exitcode}; see the log")


def peak_memory_mb() -> float:
    """Returns the peak memory of this process in units of 2^20 bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux, getrusage includes the memory of the parent before exec
        return int(status.read_text(encoding="utf-8").partition("VmHWM:")[2].split()[0]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2 ** (20 if sys.platform == "darwin" else 10)


def format_error(error: BaseException) -> str:
    """Formats an error as one line."""
    line = " ".join(f"{type(error).__name__}: {error}".removesuffix(": ").split())
    return line if len(line) <= _MAX_ERROR_CHARACTERS else line[: _MAX_ERROR_CHARACTERS - 1] + "…"


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yields a temporary path next to `target`, and renames it when the block succeeds."""
    temporary = target.with_name(f".{os.getpid()}-{target.name}")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _parse_arguments(options: Mapping[str, Sequence[Any]]) -> argparse.Namespace:
    parser = _Parser(allow_abbrev=False)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--files", type=Path, required=True)
    for name, values in options.items():
        choices = values if len(values) > 1 else None
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(values[0]), choices=choices, default=values[0])
    return parser.parse_args()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def _response(estimate: Estimate, request: Mapping[str, Any]) -> dict[str, Any]:
    watch = Stopwatch()
    poses = estimate(np.load(request["path"]), watch)
    records = [{"score": float(pose.score), "keypoints": pose.keypoints.tolist()} for pose in poses]
    return {"frame": request["frame"], "poses": records, "ms": watch.ms}


def _send(channel: TextIO, record: Mapping[str, Any]) -> None:
    channel.write(json.dumps(record, allow_nan=False) + "\n")
    channel.flush()
