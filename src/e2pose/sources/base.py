"""What a source of frames is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from e2pose.core.errors import InputError
from e2pose.core.frame import Frame

ErrorHandler = Callable[[InputError], None]
"""Told of an input that cannot be read; the source then goes on with the next one, unless the handler raises."""


def stop_at_error(error: InputError) -> None:
    """The strictest handler: the first unreadable input ends the run."""
    raise error


Notice = Callable[[str], None]
"""Told in a line for people what a source does by itself, such as connecting again."""


def keep_quiet(text: str) -> None:
    """The notice that nobody wants."""


@dataclass(frozen=True)
class SourceInfo:
    """What can be known of a source before its first frame.

    Args:
        frame_count: How many frames will come, if that is known or can be estimated.
        is_live: Whether frames come when they happen, so that old ones are worth less than the newest one.
        paths: The files that are read.
    """

    frame_count: int | None = None
    is_live: bool = False
    paths: tuple[Path, ...] = ()


@runtime_checkable
class Source(Protocol):
    """Frames in order. A context manager; iterating is possible once."""

    @property
    def info(self) -> SourceInfo:
        """What is known before the first frame."""
        ...

    def __iter__(self) -> Iterator[Frame]: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
