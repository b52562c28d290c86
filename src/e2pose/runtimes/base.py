"""What a runtime is."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from e2pose.core.candidates import Candidates
from e2pose.core.spec import ModelSpec


@runtime_checkable
class Runtime(Protocol):
    """A loaded model: `runtime(pixels)` gives the candidates of a batch of canvases."""

    @property
    def spec(self) -> ModelSpec:
        """How the model wants its input."""
        ...

    @property
    def description(self) -> str:
        """What really runs, for people: runtime, device and precision."""
        ...

    def __call__(self, pixels: UInt8[np.ndarray, "b 3 h w"]) -> Candidates:
        """Runs the network on a batch of canvases."""
        ...
