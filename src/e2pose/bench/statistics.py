"""Statistics of measured times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

_MIN_MS = 1e-3  # avoids division by zero


@dataclass(frozen=True)
class Measurement:
    """A number measured in several rounds; `half_range` is half the difference of highest and lowest round."""

    median: float
    half_range: float
    rounds: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Timings:
    """Times of one peer in milliseconds; each round covers every frame and every scene."""

    network_ms: Float[np.ndarray, "rounds frames"]
    total_ms: Float[np.ndarray, "rounds frames"]  # from pixels to poses: preprocessing, network and postprocessing
    wall_ms: Float[np.ndarray, "rounds frames"]  # between request and response, which includes loading the frame
    scenes_ms: Mapping[int, Float[np.ndarray, "rounds repeats"]]  # like `total_ms`, by the number of persons

    @property
    def network_fps(self) -> Measurement:
        """Frames per second of the network alone."""
        return frames_per_second(self.network_ms)

    @property
    def fps(self) -> Measurement:
        """Frames per second from pixels to poses."""
        return frames_per_second(self.total_ms)

    @property
    def p50_ms(self) -> float:
        """Median of all times from pixels to poses."""
        return float(np.percentile(self.total_ms, 50))

    @property
    def p90_ms(self) -> float:
        """90th percentile of all times from pixels to poses."""
        return float(np.percentile(self.total_ms, 90))

    @property
    def overhead_ms(self) -> float:
        """Median of the time between request and response that is not part of `total_ms`."""
        return float(np.median(self.wall_ms - self.total_ms))

    @property
    def scene_latency_ms(self) -> dict[int, Measurement]:
        """Median time of each scene, by its number of persons."""
        return {num_persons: summarize(np.median(times_ms, axis=1)) for num_persons, times_ms in self.scenes_ms.items()}

    @property
    def crowd_ratio(self) -> Measurement | None:
        """Latency of the scene with the most persons, relative to that with the fewest; None without scenes."""
        if not self.scenes_ms:
            return None
        fewest, most = (np.median(self.scenes_ms[key], axis=1) for key in (min(self.scenes_ms), max(self.scenes_ms)))
        return summarize(most / np.maximum(fewest, _MIN_MS))


def summarize(rounds: Sequence[float] | Float[np.ndarray, "rounds"]) -> Measurement:
    """Computes median and half range over rounds."""
    values = np.asarray(rounds, dtype=np.float64)
    return Measurement(float(np.median(values)), float(np.ptp(values) / 2), tuple(values.tolist()))


def frames_per_second(times_ms: Float[np.ndarray, "rounds frames"]) -> Measurement:
    """Computes the frame rate from the median time of each round."""
    return summarize(1000 / np.maximum(np.median(times_ms, axis=1), _MIN_MS))


def speed_ratio(
    times_ms: Float[np.ndarray, "rounds frames"], reference_ms: Float[np.ndarray, "rounds others"]
) -> Measurement:
    """Computes the speed relative to a reference; 0.5 is half as fast.

    The two times of the same frame in the same round, measured shortly after each other, form a pair. The ratio of a
    round is the median over its pairs. Additional frames of one of the two must be the last ones; they are left out.
    """
    num_frames = min(times_ms.shape[1], reference_ms.shape[1])
    ratios = reference_ms[:, :num_frames] / np.maximum(times_ms[:, :num_frames], _MIN_MS)
    return summarize(np.median(ratios, axis=1))
