"""Measures where the time of a training step goes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

import torch

PHASES = ("waiting", "transfer", "forward", "matching", "losses", "backward", "optimiser")
"""The phases of a step. `waiting` is for images; `transfer` copies images to the device or renders them there."""


class StepTimer:
    """Adds up the seconds of each phase.

    CUDA kernels run asynchronously: only with `exact` does each phase wait for the GPU, so that time is attributed to
    the phase that caused it. Exact timing makes steps slower.

    Args:
        device: Device of the network.
        exact: Synchronise with the device at the end of each phase.
    """

    def __init__(self, device: torch.device, *, exact: bool = False) -> None:
        self._synchronised = device if exact and device.type == "cuda" else None
        self.restart()

    def restart(self) -> None:
        """Resets all times to 0."""
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self._since = perf_counter()

    @property
    def elapsed(self) -> float:
        """Seconds since the restart, without pauses."""
        return perf_counter() - self._since

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Excludes the time of the block."""
        start = perf_counter()
        yield
        self._since += perf_counter() - start

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Adds the time of the block to a phase."""
        start = perf_counter()
        yield
        if self._synchronised is not None:
            torch.cuda.synchronize(self._synchronised)
        self.seconds[phase] += perf_counter() - start
