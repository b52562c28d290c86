"""Measures where the time of a training step goes."""

from __future__ import annotations

from time import perf_counter

import torch

PHASES = ("waiting", "transfer", "forward", "matching", "losses", "backward", "optimiser")
"""The phases of a step. `waiting` is for images; `transfer` copies them to the device."""


class StepTimer:
    """Adds up the seconds of each phase.

    CUDA kernels run asynchronously: only with `exact` does each phase wait for the GPU, so that time is attributed to
    the phase that caused it. Exact timing makes steps slower.
    """

    def __init__(self, device: torch.device, *, exact: bool = False) -> None:
        self._synchronised = device if exact and device.type == "cuda" else None
        self._phase: str | None = None
        self.reset()

    def reset(self) -> None:
        """Sets all times to 0."""
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self._since = perf_counter()

    def start(self, phase: str | None) -> None:
        """Ends the current phase and starts another one; None pauses the timer."""
        if self._synchronised is not None:
            torch.cuda.synchronize(self._synchronised)
        now = perf_counter()
        if self._phase is not None:
            self.seconds[self._phase] += now - self._since
        self._phase, self._since = phase, now
