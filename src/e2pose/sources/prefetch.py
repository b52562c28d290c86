"""Sources that read another source in a background thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Event, Semaphore, Thread
from types import TracebackType
from typing import Self

from e2pose.core.arguments import check_count, check_methods
from e2pose.core.errors import InputError
from e2pose.core.frame import Frame
from e2pose.sources.base import Source, SourceInfo

_CLOSE_TIMEOUT_S = 1.0  # for a live source, whose thread may itself be waiting for a frame
_WAIT_INTERVAL_S = 0.03  # between two calls of `on_wait`


class Prefetch:
    """Reads up to `depth` frames ahead from another source, in a background thread.

    The order of frames and errors is kept. The other source is entered and exited together with this one. Its error
    handler is called in the background thread.

    Raises:
        OptionError: `depth` is below 1.
    """

    num_dropped = 0
    """Number of frames that were dropped: always 0."""

    on_wait: Callable[[], None] | None = None
    """Called about every 30 ms, in the consumer's thread, while the consumer waits for a frame."""

    def __init__(self, source: Source, depth: int = 4) -> None:
        depth = check_count("'depth'", depth, hint="use a larger number; the default is 4")
        check_methods("the source", source, ("__iter__", "__enter__"), hint="open one with e2pose.open_source(...)")
        self._source = source
        self._items: SimpleQueue[Frame | BaseException | None] = SimpleQueue()
        self._slots = Semaphore(depth)
        self._closed = Event()
        self._thread: Thread | None = None

    @property
    def info(self) -> SourceInfo:
        """Properties of the other source."""
        return self._source.info

    def __iter__(self) -> Iterator[Frame]:
        """Starts the thread. An error of the other source is raised after the frames before it.

        Raises:
            InputError: The source was iterated before.
        """
        if self._thread is not None:
            raise InputError("a source can be iterated only once, and this one has been", "open it again")
        self._thread = Thread(target=self._read, name="e2pose-prefetch", daemon=True)
        self._thread.start()
        try:
            while (item := self._next()) is not None and not self._closed.is_set():
                if isinstance(item, BaseException):
                    raise item
                self._slots.release()
                yield item
        finally:
            self._close()

    def stop(self) -> None:
        """Stops the iteration after the current frame. Safe in any thread and in signal handlers."""
        self._closed.set()
        self._items.put(None)  # wakes the consumer; SimpleQueue.put is reentrant

    @property
    def is_stopped(self) -> bool:
        """Whether no more frames will be yielded."""
        return self._closed.is_set()

    def __enter__(self) -> Self:
        self._source.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops the thread, then exits the other source."""
        self._close()
        self._source.__exit__(kind, error, trace)

    def _next(self) -> Frame | BaseException | None:
        while self.on_wait is not None:
            with suppress(Empty):
                return self._items.get(timeout=_WAIT_INTERVAL_S)
            self.on_wait()
        return self._items.get()

    def _read(self) -> None:
        try:
            for frame in self._source:
                self._put(frame)
                if self._closed.is_set():
                    return
            self._items.put(None)
        except BaseException as error:
            self._items.put(error)

    def _put(self, frame: Frame) -> None:
        self._slots.acquire()
        self._items.put(frame)

    def _close(self) -> None:
        self._closed.set()
        self._slots.release()  # wakes the thread if it waits for a slot
        if self._thread is not None:
            self._thread.join()


class LatestFrame(Prefetch):
    """Yields the newest frame of a live source; older frames that were not consumed are dropped and counted."""

    def __init__(self, source: Source) -> None:
        super().__init__(source, depth=1)
        self.num_dropped = 0

    def _put(self, frame: Frame) -> None:
        with suppress(Empty):
            while self._items.get_nowait() is not None:
                self.num_dropped += 1
        self._items.put(frame)

    def _close(self) -> None:
        """Exits the other source first, because it may be waiting for a frame that never arrives."""
        self._closed.set()
        if self._thread is not None and self._thread.is_alive():
            self._source.__exit__(None, None, None)
            self._thread.join(_CLOSE_TIMEOUT_S)
