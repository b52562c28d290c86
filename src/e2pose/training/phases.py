"""Where the time of a training step goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter

import torch

PHASES = ("waiting", "canvases", "forward", "matching", "losses", "backward", "optimiser")
"""What a step consists of; waiting is for images, and canvases is bringing them to the device or making them there."""


class PhaseClock:
    """Adds up the seconds of each phase.

    A GPU works behind the program's back: only with `exact` does each phase wait for the GPU, so that its time counts
    where it belongs. That makes steps slower.

    Args:
        device: Where the network runs.
        exact: Wait for the device at the end of each phase.
    """

    def __init__(self, device: torch.device, *, exact: bool = False) -> None:
        self._wait_for = device if exact and device.type == "cuda" else None
        self.restart()

    def restart(self) -> None:
        """Forgets everything."""
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self._since = perf_counter()

    @property
    def elapsed(self) -> float:
        """Seconds since the restart without pauses, phases or not."""
        return perf_counter() - self._since

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What happens inside takes no time."""
        start = perf_counter()
        yield
        self._since += perf_counter() - start

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Measures what happens inside."""
        start = perf_counter()
        yield
        if self._wait_for is not None:
            torch.cuda.synchronize(self._wait_for)
        self.seconds[phase] += perf_counter() - start


def phase_table(seconds: Mapping[str, float], batch_size: int) -> str:
    """The phases of a step for people: milliseconds, and share of the step."""
    total = sum(seconds.values())
    lines = [f"{name:<10} {1000 * value:>9.1f} ms {value / total:>7.1%}" for name, value in seconds.items()]
    return "\n".join([*lines, f"{'step':<10} {1000 * total:>9.1f} ms", f"{'':<10} {batch_size / total:>9.1f} images/s"])
