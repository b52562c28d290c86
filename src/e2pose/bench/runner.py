"""The comparison itself: peers are asked in turn, in rounds, about the same frames."""

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
from jaxtyping import Float

from e2pose.bench.environment import Environment
from e2pose.bench.images import Picture, turns
from e2pose.bench.peer_script import SERVE, PeerRequest
from e2pose.bench.process import DEFAULT_LIMITS, Limits, PeerProcess
from e2pose.bench.protocol import FoundPose, Hello
from e2pose.bench.statistics import Timings
from e2pose.core.errors import OptionError, PeerError

TURN = 20
"""A peer is asked about so many frames before it is the next one's turn."""

SCENE_REPEATS = 5
"""Each scene is asked about so many times in a round."""

_Kind = TypeVar("_Kind")


@dataclass(frozen=True)
class Pace:
    """How the peers are asked.

    Args:
        rounds: How often every peer is asked about every frame.
        warm_up: How many frames at the beginning of each turn do not count.
        threads: CPU threads of each peer.

    Raises:
        OptionError: A number is out of range.
    """

    rounds: int = 3
    warm_up: int = 3
    threads: int = 2

    def __post_init__(self) -> None:
        for name, least in (("rounds", 1), ("warm_up", 0), ("threads", 1)):
            if getattr(self, name) < least:
                what = name.replace("_", "-")
                raise OptionError(
                    f"--{what} must be at least {least}, not {getattr(self, name)}", "leave it out for the usual number"
                )


DEFAULT_PACE = Pace()
"""How peers are asked if nobody says otherwise."""


@dataclass(frozen=True)
class Failure:
    """A peer that could not be compared.

    Args:
        label: What the user calls it.
        reason: Why, in one line.
    """

    label: str
    reason: str


@dataclass(frozen=True, eq=False)
class PeerRun:
    """What a peer has said and done.

    Args:
        request: Which peer.
        environment: Where it ran.
        threads: How many threads it was told to use.
        hello: What it says of itself.
        startup_s: Seconds from its start to its first answer.
        peak_memory_mb: The most memory that it used, in MB of 2^20 bytes.
        timings: How long it took.
        poses: What it found in each frame, by the frame's number.
    """

    request: PeerRequest
    environment: Environment
    threads: int
    hello: Hello
    startup_s: float
    peak_memory_mb: float
    timings: Timings
    poses: dict[int, tuple[FoundPose, ...]]


@dataclass(eq=False)
class _Contestant:
    """A peer while it is being asked."""

    request: PeerRequest
    environment: Environment
    process: PeerProcess
    hello: Hello
    startup_s: float
    times_ms: defaultdict[int, list[tuple[float, float, float]]] = field(default_factory=lambda: defaultdict(list))
    poses: dict[int, tuple[FoundPose, ...]] = field(default_factory=dict)

    def take_turn(self, pictures: Sequence[Picture], warm_up: int) -> None:
        """Answers about the pictures, after a few that do not count."""
        self.process.resume()
        for number in range(warm_up):
            picture = pictures[number % len(pictures)]
            self.process.ask(picture.index, picture.path)
        for picture in pictures:
            answer, wall_ms = self.process.ask(picture.index, picture.path)
            self.times_ms[picture.index].append((answer.ms.network, answer.ms.total, wall_ms))
            self.poses.setdefault(picture.index, answer.poses)
        self.process.pause()

    def finish(self, pictures: Sequence[Picture], pace: Pace) -> PeerRun:
        """Ends the peer and sums up."""
        self.process.resume()
        peak_memory_mb = self.process.end()
        frames = [picture.index for picture in pictures if picture.people is None and picture.index in self.poses]
        network_ms, total_ms, wall_ms = np.array([self.times_ms[index] for index in frames]).transpose(2, 1, 0)
        scenes_ms = {
            picture.people: self._totals(picture.index).reshape(pace.rounds, -1)
            for picture in pictures
            if picture.people is not None
        }
        return PeerRun(
            request=self.request,
            environment=self.environment,
            threads=pace.threads,
            hello=self.hello,
            startup_s=self.startup_s,
            peak_memory_mb=peak_memory_mb,
            timings=Timings(network_ms, total_ms, wall_ms, scenes_ms),
            poses={index: self.poses[index] for index in frames},
        )

    def _totals(self, index: int) -> Float[np.ndarray, "n"]:
        return np.array([total for _, total, _ in self.times_ms[index]])


def compare(
    prepared: Sequence[tuple[PeerRequest, Environment]],
    pictures: Sequence[Picture],
    logs: Path,
    *,
    pace: Pace,
    limits: Limits = DEFAULT_LIMITS,
    on_step: Callable[[str], None] = lambda _: None,
    on_turn: Callable[[int], None] = lambda _: None,
) -> tuple[list[PeerRun], list[Failure]]:
    """Asks all peers about all pictures.

    Each peer has a process of its own, which stands still while it is another one's turn. A turn is `TURN` frames, or
    one scene; who begins changes from turn to turn. A peer that fails is left out from then on. One with random weights
    is asked about the frames of a round's first turn only: no accuracy can be measured, and its speed shows by then.

    Args:
        prepared: The peers and where each runs.
        pictures: Frames and scenes; the first one is a frame.
        logs: Folder for what the peers print.
        pace: How often, and with how many threads.
        limits: How long they may take.
        on_step: Told in a line what is being done.
        on_turn: Told after each turn how many there will be at most.

    Returns:
        The peers that went through, and those that did not, both in the order given.
    """
    contest = _Contest(on_turn)
    modules = logs / "modules"  # without the other scripts, some of which are called like a library
    modules.mkdir()
    shutil.copy(SERVE, modules)
    with ExitStack() as running:
        for number, (request, environment) in enumerate(prepared):
            on_step(f"starting {request.label}")
            with contest.excluding(request):
                log = logs / f"{number}.log"
                contestant = _start(
                    request, environment, pictures[0], threads=pace.threads, modules=modules, log=log, limits=limits
                )
                running.callback(contestant.process.close)
                contest.contestants.append(contestant)
        on_step(f"asking about {len(pictures)} pictures, rounds: {pace.rounds}")
        contest.hold(turns(pictures, TURN, SCENE_REPEATS), pace)
        runs = contest.finish(pictures, pace)
    return runs, [
        Failure(request.label, contest.failures[request.label])
        for request, _ in prepared
        if request.label in contest.failures
    ]


class _Contest:
    """Who is still in it, and who is not."""

    def __init__(self, on_turn: Callable[[int], None]) -> None:
        self.contestants: list[_Contestant] = []
        self.failures: dict[str, str] = {}
        self._on_turn = on_turn

    @contextmanager
    def excluding(self, request: PeerRequest) -> Iterator[None]:
        """Leaves a peer out that fails in this block."""
        try:
            yield
        except PeerError as error:
            self.failures[request.label] = error.message
            self.contestants = [one for one in self.contestants if one.request is not request]

    def hold(self, portions: Sequence[Sequence[Picture]], pace: Pace) -> None:
        """Lets everybody take the turns of every round."""
        total = pace.rounds * len(portions) * len(self.contestants)
        for number in range(pace.rounds * len(portions)):
            portion = portions[number % len(portions)]
            is_enough_for_speed = portion is portions[0] or portion[0].people is not None
            for contestant in rotated(self.contestants, number):
                if is_enough_for_speed or not contestant.hello.random_weights:
                    with self.excluding(contestant.request):
                        contestant.take_turn(portion, pace.warm_up)
                self._on_turn(total)

    def finish(self, pictures: Sequence[Picture], pace: Pace) -> list[PeerRun]:
        """Ends everybody and sums up."""
        runs = []
        for contestant in list(self.contestants):
            with self.excluding(contestant.request):
                runs.append(contestant.finish(pictures, pace))
        return runs


def rotated(contestants: Sequence[_Kind], turn: int) -> list[_Kind]:
    """The peers in the order of a turn: another one begins each time."""
    first = turn % max(len(contestants), 1)
    return [*contestants[first:], *contestants[:first]]


def _start(
    request: PeerRequest,
    environment: Environment,
    first: Picture,
    *,
    threads: int,
    modules: Path,
    log: Path,
    limits: Limits,
) -> _Contestant:
    """Starts a peer, lets it answer once, and makes it wait."""
    options = [word for name, value in request.options for word in (f"--{name}", value)]
    settings = ["--threads", str(threads), "--files", str(environment.files)]
    command = [str(environment.python), str(request.script.path), *settings, *options]
    process = PeerProcess(command, threads=threads, modules=modules, log=log, limits=limits)
    hello = process.hello()
    process.ask(first.index, first.path)
    startup_s = perf_counter() - process.spawned_s
    process.pause()
    return _Contestant(request, environment, process, hello, startup_s)
