"""What a person sees while a command runs. All of it goes to stderr, so that stdout is free for data."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from time import monotonic
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress as RichProgress

    from e2pose.core.errors import E2PoseError

PATIENCE_S = 1.0
"""Work that takes no longer than this gets no progress bar."""


def print_message(text: str) -> None:
    """Prints a line for people."""
    print(text, file=sys.stderr)


def print_error(error: E2PoseError) -> None:
    """Prints what is wrong and what to do about it."""
    print_message(f"error: {error.message}")
    if error.hint:
        print_message(f"\nhint: {error.hint}")


class Progress:
    """A bar with rate and time left, for work that takes longer than a second in front of a person.

    Args:
        total: How many steps there will be, or None if nobody knows yet.
        shown: False to show nothing, whatever happens.
    """

    def __init__(self, total: int | None = None, *, shown: bool = True) -> None:
        self._total = total
        self._shown = shown and sys.stderr.isatty()
        self._start = monotonic()
        self._done = 0
        self._open = ExitStack()
        self._bar: RichProgress | None = None

    def advance(self, total: int | None = None) -> None:
        """Counts one step, and corrects the total if it is given."""
        self._done += 1
        self._total = total or self._total
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], total=self._total, completed=self._done, rate=self._rate())
        elif self._shown and monotonic() - self._start > PATIENCE_S:
            self._bar = self._open.enter_context(self._make_bar())
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
        self._open.close()
