"""Writing in a thread of its own: a sink around a sink."""

from __future__ import annotations

from queue import SimpleQueue
from threading import Semaphore, Thread
from types import TracebackType
from typing import Self

from e2pose.core.errors import OptionError
from e2pose.core.frame import Frame
from e2pose.core.poses import Poses
from e2pose.sinks.base import Sink


class ThreadedSink:
    """Another sink that draws and writes in a thread of its own, while the next frames are being looked at.

    Order is kept. An error of the other sink is raised by the next `write`, or at the end.

    Args:
        sink: What writes; entered and left together with this one.
        depth: How many frames may wait, at least 1.

    Raises:
        OptionError: `depth` is below 1.
    """

    def __init__(self, sink: Sink, depth: int = 4) -> None:
        if depth < 1:
            raise OptionError(f"'depth' must be at least 1, not {depth}")
        self._sink = sink
        self._waiting: SimpleQueue[tuple[Frame, Poses] | None] = SimpleQueue()
        self._room = Semaphore(depth)
        self._thread = Thread(target=self._work, name="e2pose-write", daemon=True)
        self._problem: BaseException | None = None

    def write(self, frame: Frame, poses: Poses) -> None:
        """Takes the next frame as soon as there is room for it."""
        self._room.acquire()
        self._waiting.put((frame, poses))
        if self._problem is not None:
            raise self._problem

    def __enter__(self) -> Self:
        self._sink.__enter__()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Waits until every frame is written, then leaves the other sink."""
        self._waiting.put(None)
        try:
            self._thread.join()
        finally:  # even if somebody presses Ctrl-C meanwhile
            self._thread.join()  # nobody leaves a sink that is still writing
            problem = error or self._problem
            self._sink.__exit__(type(problem) if problem else None, problem, problem.__traceback__ if problem else None)
        if error is None and self._problem is not None:
            raise self._problem

    def _work(self) -> None:
        while (item := self._waiting.get()) is not None:
            if self._problem is None:
                try:
                    self._sink.write(*item)
                except BaseException as problem:
                    self._problem = problem
            self._room.release()
