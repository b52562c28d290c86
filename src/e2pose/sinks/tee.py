"""Several sinks as one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from e2pose.core.errors import OutputError
from e2pose.core.frame import Frame
from e2pose.core.poses import Poses
from e2pose.sinks.base import ErrorHandler, Sink, stop_at_error


class TeeSink:
    """Gives every frame to several sinks. One that cannot go on is finished, told of and left out from then on.

    Args:
        sinks: The sinks; entered and left together with this one.
        on_error: Told of the sinks that cannot go on, but for the last one, whose error ends the run.
    """

    def __init__(self, sinks: Sequence[Sink], *, on_error: ErrorHandler = stop_at_error) -> None:
        self._sinks = list(sinks)
        self._on_error = on_error

    def write(self, frame: Frame, poses: Poses) -> None:
        """Gives a frame to the sinks that are left.

        Raises:
            OutputError: None is left.
        """
        for sink in tuple(self._sinks):
            try:
                sink.write(frame, poses)
            except OutputError as error:
                self._leave_out(sink, error)

    def __enter__(self) -> Self:
        for sink in tuple(self._sinks):
            try:
                sink.__enter__()
            except OutputError as error:
                self._sinks.remove(sink)
                self._complain(error)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leaves the sinks that are left, each of them whatever becomes of the others."""
        with ExitStack() as left:
            for sink in self._sinks:
                left.callback(self._leave, sink, kind, error, trace)

    def _leave(
        self,
        sink: Sink,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            sink.__exit__(kind, error, trace)
        except OutputError as problem:
            self._on_error(problem)

    def _leave_out(self, sink: Sink, error: OutputError) -> None:
        self._sinks.remove(sink)
        self._leave(sink, OutputError, error, error.__traceback__)
        self._complain(error)

    def _complain(self, error: OutputError) -> None:
        if not self._sinks:
            raise error
        self._on_error(error)
