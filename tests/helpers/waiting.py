"""Waiting for events in other processes."""

from collections.abc import Callable
from time import monotonic, sleep


def wait_until(condition: Callable[[], object], timeout_s: float = 60) -> None:
    """Waits until a condition holds, and fails after the timeout."""
    end = monotonic() + timeout_s
    while not condition():
        assert monotonic() < end, "the event did not occur"
        sleep(0.005)
