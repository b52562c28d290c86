"""Messages, errors and progress for the user. All of it goes to stderr; stdout is reserved for data."""

from __future__ import annotations

import os
import sys
from time import monotonic
from typing import TYPE_CHECKING, Self

from e2pose.core.address import redact_text

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress as RichProgress

    from e2pose.core.errors import E2PoseError

_MIN_DURATION_S = 1.0


def print_message(text: str) -> None:
    """Prints a line for the user; addresses appear without credentials and query.

    If the reader of stderr closed it, the run continues without messages.
    """
    try:
        print(redact_text(text), file=sys.stderr)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def print_error(error: E2PoseError) -> None:
    """Prints the message and the hint of an error."""
    print_message(f"error: {error.message}")
    if error.hint:
        print_message(f"\nhint: {error.hint}")


class Progress:
    """A progress bar with rate and, if the total is given, remaining time; shown in a terminal after one second."""

    def __init__(self, total: int | None = None, *, shown: bool = True) -> None:
        self._total = total
        self.is_possible = sys.stderr.isatty()
        """Whether stderr is a terminal."""
        self._shown = shown and self.is_possible
        self._start = monotonic()
        self._done = 0
        self._bar: RichProgress | None = None

    def advance(self, total: int | None = None, *, steps: int = 1) -> None:
        """Counts steps and updates the total, if given."""
        self._done += steps
        self._total = total or self._total
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], total=self._total, completed=self._done, rate=self._rate())
        elif self._shown and monotonic() - self._start > _MIN_DURATION_S:
            self._bar = self._make_bar()
            self._bar.start()
            self._bar.add_task("", total=self._total, completed=self._done, rate=self._rate())

    def _rate(self) -> float:
        return self._done / (monotonic() - self._start)

    @staticmethod
    def _make_bar() -> RichProgress:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        return RichProgress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:.1f}/s"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
