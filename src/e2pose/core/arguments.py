"""Checks of the arguments of public functions: a wrong type or value is an `OptionError` that names it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence, Set
from math import inf
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from e2pose.core.address import is_address
from e2pose.core.errors import E2PoseError, OptionError

T = TypeVar("T")

MAX = sys.float_info.max

_MAX_COUNT = 2**53  # larger counts are mistakes
_MAX_PATH = 4096  # characters; no operating system opens a longer one
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
    value = float(value) if isinstance(value, np.floating) else value
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not is_number or not (low <= value <= high and abs(value) <= MAX):  # type: ignore[operator, arg-type]
        raise error(f"{what} must be {_range('' if is_number else 'a number ', low, high)}, not {show(value)}", hint)
    return float(value)  # type: ignore[arg-type]


def check_count(
    what: str,
    value: object,
    low: int = 1,
    high: float = _MAX_COUNT,
    *,
    hint: str,
    error: type[E2PoseError] = OptionError,
) -> int:
    """Returns a whole number of Python or NumPy, from `low` to `high`, as an int.

    Raises:
        OptionError: It is none; `2.0` and booleans are no whole numbers. `error` selects another class.
    """
    is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not is_whole or not low <= value <= high:  # type: ignore[operator]
        raise error(
            f"{what} must be {_range('' if is_whole else 'a whole number ', low, high)}, not {show(value)}", hint
        )
    return int(value)  # type: ignore[call-overload, no-any-return]


def check_share(what: str, value: object, *, hint: str, error: type[E2PoseError] = OptionError) -> float:
    """Returns a number from 0 to 1, such as a threshold; see `check_number`."""
    return check_number(what, value, 0, 1, hint=hint, error=error)


def check_flag(what: str, value: object) -> bool:
    """Returns a boolean of Python or NumPy.

    Raises:
        OptionError: It is none; 0 and 1 are no booleans.
    """
    if not isinstance(value, bool | np.bool_):
        raise OptionError(f"{what} must be True or False, not {show(value)}", "use True or False")
    return bool(value)


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


def check_methods(what: str, value: T, methods: Sequence[str], *, hint: str) -> T:
    """Returns an object with all of these methods.

    Raises:
        OptionError: It has not, or it is a class.
    """
    if isinstance(value, type) or not all(hasattr(type(value), method) for method in methods):
        raise OptionError(f"{what} must have the methods {', '.join(methods)}, unlike {show(value)}", hint)
    return value


def check_list(what: str, value: object, *, hint: str) -> list[Any]:
    """Returns the items of a list, a tuple or another iterable that is neither text nor a mapping or a set.

    Raises:
        OptionError: It is none.
    """
    if isinstance(value, str | bytes | bytearray | Path | Mapping | Set) or not isinstance(value, Iterable):
        raise OptionError(f"{what} must be a list, not {show(value)}", hint)
    try:
        return list(value)
    except TypeError:  # an array without axes
        raise OptionError(f"{what} must be a list, not {show(value)}", hint) from None


def to_array(what: str, value: object, dtype: type) -> np.ndarray[Any, np.dtype[Any]]:
    """Returns a copy of numbers as an array.

    Raises:
        OptionError: They are no numbers, or not in the form of an array.
    """
    try:
        source = np.asarray(value)
        is_finite = np.issubdtype(dtype, np.floating) or source.dtype.kind != "f" or np.isfinite(source).all()
        if not source.size or (source.dtype.kind in "biuf" and is_finite):
            return source.astype(dtype)
    except (TypeError, ValueError, OverflowError):
        pass  # nested lists of different lengths, or too large integers
    message = f"{what} must be an array of numbers, not {show(value)}"
    raise OptionError(message, "pass a NumPy array or nested lists of numbers")


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
    if len(str(value)) > _MAX_PATH and not is_address(value):
        raise error(f"{what} has {len(str(value)):,} characters: {show(str(value))}", "pass the path of a file")
    return value


def show(value: object) -> str:
    """Returns a value for a message: short, on one line and with its type where that is not obvious."""
    if isinstance(value, int) and abs(value) > MAX:
        return "a number with hundreds of digits"
    if value is None or isinstance(value, bool | int | float | np.number):
        return str(value)
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and type {value.dtype}"
    text = repr(value)
    if not isinstance(value, str | bytes | list | tuple | dict | set | Path):
        return _with_article(type(value).__name__) if text.startswith("<") else f"{text[:_MAX_SHOWN]}"
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def _range(kind: str, low: float, high: float) -> str:
    if high < _MAX_COUNT:
        return f"{kind}between {low:g} and {high:.9g}"
    return f"{kind}{'of ' if kind else ''}at least {low:g}" if low > -inf else "a finite number"


def _with_article(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"
