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
from e2pose.bench.peer_script import SERVE, PeerRequest
from e2pose.bench.process import DEFAULT_LIMITS, Limits, PeerProcess
from e2pose.bench.protocol import Handshake, PeerPose
from e2pose.bench.statistics import Timings
from e2pose.core.errors import PeerError

FRAMES_PER_TURN = 20
"""A peer processes this many frames before the next peer."""

SCENE_REPEATS = 5
"""How often a peer processes each scene in a round."""

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Failure:
    """Label of a peer that failed, and the reason in one line."""

    label: str
    reason: str


@dataclass(frozen=True, eq=False)
class PeerResult:
    """Measurements and accuracy of a peer.

    Args:
        request: The peer.
        environment: Its environment.
        threads: Number of threads that it was started with.
        handshake: Its handshake.
        startup_s: Seconds from its start to its first response.
        peak_memory_mb: Peak memory in units of 2^20 bytes.
        timings: Its times.
        poses: Poses of each frame, by index of the frame.
        ap: Average precision in [0, 1]; None without annotations or with random weights.
        missing_keypoints: Annotated keypoints that the peer does not have.
    """

    request: PeerRequest
    environment: Environment
    threads: int
    handshake: Handshake
    startup_s: float
    peak_memory_mb: float
    timings: Timings
    poses: dict[int, tuple[PeerPose, ...]]
    ap: float | None = None
    missing_keypoints: tuple[str, ...] = ()


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
) -> tuple[list[PeerResult], list[Failure]]:
    """Runs peers in turns on the same images.

    All peers are started first, and paused while another one has its turn. A turn consists of `FRAMES_PER_TURN` frames,
    or of `SCENE_REPEATS` times the same scene. The order of the peers rotates from turn to turn. A peer that fails is
    skipped for the rest of the run. A peer with random weights skips all turns with frames except for the first one of
    each round: its accuracy is meaningless, and these frames suffice to measure its speed.

    Args:
        prepared: The peers and their environments.
        images: Frames, followed by scenes.
        folder: Empty folder for logs.
        options: Rounds, warm-up and threads.
        limits: Time limits.
        on_message: Called with a line of text before each long step.
        on_turn: Called after each turn with the maximum number of turns.

    Returns:
        The measurements of the peers that completed, and the failures, both in the order of the peers.
    """
    runner = _RoundRobin(options)
    modules = folder / "modules"  # contains no other script, because some are named like a library
    modules.mkdir()
    shutil.copy(SERVE, modules)
    with ExitStack() as processes:
        for number, (request, environment) in enumerate(prepared):
            on_message(f"starting {request.label}")
            with runner.drop_on_error(request):
                log = folder / f"{number}.log"
                process = _start_process(request, environment, options, modules=modules, log=log, limits=limits)
                processes.callback(process.close)
                runner.add(request, environment, process, images[0])
        on_message(f"processing {len(images)} images in {options.rounds} rounds")
        runner.take_turns(_plan_turns(images), on_turn)
        results = runner.finish(images)
    labels = [request.label for request, _ in prepared]
    return results, [Failure(label, runner.failures[label]) for label in labels if label in runner.failures]


class _RoundRobin:
    """The peers of a comparison that have not failed."""

    def __init__(self, options: BenchOptions) -> None:
        self.failures: dict[str, str] = {}
        self._options = options
        self._entrants: list[_Entrant] = []

    @contextmanager
    def drop_on_error(self, request: PeerRequest) -> Iterator[None]:
        """Removes a peer that fails in this block."""
        try:
            yield
        except PeerError as error:
            self.failures[request.label] = error.message
            self._entrants = [entrant for entrant in self._entrants if entrant.request is not request]

    def add(self, request: PeerRequest, environment: Environment, process: PeerProcess, first: BenchImage) -> None:
        """Waits for the handshake and the first response of a peer, and pauses it."""
        handshake = process.receive_handshake()
        process.estimate(first.index, first.path)
        startup_s = perf_counter() - process.started_s
        process.pause()
        self._entrants.append(_Entrant(request, environment, process, handshake, startup_s))

    def take_turns(self, turns: Sequence[Sequence[BenchImage]], on_turn: Callable[[int], None]) -> None:
        """Runs the turns of all rounds."""
        num_turns = self._options.rounds * len(turns)
        total = num_turns * len(self._entrants)
        for number in range(num_turns):
            images = turns[number % len(turns)]
            is_needed_for_speed = images is turns[0] or images[0].num_persons is not None
            for entrant in rotate(self._entrants, number):
                if is_needed_for_speed or not entrant.handshake.random_weights:
                    with self.drop_on_error(entrant.request):
                        entrant.take_turn(images, self._options.warm_up)
                on_turn(total)

    def finish(self, images: Sequence[BenchImage]) -> list[PeerResult]:
        """Stops all peers and returns their measurements."""
        results = []
        for entrant in list(self._entrants):
            with self.drop_on_error(entrant.request):
                results.append(entrant.finish(images, self._options))
        return results


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


def _start_process(
    request: PeerRequest, environment: Environment, options: BenchOptions, *, modules: Path, log: Path, limits: Limits
) -> PeerProcess:
    peer_options = [word for name, value in request.options for word in (f"--{name}", value)]
    fixed_options = ["--threads", str(options.threads), "--files", str(environment.files)]
    command = [str(environment.python), str(request.script.path), *fixed_options, *peer_options]
    return PeerProcess(command, threads=options.threads, modules=modules, log=log, limits=limits)
