"""Live frames from a connection that is restored when it is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from threading import Event
from time import monotonic
from typing import Protocol, Self, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from e2pose.core.frame import Frame, Origin
from e2pose.sources.base import NoticeHandler, SourceInfo, ignore_notice, unexpected_error

_MAX_DELAY_S = 10.0


@runtime_checkable
class Connection(Protocol):
    """An open camera, stream or screen. Used by one thread at a time."""

    @property
    def rate(self) -> Fraction:
        """Frames per second, possibly estimated."""
        ...

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        """Yields RGB images until the other side closes the connection.

        Raises:
            InputError: The connection is lost; the message gives the reason.
        """
        ...

    def close(self) -> None:
        """Releases the device or network connection."""
        ...


class LiveSource:
    """Frames of a camera, stream or screen. A lost connection is retried until it succeeds.

    The time of a frame is its arrival time, relative to the first frame. The image size may change after a reconnect.
    The delay before an attempt starts at 0.5 s and doubles up to 10 s. `on_notice` receives a message when the
    connection is lost and when it is restored. `connection`, if given, is open and replaces the first `connect`.

    Raises:
        InputError: The first connection fails.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], Connection],
        *,
        connection: Connection | None = None,
        on_notice: NoticeHandler = ignore_notice,
        first_delay_s: float = 0.5,
    ) -> None:
        self._connect = connect
        self._on_notice = on_notice
        self._first_delay_s = self._delay_s = first_delay_s
        self._closed = Event()
        self._is_iterated = False
        self._connection: Connection | None = connection or connect()
        self.origin = Origin(name, rate=self._connection.rate)

    @property
    def info(self) -> SourceInfo:
        """Live, with an unknown number of frames."""
        return SourceInfo(is_live=True)

    def __iter__(self) -> Iterator[Frame]:
        """Yields every frame until the source is closed."""
        self._is_iterated = True
        index, start = 0, 0.0
        while (connection := self._open_connection()) is not None:
            reason = "closed by the other side"
            try:
                for image in connection:
                    if self._closed.is_set():
                        return
                    now = monotonic()
                    start = now if index == 0 else start
                    self._delay_s = self._first_delay_s
                    yield Frame(image, self.origin, index, now - start)
                    index += 1
            except Exception as error:
                reason = unexpected_error(self.origin.name, error).message
            finally:
                connection.close()
                self._connection = None
            if not self._closed.is_set():
                self._on_notice(
                    f"lost connection to '{self.origin.name}' after {index} frames ({reason}); reconnecting"
                )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """Stops the iteration from any thread; the iterating thread closes its own connection."""
        self._closed.set()
        if not self._is_iterated and self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open_connection(self) -> Connection | None:
        """Returns the open connection, restored if necessary; None once the source is closed."""
        while self._connection is None and not self._closed.wait(self._delay_s):
            self._delay_s = min(2 * self._delay_s, _MAX_DELAY_S)
            try:
                self._connection = self._connect()
            except Exception as error:
                unexpected_error(self.origin.name, error)  # raises those that concern the whole program
                continue
            self._on_notice(f"reconnected to '{self.origin.name}'")
        return None if self._closed.is_set() else self._connection
