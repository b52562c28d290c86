"""What a runtime is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from e2pose.core.candidates import Candidates
from e2pose.core.errors import ModelError
from e2pose.core.spec import ModelSpec

INPUT = "pixels"
OUTPUTS = ("scores", "keypoint_scores", "keypoints")
"""The names in the graph of every artifact: uint8 (B, 3, H, W), and the fields of `Candidates`."""


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
        """Runs the network on a batch of canvases; several threads may do so at the same time."""
        ...


def check_graph(
    name: str, spec: ModelSpec, inputs: Mapping[str, tuple[int | str | None, ...]], outputs: set[str]
) -> int | None:
    """Checks that a graph takes and gives what its spec and every runtime expect.

    Args:
        name: Name of the artifact, for the message.
        spec: What it says of itself.
        inputs: Shape of each input; what is not a number is open.
        outputs: Names of the outputs.

    Returns:
        The number of canvases that it takes at once; None if any.

    Raises:
        ModelError: It does not.
    """
    shape = inputs.get(INPUT, ())
    height, width = spec.input_size_hw if spec.multiple_of is None else ("height", "width")
    fits = len(shape) == 4 and all(map(_is_side, shape[1:], (3, height, width)))
    if len(inputs) != 1 or not fits or not outputs.issuperset(OUTPUTS):
        raise ModelError(
            f"'{name}' must take '{INPUT}' of (B, 3, {height}, {width}) and give "
            f"{', '.join(OUTPUTS)}, but it takes {dict(inputs)} and gives {', '.join(sorted(outputs))}",
            "export the model again with this version of e2pose",
        )
    return shape[0] if isinstance(shape[0], int) else None


def _is_side(side: int | str | None, wanted: int | str) -> bool:
    """Whether a side of a graph's input is of the wanted length or open, which it must be where that is a name."""
    return not isinstance(side, int) or side == wanted


def split_batch(pixels: UInt8[np.ndarray, "b 3 h w"], batch: int | None) -> list[UInt8[np.ndarray, "_ 3 h w"]]:
    """The canvases in portions that a graph of a fixed batch takes, the last one filled up with black ones.

    Args:
        pixels: Any number of canvases.
        batch: How many the graph takes at once; None if any.
    """
    if batch is None or len(pixels) == batch:
        return [pixels]
    missing = -len(pixels) % batch
    filled = np.concatenate([pixels, np.zeros((missing, *pixels.shape[1:]), np.uint8)])
    return np.split(filled, len(filled) // batch)


def join_batches(portions: list[Candidates], count: int) -> Candidates:
    """The candidates of the first so many canvases: undoes `split_batch`."""
    if len(portions) == 1 and len(portions[0].scores) == count:
        return portions[0]
    fields = ([getattr(portion, name) for portion in portions] for name in OUTPUTS)
    return Candidates(*(np.concatenate(parts)[:count] for parts in fields))


def format_threads(threads: int) -> str:
    """A number of threads, for people."""
    return f"{threads} thread{'s' if threads > 1 else ''}"
