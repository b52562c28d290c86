"""Interruptions of a training: signals, full memory and dead data loaders."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn, Self

import torch

from e2pose.core.errors import TrainingError
from e2pose.training.recipe import Recipe


class StopRequest:
    """Records SIGINT and SIGTERM; the training loop reads `signal` between two steps.

    A second signal has its usual effect. Outside of the main thread, signals keep their usual effect.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._previous_handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            numbers = (signal.SIGINT, signal.SIGTERM)
            self._previous_handlers = {number: signal.signal(number, self._record) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)

    def _record(self, number: int, _: FrameType | None) -> None:
        self.signal = number
        signal.signal(number, self._previous_handlers[number])


class StoppedError(Exception):
    """A signal stopped the training; the number 0 means that another process received it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = number or signal.SIGTERM


def exit_by_signal(number: int) -> NoReturn:
    """Ends the program as the signal would: with `KeyboardInterrupt` for SIGINT, otherwise with `SystemExit`."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


@contextmanager
def explained_errors(recipe: Recipe) -> Iterator[None]:
    """Raises `TrainingError` instead of torch's errors about full memory and dead data loader processes."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise _out_of_memory(recipe) from error
    except RuntimeError as error:
        text = str(error)
        if "alloc" in text.lower() and "memory" in text.lower():
            raise _out_of_memory(recipe) from error
        if "DataLoader worker" in text:
            raise TrainingError(
                f"a data loader process died: {text.splitlines()[0]}",
                "if the memory was full, lower workers or set data.cache to false; then continue with --resume",
            ) from error
        raise


def _out_of_memory(recipe: Recipe) -> TrainingError:
    count = recipe.optim.batch_size // recipe.processes // recipe.optim.accumulate
    height, width = recipe.input_size_hw
    return TrainingError(
        f"out of memory with {count} images of {height}x{width} per pass",
        "raise optim.accumulate, or lower optim.batch_size or input_size_hw, and continue from the last checkpoint "
        "with --resume",
    )
