"""What a sink is."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from e2pose.core.frame import Frame
from e2pose.core.poses import Poses

Draw = Callable[[Frame, Poses], UInt8[np.ndarray, "h w 3"]]
"""Makes the picture that shows the poses of a frame: a new one, RGB, of the frame's size."""


@runtime_checkable
class Sink(Protocol):
    """Takes frames with their poses in order. A context manager.

    What it writes appears under its final name when the context ends without an error; until then, and for good if the
    context ends with one, there is nothing under that name. A sink that writes one file for each frame or video
    finishes each on its own.
    """

    def write(self, frame: Frame, poses: Poses) -> None:
        """Takes the next frame; neither frame nor poses are changed."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
