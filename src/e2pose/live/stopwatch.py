"""Rate and latency of a running model."""

from __future__ import annotations

from collections import deque
from time import perf_counter

import numpy as np
from jaxtyping import UInt8

from e2pose.core.poses import Poses
from e2pose.inference.estimator import Estimator

_WINDOW = 30  # images


class Stopwatch:
    """An estimator that measures its own rate over the last 30 images.

    Preprocessing, network and decoding count; reading and writing images do not. The first run of a model, which is
    slower than all others, is spent on a blank image and does not count.
    """

    def __init__(self, estimator: Estimator) -> None:
        self._seconds: deque[float] = deque(maxlen=_WINDOW)
        self._estimator = estimator
        _warm_up(estimator)

    def switch_to(self, estimator: Estimator) -> None:
        """Replaces the estimator; another runtime restarts the measurement, another threshold does not."""
        if estimator.runtime is not self._estimator.runtime:
            _warm_up(estimator)
            self._seconds.clear()
        self._estimator = estimator

    def __call__(self, image: UInt8[np.ndarray, "h w 3"]) -> Poses:
        """Detects the persons in an image and measures the time."""
        start = perf_counter()
        poses = self._estimator(image)
        self._seconds.append(perf_counter() - start)
        return poses

    @property
    def images_per_second(self) -> float:
        """Rate over the last 30 images; 0 before the first."""
        return self._estimator.num_parallel * len(self._seconds) / sum(self._seconds) if self._seconds else 0.0

    @property
    def latency_ms(self) -> float:
        """Mean milliseconds per image over the last 30; 0 before the first."""
        return 1000 * sum(self._seconds) / len(self._seconds) if self._seconds else 0.0


def _warm_up(estimator: Estimator) -> None:
    estimator(np.zeros((8, 8, 3), np.uint8))
