"""What a source of frames is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from e2pose.core.errors import InputError
from e2pose.core.frame import Frame

ErrorHandler = Callable[[InputError], None]
"""Told of an input that cannot be read; the source then goes on with the next one, unless the handler raises."""


def stop_at_error(error: InputError) -> None:
    """The strictest handler: the first unreadable input ends the run."""
    raise error


@runtime_checkable
class Source(Protocol):
    """Frames in order. A context manager; iterating is possible once."""

    @property
    def frame_count(self) -> int | None:
        """How many frames will come, if that is known or can be estimated."""
        ...

    def __iter__(self) -> Iterator[Frame]: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
