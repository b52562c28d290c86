"""Live pictures as frames, from something that may go away and come back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from threading import Event
from time import monotonic
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from e2pose.core.errors import InputError
from e2pose.core.frame import Frame, Origin
from e2pose.sources.base import Notice, SourceInfo, keep_quiet

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0


@runtime_checkable
class Connection(Protocol):
    """Pictures as they come in. Used by one thread at a time."""

    @property
    def rate(self) -> Fraction:
        """Frames per second, if only by guess."""
        ...

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        """The pictures, RGB; they end when the other side ends them.

        Raises:
            InputError: The connection is lost; the message says how.
        """
        ...

    def close(self) -> None:
        """Lets go of the device or the other side."""
        ...


class LiveSource:
    """Frames of a camera, a stream or a screen; a connection that is lost is made again, for as long as it takes.

    The time of a frame is the time at which it arrived, from the first one. After a lost connection frames may have
    another size. Pauses between attempts start at half a second and double up to ten seconds.

    Args:
        name: What to call it in outputs.
        connect: Makes a connection, or raises an `InputError`.
        on_notice: Told of connections lost and found.
        pause_s: The first pause between two attempts.

    Raises:
        InputError: There is no connection at the beginning.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], Connection],
        *,
        on_notice: Notice = keep_quiet,
        pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self._connect = connect
        self._on_notice = on_notice
        self._first_pause_s = self._pause_s = pause_s
        self._closed = Event()
        self._is_read = False
        self._connection: Connection | None = connect()
        self.origin = Origin(name, rate=self._connection.rate)

    @property
    def info(self) -> SourceInfo:
        """That it is live; nobody knows when it will end."""
        return SourceInfo(is_live=True)

    def __iter__(self) -> Iterator[Frame]:
        """Gives every frame until the source is left."""
        self._is_read = True
        index, start = 0, 0.0
        while (connection := self._connected()) is not None:
            problem = "it ended"
            try:
                for image in connection:
                    if self._closed.is_set():
                        return
                    now = monotonic()
                    start = now if index == 0 else start
                    self._pause_s = self._first_pause_s
                    yield Frame(image, self.origin, index, now - start)
                    index += 1
            except InputError as error:
                problem = error.message
            finally:
                connection.close()
                self._connection = None
            if not self._closed.is_set():
                self._on_notice(f"lost '{self.origin.name}' after {index} frames ({problem}); connecting again")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the iteration, wherever it is; a connection that is being read is closed by its reader."""
        self._closed.set()
        if not self._is_read and self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> Connection | None:
        """The connection, made again if need be; None when the source was left."""
        while self._connection is None and not self._closed.wait(self._pause_s):
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            try:
                self._connection = self._connect()
            except InputError:
                continue
            self._on_notice(f"connected to '{self.origin.name}' again")
        return None if self._closed.is_set() else self._connection
