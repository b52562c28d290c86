"""A sink that writes to another sink in a background thread."""

from __future__ import annotations

from queue import SimpleQueue
from threading import Semaphore, Thread
from typing import Self

from e2pose.core.arguments import check_count, check_methods
from e2pose.core.frame import Frame
from e2pose.core.poses import Poses
from e2pose.sinks.base import Sink


class ThreadedSink:
    """Draws and writes in a background thread while up to `depth` further frames wait.

    The order is kept. The other sink is entered and exited together with this one. An error of the other sink is raised
    by the next `write`, or when the context ends.

    Raises:
        OptionError: `depth` is below 1.
    """

    def __init__(self, sink: Sink, depth: int = 4) -> None:
        depth = check_count("'depth'", depth, hint="use a larger number; the default is 4")
        check_methods("the sink", sink, ("write", "__enter__"), hint="open one with e2pose.open_sink(...)")
        self._sink = sink
        self._items: SimpleQueue[tuple[Frame, Poses] | None] = SimpleQueue()
        self._slots = Semaphore(depth)
        self._thread = Thread(target=self._work, name="e2pose-write", daemon=True)
        self._error: BaseException | None = None

    def write(self, frame: Frame, poses: Poses) -> None:
        """Queues the next frame, after waiting for a free slot."""
        self._slots.acquire()
        self._items.put((frame, poses))
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Self:
        self._sink.__enter__()
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Waits until every frame is written, then exits the other sink."""
        self._items.put(None)
        try:
            self._thread.join()
        finally:  # Ctrl-C may interrupt the first join
            self._thread.join()  # the other sink must not be exited while it writes
            first = error or self._error
            self._sink.__exit__(type(first) if first else None, first, first.__traceback__ if first else None)
        if error is None and self._error is not None:
            raise self._error

    def _work(self) -> None:
        while (item := self._items.get()) is not None:
            if self._error is None:
                try:
                    self._sink.write(*item)
                except BaseException as error:
                    self._error = error
            self._slots.release()
