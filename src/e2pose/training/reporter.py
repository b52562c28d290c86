"""Reports the progress of a training to the user."""

from __future__ import annotations

import sys


class TrainingReporter:
    """Prints messages to stderr; a subclass may report differently.

    If several processes train, the reporter is pickled, and only the process of rank 0 uses it.
    """

    def message(self, line: str) -> None:
        """Prints a line."""
        print(line, file=sys.stderr, flush=True)  # noqa: T201

    def step(self, done: int, total: int) -> None:
        """Called after each step; prints nothing."""

    def close(self) -> None:
        """Called at the end of the training, also after an error."""
