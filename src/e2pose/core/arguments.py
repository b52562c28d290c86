"""Checks of the arguments of public functions: a wrong type or value is an `OptionError` that names it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import TypeVar

import numpy as np

from e2pose.core.errors import E2PoseError, OptionError

T = TypeVar("T")

_MAX_SHOWN = 60  # characters of a value in a message


def check_number(
    what: str,
    value: object,
    low: float = -inf,
    high: float = inf,
    *,
    hint: str,
    error: type[E2PoseError] = OptionError,
) -> float:
    """Returns a finite number of Python or NumPy, from `low` to `high`, as a float.

    Raises:
        OptionError: It is none; text and booleans are no numbers. `error` selects another class.
    """
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not is_number or not low <= value <= high or abs(value) == inf:  # type: ignore[operator, arg-type]
        raise error(f"{what} must be {_range('a number', low, high)}, not {show(value)}", hint)
    return float(value)  # type: ignore[arg-type]


def check_count(
    what: str, value: object, low: int = 1, high: float = inf, *, hint: str, error: type[E2PoseError] = OptionError
) -> int:
    """Returns a whole number of Python or NumPy, from `low` to `high`, as an int.

    Raises:
        OptionError: It is none; `2.0` and booleans are no whole numbers. `error` selects another class.
    """
    is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not is_whole or not low <= value <= high:  # type: ignore[operator]
        raise error(f"{what} must be {_range('a whole number', low, high)}, not {show(value)}", hint)
    return int(value)  # type: ignore[call-overload, no-any-return]


def check_choice(what: str, value: object, choices: Sequence[str], *, error: type[E2PoseError] = OptionError) -> str:
    """Returns one of several words.

    Raises:
        OptionError: It is another word, or no text. `error` selects another class.
    """
    if not isinstance(value, str) or value not in choices:
        raise error(f"{what} must be {' or '.join(choices)}, not {show(value)}", f"use one of: {', '.join(choices)}")
    return value


def check_type(what: str, value: object, kind: type[T], *, hint: str, error: type[E2PoseError] = OptionError) -> T:
    """Returns an instance of a class.

    Raises:
        OptionError: It is something else. `error` selects another class.
    """
    if not isinstance(value, kind):
        raise error(f"{what} must be {_with_article(kind.__name__)}, not {show(value)}", hint)
    return value


def check_callable(what: str, value: T, *, hint: str) -> T:
    """Returns a function or callable object.

    Raises:
        OptionError: It cannot be called.
    """
    if not callable(value):
        raise OptionError(f"{what} must be a function, not {show(value)}", hint)
    return value


def check_path(what: str, value: object, *, error: type[E2PoseError] = OptionError) -> str | Path:
    """Returns a path: text, a `Path` or another path-like object, not empty and without a NUL character.

    Raises:
        OptionError: It is none. `error` selects another class.
    """
    if isinstance(value, os.PathLike) and not isinstance(value, Path):
        value = value.__fspath__()
    if not isinstance(value, str | Path):
        raise error(f"{what} must be text or a Path, not {show(value)}", "pass the path of a file as text")
    if not str(value).strip() or "\0" in str(value):
        problem = "is empty" if "\0" not in str(value) else f"contains a NUL character: {show(str(value))}"
        raise error(f"{what} {problem}", "pass the path of a file")
    return value


def show(value: object) -> str:
    """Returns a value for a message: short, on one line and with its type where that is not obvious."""
    if value is None or isinstance(value, bool | int | float | np.number):
        return str(value)
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and type {value.dtype}"
    text = repr(value)
    if not isinstance(value, str | bytes | list | tuple | dict | set | Path):
        return _with_article(type(value).__name__) if text.startswith("<") else f"{text[:_MAX_SHOWN]}"
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def _range(kind: str, low: float, high: float) -> str:
    if high < inf:
        return f"{kind} between {low:g} and {high:g}"
    return f"{kind} of at least {low:g}" if low > -inf else f"a finite {kind.removeprefix('a ')}"


def _with_article(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"
