"""Milliseconds to numbers that can be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

_MS_PER_S = 1000.0
_LEAST_MS = 1e-3  # what takes no time has no rate


@dataclass(frozen=True)
class Estimate:
    """A number that was measured in several rounds.

    Args:
        median: Over the rounds.
        spread: Half of the way from the lowest to the highest round.
        rounds: What each round has given.
    """

    median: float
    spread: float
    rounds: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Timings:
    """What was measured of one peer; every round asks about every frame and every scene.

    Args:
        network_ms: Time in the network.
        total_ms: Time from pixels to poses: preprocessing, network and postprocessing.
        wall_ms: Time from question to answer, with the loading of the frame.
        scenes_ms: The same as `total_ms` for the scenes with so many people, some times each round.
    """

    network_ms: Float[np.ndarray, "rounds frames"]
    total_ms: Float[np.ndarray, "rounds frames"]
    wall_ms: Float[np.ndarray, "rounds frames"]
    scenes_ms: Mapping[int, Float[np.ndarray, "rounds repeats"]]

    @property
    def network_fps(self) -> Estimate:
        """Frames per second of the network alone: the reciprocal of a round's median time."""
        return rate(self.network_ms)

    @property
    def fps(self) -> Estimate:
        """Frames per second from pixels to poses."""
        return rate(self.total_ms)

    @property
    def p50_ms(self) -> float:
        """Half of all answers took no longer."""
        return float(np.percentile(self.total_ms, 50))

    @property
    def p90_ms(self) -> float:
        """Nine tenths of all answers took no longer."""
        return float(np.percentile(self.total_ms, 90))

    @property
    def unexplained_ms(self) -> float:
        """Median of what lies between question and answer and is in none of the three times."""
        return float(np.median(self.wall_ms - self.total_ms))

    @property
    def people_ms(self) -> dict[int, Estimate]:
        """Median time of a scene with so many people."""
        return {people: estimate(np.median(times, axis=1)) for people, times in self.scenes_ms.items()}

    @property
    def growth(self) -> Estimate | None:
        """How many times as long the scene with the most people takes as that with the fewest; None without scenes."""
        if not self.scenes_ms:
            return None
        fewest, most = (
            np.median(self.scenes_ms[people], axis=1) for people in (min(self.scenes_ms), max(self.scenes_ms))
        )
        return estimate(most / np.maximum(fewest, _LEAST_MS))


def estimate(rounds: Sequence[float] | Float[np.ndarray, "rounds"]) -> Estimate:
    """Median and spread over rounds."""
    values = np.asarray(rounds, dtype=np.float64)
    return Estimate(float(np.median(values)), float(np.ptp(values) / 2), tuple(values.tolist()))


def rate(times_ms: Float[np.ndarray, "rounds frames"]) -> Estimate:
    """How many frames fit into a second, by the median time of each round."""
    return estimate(_MS_PER_S / np.maximum(np.median(times_ms, axis=1), _LEAST_MS))


def speed_ratio(
    times_ms: Float[np.ndarray, "rounds frames"], reference_ms: Float[np.ndarray, "rounds others"]
) -> Estimate:
    """How many times as fast one is as the reference: 0.5 takes twice as long.

    The two times of the same frame in the same round, which were measured shortly after each other, make a pair; the
    median of the ratios of all pairs is that of a round. Frames that only one of them was asked about come last.
    """
    both = min(times_ms.shape[1], reference_ms.shape[1])
    return estimate(np.median(reference_ms[:, :both] / np.maximum(times_ms[:, :both], _LEAST_MS), axis=1))
