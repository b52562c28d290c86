"""Round-robin runner: peers process the same images in turns, in several rounds."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TypeVar

import numpy as np

from e2pose.bench.environment import Environment
from e2pose.bench.images import BenchImage
from e2pose.bench.options import BenchOptions
from e2pose.bench.peer_script import PEERS, PeerRequest
from e2pose.bench.process import DEFAULT_LIMITS, Limits, PeerProcess
from e2pose.bench.protocol import Handshake, PeerPose
from e2pose.bench.statistics import Timings
from e2pose.core.errors import PeerError

FRAMES_PER_TURN = 20
"""A peer processes this many frames before the next peer."""

SCENE_REPEATS = 5
"""How often a peer processes each scene in a round."""

_MODULES = "modules"  # folder for `serve` without the other scripts, because some are named like a library
_Item = TypeVar("_Item")


@dataclass(frozen=True, eq=False)
class PeerResult:
    """Measurements and accuracy of a peer."""

    request: PeerRequest
    environment: Environment
    threads: int  # that it was started with
    handshake: Handshake
    startup_s: float  # from its start to its first response
    peak_memory_mb: float  # in units of 2^20 bytes
    timings: Timings
    poses: dict[int, tuple[PeerPose, ...]]  # by index of the frame
    ap: float | None = None  # average precision in [0, 1]; None without annotations or with random weights
    missing_keypoints: tuple[str, ...] = ()  # annotated keypoints that the peer does not have


@dataclass(eq=False)
class _Entrant:
    """A peer during a comparison, paused outside its turns."""

    request: PeerRequest
    environment: Environment
    process: PeerProcess
    handshake: Handshake
    startup_s: float
    times_ms: defaultdict[int, list[tuple[float, float, float]]] = field(default_factory=lambda: defaultdict(list))
    poses: dict[int, tuple[PeerPose, ...]] = field(default_factory=dict)

    def take_turn(self, images: Sequence[BenchImage], warm_up: int) -> None:
        """Processes images, after unmeasured ones as a warm-up."""
        self.process.resume()
        for number in range(warm_up):
            image = images[number % len(images)]
            self.process.estimate(image.index, image.path)
        for image in images:
            response, wall_ms = self.process.estimate(image.index, image.path)
            self.times_ms[image.index].append((response.ms.network, response.ms.total, wall_ms))
            self.poses.setdefault(image.index, response.poses)
        self.process.pause()

    def finish(self, images: Sequence[BenchImage], options: BenchOptions) -> PeerResult:
        """Stops the peer and collects its measurements."""
        self.process.resume()
        peak_memory_mb = self.process.stop().peak_memory_mb
        frames = [image.index for image in images if image.num_persons is None and image.index in self.poses]
        network_ms, total_ms, wall_ms = np.array([self.times_ms[index] for index in frames]).transpose(2, 1, 0)
        scenes_ms = {
            image.num_persons: np.array(self.times_ms[image.index])[:, 1].reshape(options.rounds, -1)
            for image in images
            if image.num_persons is not None
        }
        return PeerResult(
            request=self.request,
            environment=self.environment,
            threads=options.threads,
            handshake=self.handshake,
            startup_s=self.startup_s,
            peak_memory_mb=peak_memory_mb,
            timings=Timings(network_ms, total_ms, wall_ms, scenes_ms),
            poses={index: self.poses[index] for index in frames},
        )


def run_round_robin(
    prepared: Sequence[tuple[PeerRequest, Environment]],
    images: Sequence[BenchImage],
    folder: Path,
    options: BenchOptions,
    *,
    limits: Limits = DEFAULT_LIMITS,
    on_message: Callable[[str], None] = lambda _: None,
    on_turn: Callable[[int], None] = lambda _: None,
) -> tuple[list[PeerResult], dict[str, str]]:
    """Runs peers in turns on the same images: frames, followed by scenes.

    All peers are started first, and paused while another one has its turn. A turn consists of `FRAMES_PER_TURN` frames,
    or of `SCENE_REPEATS` times the same scene. The order of the peers rotates from turn to turn. A peer that fails is
    skipped for the rest of the run. A peer with random weights skips all turns with frames except for the first one of
    each round: its accuracy is meaningless, and these frames suffice to measure its speed.

    The folder, which must be empty, receives the logs. `on_message` is called with a line of text before each long
    step, and `on_turn` after each turn with the maximum number of turns.

    Returns:
        The measurements of the peers that completed, and the reasons of the failures, in one line, by label.
    """
    failures: dict[str, str] = {}
    entrants: dict[str, _Entrant] = {}

    @contextmanager
    def drop_on_error(label: str) -> Iterator[None]:
        try:
            yield
        except PeerError as error:
            failures[label] = error.message
            entrants.pop(label, None)

    (folder / _MODULES).mkdir()
    shutil.copy(PEERS / "serve.py", folder / _MODULES)
    turns = _plan_turns(images)
    with ExitStack() as processes:
        for number, (request, environment) in enumerate(prepared):
            on_message(f"starting {request.label}")
            with drop_on_error(request.label):
                log = folder / f"{number}.log"
                entrant = _start(request, environment, images[0], threads=options.threads, log=log, limits=limits)
                processes.callback(entrant.process.close)
                entrants[request.label] = entrant
        on_message(f"processing frames: {len(images)}, rounds: {options.rounds}")
        max_turns = options.rounds * len(turns) * len(entrants)
        for number, turn in enumerate(turns * options.rounds):
            is_needed_for_speed = turn is turns[0] or turn[0].num_persons is not None
            for label, entrant in rotate(list(entrants.items()), number):
                if is_needed_for_speed or not entrant.handshake.random_weights:
                    with drop_on_error(label):
                        entrant.take_turn(turn, options.warm_up)
                on_turn(max_turns)
        results = []
        for label, entrant in list(entrants.items()):
            with drop_on_error(label):
                results.append(entrant.finish(images, options))
    return results, failures


def _start(
    request: PeerRequest, environment: Environment, first: BenchImage, *, threads: int, log: Path, limits: Limits
) -> _Entrant:
    """Starts a peer, waits for its response to the first image, and pauses it."""
    command = [str(environment.python), str(request.script.path)]
    command += ["--threads", str(threads), "--files", str(environment.files)]
    command += [word for name, value in request.options for word in (f"--{name}", value)]
    start = perf_counter()
    process = PeerProcess(command, threads=threads, modules=log.with_name(_MODULES), log=log, limits=limits)
    handshake = process.receive_handshake()
    process.estimate(first.index, first.path)
    startup_s = perf_counter() - start
    process.pause()
    return _Entrant(request, environment, process, handshake, startup_s)


def rotate(items: Sequence[_Item], turn: int) -> list[_Item]:
    """Returns the items in the order of a turn; each turn starts with another item."""
    first = turn % max(len(items), 1)
    return [*items[first:], *items[:first]]


def _plan_turns(images: Sequence[BenchImage]) -> list[list[BenchImage]]:
    """Splits frames and scenes into turns."""
    frames = [image for image in images if image.num_persons is None]
    scenes = [image for image in images if image.num_persons is not None]
    turns = [frames[start : start + FRAMES_PER_TURN] for start in range(0, len(frames), FRAMES_PER_TURN)]
    return [*turns, *([scene] * SCENE_REPEATS for scene in scenes)]
