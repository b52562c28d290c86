"""Handling of Ctrl-C, SIGTERM and SIGHUP, so that a run can finish its outputs."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType, TracebackType

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_EXIT_CODE_BASE = 128  # shells report 128 + the number of the signal


class Interrupts:
    """Context in which the first terminating signal requests a stop and the second one raises `KeyboardInterrupt`.

    Signals that are ignored, such as SIGHUP under `nohup`, stay ignored. `stop` is called from the signal handler.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._previous: dict[int, object] = {}
        self.exit_code = 0
        """Exit code for the shell: 130 after Ctrl-C, 143 after SIGTERM, 0 without a signal."""

    def __enter__(self) -> Self:
        self._previous = {number: signal.getsignal(number) for number in _SIGNALS}
        for number, handler in self._previous.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # as returned by getsignal

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self.exit_code:
            raise KeyboardInterrupt
        self.exit_code = _EXIT_CODE_BASE + number
        self._stop()


@contextmanager
def graceful_termination() -> Iterator[None]:
    """Turns SIGTERM into `SystemExit`, so that temporary files are removed; no effect outside of the main thread."""
    try:
        previous = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(_EXIT_CODE_BASE + number))
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
