"""Several sinks as one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Self

from e2pose.core.errors import E2PoseError, OutputError
from e2pose.core.frame import Frame
from e2pose.core.poses import Poses
from e2pose.sinks.base import ErrorHandler, Sink, raise_error


class TeeSink:
    """Writes every frame to several sinks, which are entered and exited together with this one.

    A sink that fails is closed, reported to `on_error` and skipped for the rest of the run. The error of the last
    remaining sink stops the run. An exception other than an `OutputError`, which is a bug in that sink, is reported as
    an `OutputError`, and the output of the sink is discarded.

    Args:
        sinks: The sinks in the order of writing.
        names: Their names in errors, such as paths; empty to use the names of their classes.
        on_error: Receives the error of each sink that fails.
    """

    def __init__(
        self, sinks: Sequence[Sink], names: Sequence[str] = (), *, on_error: ErrorHandler = raise_error
    ) -> None:
        self._names = list(names) or [type(sink).__name__ for sink in sinks]
        self._sinks = list(sinks)
        self._on_error = on_error
        self.failed: set[str] = set()
        """Names of the sinks that failed."""

    def write(self, frame: Frame, poses: Poses) -> None:
        """Writes a frame to the remaining sinks.

        Raises:
            OutputError: The last sink failed.
        """
        for sink in tuple(self._sinks):
            try:
                sink.write(frame, poses)
            except Exception as error:
                self._discard(sink, error)

    def __enter__(self) -> Self:
        for sink in tuple(self._sinks):
            try:
                sink.__enter__()
            except Exception as error:
                self._discard(sink, error, is_entered=False)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Exits the remaining sinks, each one even if others fail."""
        with ExitStack() as stack:
            for sink, name in zip(self._sinks, self._names, strict=True):
                stack.callback(self._exit, sink, name, error)

    def _discard(self, sink: Sink, error: Exception, *, is_entered: bool = True) -> None:
        index = self._sinks.index(sink)
        name = self._names.pop(index)
        self.failed.add(name)
        del self._sinks[index]
        if is_entered:
            self._exit(sink, name, error)
        failure = _as_output_error(error, name)
        if not self._sinks:
            raise failure from error
        self._on_error(failure)

    def _exit(self, sink: Sink, name: str, error: BaseException | None) -> None:
        try:
            sink.__exit__(type(error) if error else None, error, error.__traceback__ if error else None)
        except Exception as exit_error:
            self.failed.add(name)
            self._on_error(_as_output_error(exit_error, name))


def _as_output_error(error: Exception, name: str) -> OutputError:
    """Returns the error to report for the exception of a sink; raises those that concern the whole program."""
    if isinstance(error, OutputError):
        return error
    if isinstance(error, MemoryError):
        raise error
    if isinstance(error, E2PoseError):
        return OutputError(error.message, error.hint)
    return OutputError(
        f"the output '{name}' failed and was discarded: {type(error).__name__}: {error}",
        "this is a bug: report it with this message and the input; the other outputs are not affected",
    )
