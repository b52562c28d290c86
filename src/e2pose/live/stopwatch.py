"""How fast a model is while it works."""

from __future__ import annotations

from collections import deque
from time import perf_counter

import numpy as np
from jaxtyping import UInt8

from e2pose.core.poses import Poses
from e2pose.inference.estimator import Estimator

_RECENT = 30


class Stopwatch:
    """An estimator that knows how fast it has been lately.

    Preparing, network and decoding count; reading and writing pictures do not. Nor does the first run of a model,
    which is slower than all others: it is spent on a blank picture.

    Args:
        estimator: Finds the poses.
        num_parallel: How many pictures it looks at at the same time.
    """

    def __init__(self, estimator: Estimator, num_parallel: int = 1) -> None:
        self._at_once = num_parallel
        self._seconds: deque[float] = deque(maxlen=_RECENT)
        self._estimator = estimator
        _warm_up(estimator)

    def use(self, estimator: Estimator) -> None:
        """Goes on with another estimator; if its model is another one, the rate begins anew."""
        if estimator.runtime is not self._estimator.runtime:
            _warm_up(estimator)
            self._seconds.clear()
        self._estimator = estimator

    def __call__(self, image: UInt8[np.ndarray, "h w 3"]) -> Poses:
        """Finds everybody in one picture."""
        start = perf_counter()
        poses = self._estimator(image)
        self._seconds.append(perf_counter() - start)
        return poses

    @property
    def images_per_second(self) -> float:
        """The rate over the last 30 pictures; 0 before the first."""
        return self._at_once * len(self._seconds) / sum(self._seconds) if self._seconds else 0.0

    @property
    def latency_ms(self) -> float:
        """Milliseconds for a picture, on average over the last 30; 0 before the first."""
        return 1000 * sum(self._seconds) / len(self._seconds) if self._seconds else 0.0


def _warm_up(estimator: Estimator) -> None:
    estimator(np.zeros((8, 8, 3), np.uint8))
