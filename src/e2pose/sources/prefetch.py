"""Reading ahead: a source around a source."""

from __future__ import annotations

from collections.abc import Iterator
from queue import SimpleQueue
from threading import Event, Semaphore, Thread
from types import TracebackType
from typing import Self

from e2pose.core.errors import OptionError
from e2pose.core.frame import Frame
from e2pose.sources.base import Source


class Prefetch:
    """The frames of another source, read ahead in a thread of its own.

    Order and errors are those of the other source. Its error handler is called in that thread.

    Args:
        source: Where the frames come from; entered and left together with this one.
        depth: How many frames may wait, at least 1.

    Raises:
        OptionError: `depth` is below 1.
    """

    def __init__(self, source: Source, depth: int = 4) -> None:
        if depth < 1:
            raise OptionError(f"'depth' must be at least 1, not {depth}")
        self._source = source
        self._items: SimpleQueue[Frame | BaseException | None] = SimpleQueue()
        self._slots = Semaphore(depth)
        self._closed = Event()
        self._thread: Thread | None = None

    @property
    def frame_count(self) -> int | None:
        """As many as the other source says."""
        return self._source.frame_count

    def __iter__(self) -> Iterator[Frame]:
        """Starts to read ahead; errors are raised where the other source raises them, after the frames before."""
        self._thread = Thread(target=self._fill, name="e2pose-prefetch", daemon=True)
        self._thread.start()
        try:
            while (item := self._items.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                self._slots.release()
                yield item
        finally:
            self._close()

    def __enter__(self) -> Self:
        self._source.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the thread, then leaves the other source."""
        self._close()
        self._source.__exit__(kind, error, trace)

    def _fill(self) -> None:
        try:
            for frame in self._source:
                self._slots.acquire()
                if self._closed.is_set():
                    return
                self._items.put(frame)
            self._items.put(None)
        except BaseException as error:
            self._items.put(error)

    def _close(self) -> None:
        self._closed.set()
        self._slots.release()  # wakes the thread if it waits for a slot
        if self._thread is not None:
            self._thread.join()
