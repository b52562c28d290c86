"""What a sink is."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from e2pose.core.errors import E2PoseError, OutputError
from e2pose.core.frame import Frame
from e2pose.core.poses import Poses

Draw = Callable[[Frame, Poses], UInt8[np.ndarray, "h w 3"]]
"""Makes the picture that shows the poses of a frame: a new one, RGB, of the frame's size."""


ErrorHandler = Callable[[OutputError], None]
"""Told of an output that cannot be written any more; the others go on, unless the handler raises."""


def stop_at_error(error: OutputError) -> None:
    """The strictest handler: the first output that cannot be written ends the run."""
    raise error


def is_kept(error: BaseException | None) -> bool:
    """Whether what was written before an error is finished and kept.

    It is if the frames merely ended early: an input broke, the disk is full, somebody pressed Ctrl-C. Other errors are
    mistakes in a program, and nobody knows what they have written.
    """
    return error is None or isinstance(error, E2PoseError | KeyboardInterrupt)


@runtime_checkable
class Sink(Protocol):
    """Takes frames with their poses in order. A context manager.

    What it writes appears, complete, under its final name when the context ends; until then, and for good if it ends
    with an error for which `is_kept` is false, there is nothing under that name. A sink that writes one file for each
    frame or video finishes each on its own.
    """

    def write(self, frame: Frame, poses: Poses) -> None:
        """Takes the next frame; neither frame nor poses are changed."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
