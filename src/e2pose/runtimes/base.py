"""The interface of all runtimes, and the contract of the graphs that they run."""

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
"""The names of the input and outputs of every graph: uint8 (B, 3, H, W), and the fields of `Candidates`."""


@runtime_checkable
class Runtime(Protocol):
    """A loaded model: `runtime(pixels)` returns the candidates of a batch."""

    @property
    def spec(self) -> ModelSpec:
        """Describes the model's input and keypoints."""
        ...

    @property
    def description(self) -> str:
        """Runtime, device and precision in use, as a line of text."""
        ...

    def __call__(self, pixels: UInt8[np.ndarray, "b 3 h w"]) -> Candidates:
        """Runs the network on a batch. Thread-safe."""
        ...


def check_graph(
    name: str, spec: ModelSpec, inputs: Mapping[str, tuple[int | str | None, ...]], outputs: set[str]
) -> int | None:
    """Checks that inputs and outputs of the model file `name` match its spec; dynamic axes are names or None.

    Returns the fixed batch size of the graph; None if it is dynamic.

    Raises:
        ModelError: They do not match.
    """
    shape = inputs.get(INPUT, ())
    # Both axes must be dynamic if the model may crop its input: a name equals no length.
    height, width = spec.input_size_hw if spec.multiple_of is None else ("height", "width")
    matches = len(shape) == 4 and all(
        not isinstance(length, int) or length == expected
        for length, expected in zip(shape[1:], (3, height, width), strict=True)
    )
    if len(inputs) != 1 or not matches or not outputs.issuperset(OUTPUTS):
        raise ModelError(
            f"'{name}' must have the input '{INPUT}' of shape (B, 3, {height}, {width}) and the outputs "
            f"{', '.join(OUTPUTS)}, but it has the inputs {dict(inputs)} and the outputs {', '.join(sorted(outputs))}",
            "export the model again with this version of e2pose",
        )
    return shape[0] if isinstance(shape[0], int) else None


def split_batch(pixels: UInt8[np.ndarray, "b 3 h w"], batch: int | None) -> list[UInt8[np.ndarray, "_ 3 h w"]]:
    """Splits images into batches of a fixed size, and pads the last one with black images; None keeps one batch."""
    if batch is None or len(pixels) == batch:
        return [pixels]
    missing = -len(pixels) % batch
    padded = np.concatenate([pixels, np.zeros((missing, *pixels.shape[1:]), np.uint8)])
    return np.split(padded, len(padded) // batch)


def join_batches(batches: list[Candidates], count: int) -> Candidates:
    """Concatenates the candidates of the first `count` images: the inverse of `split_batch`."""
    fields = ([getattr(batch, name) for batch in batches] for name in OUTPUTS)
    return Candidates(*(np.concatenate(parts)[:count] for parts in fields))


def format_threads(threads: int) -> str:
    """Formats a number of threads as text."""
    return f"{threads} thread{'s' if threads > 1 else ''}"
