"""Ctrl-C and its relatives, as a wish to end soon rather than a blow."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType, TracebackType

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_FAMILY = 128  # a shell's exit code for a program that a signal has ended is this and its number


class Interrupts:
    """While the context lasts, the first signal that would end this process asks its work to stop; the second ends it.

    Signals that are ignored, as `nohup` does with one, stay ignored.

    Args:
        stop: Asks the work to stop; called in the middle of anything.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._before: dict[int, object] = {}
        self.exit_code = 0
        """What a shell wants to hear: 130 after Ctrl-C, 143 after SIGTERM, 0 if there was no signal."""

    def __enter__(self) -> Self:
        self._before = {number: signal.getsignal(number) for number in _SIGNALS}
        for number, handler in self._before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, self._take)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # it came from there

    def _take(self, number: int, _: FrameType | None) -> None:
        if self.exit_code:
            raise KeyboardInterrupt
        self.exit_code = _FAMILY + number
        self._stop()


@contextmanager
def orderly_termination() -> Iterator[None]:
    """Lets SIGTERM unwind the program, so that no temporary file is left; without effect outside of the main thread."""

    def leave(number: int, _: FrameType | None) -> None:
        sys.exit(_FAMILY + number)

    try:
        before = signal.signal(signal.SIGTERM, leave)
    except ValueError:  # another thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
