"""The protocol of a sink."""

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
"""Draws the poses of a frame into a new RGB image of the frame's size."""

ErrorHandler = Callable[[OutputError], None]
"""Receives the error of a failed sink; the other sinks continue unless the handler raises."""

NoticeHandler = Callable[[str], None]
"""Receives one-line messages for the user, such as about sound that is left out."""


def ignore_notice(text: str) -> None:
    """The default notice handler: does nothing."""


def raise_error(error: OutputError) -> None:
    """The default error handler: the first sink that fails stops the run."""
    raise error


def keeps_output(error: BaseException | None) -> bool:
    """Returns whether the output written before an error is completed and kept.

    It is kept if the frames only ended early: an input is damaged, the disk is full or the user pressed Ctrl-C. After
    any other exception, which is a bug in a program, the output may be wrong and is discarded.
    """
    return error is None or isinstance(error, E2PoseError | KeyboardInterrupt)


@runtime_checkable
class Sink(Protocol):
    """Receives frames with their poses in order. A context manager.

    The output appears, complete, under its final name when the context ends. If the context ends with an error for
    which `keeps_output` is false, nothing is written. A sink that writes several files completes each one separately.
    """

    def write(self, frame: Frame, poses: Poses) -> None:
        """Writes the next frame without changing the frame or its poses."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
