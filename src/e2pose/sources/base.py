"""The protocol of a source of frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Protocol, Self, TypeVar, runtime_checkable

from e2pose.core.errors import E2PoseError, InputError
from e2pose.core.frame import Frame

_T = TypeVar("_T")

ErrorHandler = Callable[[InputError], None]
"""Receives the error of an unreadable input; the source continues with the next input unless the handler raises."""


def raise_error(error: InputError) -> None:
    """The default error handler: the first unreadable input stops the run."""
    raise error


NoticeHandler = Callable[[str], None]
"""Receives one-line messages for the user, such as a lost connection."""


def ignore_notice(text: str) -> None:
    """The default notice handler: does nothing."""


def unexpected_error(name: str, error: Exception) -> InputError:
    """Returns the error to report for an exception that reading an input should not raise.

    Raises:
        MemoryError, E2PoseError: `error` is one that concerns the whole program, such as a missing package.
    """
    if isinstance(error, InputError):
        return error
    if isinstance(error, MemoryError | E2PoseError):
        raise error
    return InputError(
        f"'{name}' cannot be read: {type(error).__name__}: {error}",
        "the file may be damaged: convert it to PNG or MP4; if other programs read it, report this message",
    )


def report_errors(frames: Iterable[Frame], name: str, on_error: ErrorHandler) -> Iterator[Frame]:
    """Yields the frames of an input; any exception of the input ends them and is passed on as an `InputError`."""
    try:
        yield from frames
    except Exception as error:
        on_error(unexpected_error(name, error))


def call_in_thread(function: Callable[[], _T]) -> _T:
    """Returns the result of a function that may wait for a server.

    In the main thread, PyAV discards the `KeyboardInterrupt` of Ctrl-C while it opens an address. Here it is raised
    when the function returns: a thread in FFmpeg must not outlive the interpreter.
    """
    result: Future[_T] = Future()

    def work() -> None:
        try:
            result.set_result(function())
        except BaseException as error:
            result.set_exception(error)

    thread = Thread(target=work, name="e2pose-connect", daemon=True)
    thread.start()
    try:
        return result.result()
    finally:
        thread.join()


@dataclass(frozen=True)
class SourceInfo:
    """Properties of a source that are available before its first frame."""

    frame_count: int | None = None  # possibly estimated; None if unknown
    is_live: bool = False  # frames arrive in real time: old ones should be dropped in favour of the newest
    paths: tuple[Path, ...] = ()  # the files that are read


@runtime_checkable
class Source(Protocol):
    """Yields frames in order. A context manager that can be iterated once."""

    @property
    def info(self) -> SourceInfo:
        """Properties that are available before the first frame."""
        ...

    def __iter__(self) -> Iterator[Frame]: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
