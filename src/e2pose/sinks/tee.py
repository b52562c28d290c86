"""Several sinks as one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Self

from e2pose.core.errors import OutputError
from e2pose.core.frame import Frame
from e2pose.core.poses import Poses
from e2pose.sinks.base import ErrorHandler, Sink, raise_error


class TeeSink:
    """Writes every frame to several sinks, which are entered and exited together with this one.

    A sink that fails is closed, reported to `on_error` and skipped for the rest of the run. The error of the last
    remaining sink stops the run.
    """

    def __init__(self, sinks: Sequence[Sink], *, on_error: ErrorHandler = raise_error) -> None:
        self._sinks = list(sinks)
        self._on_error = on_error

    def write(self, frame: Frame, poses: Poses) -> None:
        """Writes a frame to the remaining sinks.

        Raises:
            OutputError: The last sink failed.
        """
        for sink in tuple(self._sinks):
            try:
                sink.write(frame, poses)
            except OutputError as error:
                self._sinks.remove(sink)
                self._exit(sink, error)
                self._report(error)

    def __enter__(self) -> Self:
        for sink in tuple(self._sinks):
            try:
                sink.__enter__()
            except OutputError as error:
                self._sinks.remove(sink)
                self._report(error)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Exits the remaining sinks, each one even if others fail."""
        with ExitStack() as stack:
            for sink in self._sinks:
                stack.callback(self._exit, sink, error)

    def _exit(self, sink: Sink, error: BaseException | None) -> None:
        try:
            sink.__exit__(type(error) if error else None, error, error.__traceback__ if error else None)
        except OutputError as exit_error:
            self._on_error(exit_error)

    def _report(self, error: OutputError) -> None:
        if not self._sinks:
            raise error
        self._on_error(error)
