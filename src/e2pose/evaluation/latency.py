"""How long one picture takes, and in which station of the belt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from jaxtyping import UInt8

from e2pose.core.candidates import Candidates
from e2pose.core.poses import Poses
from e2pose.core.spec import ModelSpec
from e2pose.inference.estimator import Estimator
from e2pose.runtimes.base import Runtime

PoseFunction = Callable[[UInt8[np.ndarray, "h w 3"]], Poses]
"""Finds everybody in an RGB picture."""

_WARM_UP = 3


@dataclass(frozen=True)
class Latency:
    """Times of a station, in milliseconds: half of the pictures are faster than `p50_ms`, and so on."""

    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float


class TimedEstimator:
    """Finds poses and writes down how long each station took.

    Args:
        estimator: What finds the poses. Only of an `Estimator` are the stations known.
    """

    def __init__(self, estimator: PoseFunction) -> None:
        self._seconds: defaultdict[str, list[float]] = defaultdict(list)
        self._network: _TimedRuntime | None = None
        self._find = estimator
        if isinstance(estimator, Estimator):
            self._network = _TimedRuntime(estimator.runtime)
            self._find = Estimator(self._network, estimator.threshold)

    def __call__(self, image: UInt8[np.ndarray, "h w 3"]) -> Poses:
        """Finds everybody in one picture."""
        start = perf_counter()
        poses = self._find(image)
        end = perf_counter()
        if self._network is not None:
            self._seconds["preprocess"].append(self._network.start_s - start)
            self._seconds["network"].append(self._network.end_s - self._network.start_s)
            self._seconds["decode"].append(end - self._network.end_s)
        self._seconds["total"].append(end - start)
        return poses

    def latencies(self) -> Mapping[str, Latency]:
        """The times of "preprocess", "network" and "decode" if they are known, and in "total"."""
        return {station: _latency(seconds) for station, seconds in self._seconds.items()}


class _TimedRuntime:
    """A runtime that knows when it began and ended its last run."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.start_s = self.end_s = 0.0

    @property
    def spec(self) -> ModelSpec:
        return self._runtime.spec

    @property
    def description(self) -> str:
        return self._runtime.description

    def __call__(self, pixels: UInt8[np.ndarray, "b 3 h w"]) -> Candidates:
        self.start_s = perf_counter()
        candidates = self._runtime(pixels)
        self.end_s = perf_counter()
        return candidates


def _latency(seconds: list[float]) -> Latency:
    """The first few runs are slower than all others and left out, unless there are no others."""
    times_ms = 1000 * np.array(seconds[min(_WARM_UP, len(seconds) - 1) :])
    p50, p90, p99 = np.percentile(times_ms, [50, 90, 99]).tolist()
    return Latency(mean_ms=float(times_ms.mean()), p50_ms=p50, p90_ms=p90, p99_ms=p99)
