"""Reading in a thread of its own: sources around a source."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from threading import Event, Semaphore, Thread
from types import TracebackType
from typing import Self

from e2pose.core.errors import InputError, OptionError
from e2pose.core.frame import Frame
from e2pose.sources.base import Source, SourceInfo

_PATIENCE_S = 1.0
"""How long to wait for a live source to end, which may be in the middle of waiting for a frame itself."""

_GLANCE_S = 0.03
"""How often a consumer that has to wait may look around."""


class Prefetch:
    """The frames of another source, read ahead in a thread of its own.

    Order and errors are those of the other source. Its error handler is called in that thread.

    Args:
        source: Where the frames come from; entered and left together with this one.
        depth: How many frames may wait, at least 1.

    Raises:
        OptionError: `depth` is below 1.
    """

    num_dropped = 0
    """How many frames nobody took: none."""

    on_wait: Callable[[], None] | None = None
    """Called again and again, by the consumer's thread, while the consumer waits for a frame."""

    def __init__(self, source: Source, depth: int = 4) -> None:
        if depth < 1:
            raise OptionError(f"'depth' must be at least 1, not {depth}")
        self._source = source
        self._items: SimpleQueue[Frame | BaseException | None] = SimpleQueue()
        self._slots = Semaphore(depth)
        self._closed = Event()
        self._thread: Thread | None = None

    @property
    def info(self) -> SourceInfo:
        """What the other source says."""
        return self._source.info

    def __iter__(self) -> Iterator[Frame]:
        """Starts to read ahead; errors are raised where the other source raises them, after the frames before.

        Raises:
            InputError: It was iterated before.
        """
        if self._thread is not None:
            raise InputError("the frames of a source come once and were taken already", "open it again")
        self._thread = Thread(target=self._fill, name="e2pose-prefetch", daemon=True)
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
        """Ends the iteration after the frame that is being processed; may be called at any time from anywhere."""
        self._closed.set()
        self._items.put(None)  # wakes the consumer; this queue may be used even in the handler of a signal

    @property
    def is_stopped(self) -> bool:
        """Whether no more frames will come."""
        return self._closed.is_set()

    def __enter__(self) -> Self:
        self._source.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the thread, then leaves the other source."""
        self._close()
        self._source.__exit__(kind, error, trace)

    def _next(self) -> Frame | BaseException | None:
        while self.on_wait is not None:
            try:
                return self._items.get(timeout=_GLANCE_S)
            except Empty:
                self.on_wait()
        return self._items.get()

    def _fill(self) -> None:
        try:
            for frame in self._source:
                self._hand_over(frame)
                if self._closed.is_set():
                    return
            self._items.put(None)
        except BaseException as error:
            self._items.put(error)

    def _hand_over(self, frame: Frame) -> None:
        self._slots.acquire()
        self._items.put(frame)

    def _close(self) -> None:
        self._closed.set()
        self._slots.release()  # wakes the thread if it waits for a slot
        if self._thread is not None:
            self._thread.join()


class LatestFrame(Prefetch):
    """The newest frame of a live source whenever one is asked for; those that came before it are dropped and counted.

    Args:
        source: Where the frames come from; entered and left together with this one.
    """

    def __init__(self, source: Source) -> None:
        super().__init__(source, depth=1)
        self.num_dropped = 0

    def _hand_over(self, frame: Frame) -> None:
        try:
            while self._items.get_nowait() is not None:
                self.num_dropped += 1
        except Empty:
            pass
        self._items.put(frame)

    def _close(self) -> None:
        """Tells the other source to end first: it may be waiting for a frame that never comes."""
        self._closed.set()
        if self._thread is not None and self._thread.is_alive():
            self._source.__exit__(None, None, None)
            self._thread.join(_PATIENCE_S)
