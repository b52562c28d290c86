"""Latency of an estimator per image, in total and by stage."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from jaxtyping import UInt8

from e2pose.core.candidates import Candidates
from e2pose.core.poses import Poses
from e2pose.inference.estimator import Estimator
from e2pose.inference.run import PoseFunction
from e2pose.runtimes.base import Runtime

_NUM_WARM_UP_IMAGES = 3


@dataclass(frozen=True)
class Latency:
    """Mean and percentiles of the time per image, in milliseconds."""

    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float


class TimedEstimator:
    """Wraps an estimator and records its latency. The stages are measured for an `Estimator` only."""

    def __init__(self, estimator: PoseFunction) -> None:
        self._seconds: defaultdict[str, list[float]] = defaultdict(list)
        self._runtime: _TimedRuntime | None = None
        self._estimator = estimator
        if isinstance(estimator, Estimator):
            self._runtime = _TimedRuntime(estimator.runtime)
            self._estimator = Estimator(self._runtime, estimator.threshold)

    def __call__(self, image: UInt8[np.ndarray, "h w 3"]) -> Poses:
        """Returns the poses of one image."""
        start = perf_counter()
        poses = self._estimator(image)
        end = perf_counter()
        if self._runtime is not None:
            self._seconds["preprocess"].append(self._runtime.start_s - start)
            self._seconds["network"].append(self._runtime.end_s - self._runtime.start_s)
            self._seconds["decode"].append(end - self._runtime.end_s)
        self._seconds["total"].append(end - start)
        return poses

    def latencies(self) -> Mapping[str, Latency]:
        """Returns the latency of "preprocess", "network" and "decode", if measured, and of "total".

        The first three images are left out as warm-up, unless there are no others.
        """
        return {stage: _latency(seconds) for stage, seconds in self._seconds.items()}


class _TimedRuntime:
    """Wraps a runtime and records the start and end of its last call."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.spec, self.description = runtime.spec, runtime.description
        self.start_s = self.end_s = 0.0

    def __call__(self, pixels: UInt8[np.ndarray, "b 3 h w"]) -> Candidates:
        self.start_s = perf_counter()
        candidates = self._runtime(pixels)
        self.end_s = perf_counter()
        return candidates


def _latency(seconds: list[float]) -> Latency:
    times_ms = 1000 * np.array(seconds[min(_NUM_WARM_UP_IMAGES, len(seconds) - 1) :])
    p50, p90, p99 = np.percentile(times_ms, [50, 90, 99]).tolist()
    return Latency(mean_ms=float(times_ms.mean()), p50_ms=p50, p90_ms=p90, p99_ms=p99)
