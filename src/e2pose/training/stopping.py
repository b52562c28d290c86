"""Ends of a training that nobody planned: signals, and errors of the machine."""

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

_MEMORY_HINT = (
    "raise optim.accumulate, or lower optim.batch_size or input_size_hw, and go on with --resume; "
    "what was saved last is whole"
)


class StopRequest:
    """Turns SIGINT and SIGTERM into a wish that the training looks at between two steps.

    The same signal again has its usual effect at once. Outside of the main thread signals keep their usual effect.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._usual: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._usual = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._usual.items():
            signal.signal(number, handler)

    def _ask(self, number: int, _: FrameType | None) -> None:
        self.signal = number
        signal.signal(number, self._usual[number])


class StoppedError(Exception):
    """A training has ended before its time because it was asked to.

    Args:
        number: The signal that asked.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = number or signal.SIGTERM  # another process was asked


def leave(number: int) -> NoReturn:
    """Ends this program as the signal would have done.

    Raises:
        KeyboardInterrupt: After SIGINT.
        SystemExit: After any other signal.
    """
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


@contextmanager
def explained(recipe: Recipe) -> Iterator[None]:
    """Turns the ways in which torch says that the machine has had enough into errors with advice.

    Raises:
        TrainingError: There is not enough memory, or a process that prepares images died.
    """
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
                f"a process that prepares images died: {text.splitlines()[0]}",
                "if the memory was full, lower workers or set data.cache to false; then go on with --resume",
            ) from error
        raise


def _out_of_memory(recipe: Recipe) -> TrainingError:
    share = recipe.optim.batch_size // recipe.processes // recipe.optim.accumulate
    height, width = recipe.input_size_hw
    return TrainingError(f"there is not enough memory for {share} images of {height}x{width} at once", _MEMORY_HINT)
