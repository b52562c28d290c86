"""Values of annotation fields, in the variants that annotation tools write."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from typing import Any

LARGEST = 1e9
"""Limit of the absolute value of coordinates and areas."""

_FIRST_TEXT_ID, _END_OF_IDS = 1 << 52, 1 << 53  # every JSON reader represents integers below 2**53 exactly
_FLAGS = {"": False, "0": False, "false": False, "no": False, "1": True, "true": True, "yes": True}


class FieldError(ValueError):
    """A field has an invalid value; the message names the field, what is accepted and the value received."""


def is_missing(value: object) -> bool:
    """Returns whether a value stands for none: null, NaN, an empty text, list or mapping."""
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or (isinstance(value, list | dict) and not value)


def require(entry: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401
    """Returns a field that must be there.

    Raises:
        FieldError: It is missing or empty.
    """
    value = entry.get(name)
    if is_missing(value):
        raise FieldError(f"the field '{name}' is missing")
    return value


def to_number(value: object, name: str) -> float:
    """Returns a number, which may be written as text.

    Raises:
        FieldError: The value is not a number from -1e9 to 1e9.
    """
    try:
        number = math.nan if isinstance(value, bool) or not isinstance(value, int | float | str) else float(value)
    except (ValueError, OverflowError):
        number = math.nan
    if not abs(number) <= LARGEST:
        raise FieldError(f"'{name}' must be a number, not {show(value)}")
    return number


def to_integer(value: object, name: str) -> int:
    """Returns a whole number, which may be written as text or with a decimal point.

    Raises:
        FieldError: The value is not a whole number.
    """
    number = to_number(value, name)
    if not number.is_integer():
        raise FieldError(f"'{name}' must be a whole number, not {show(value)}")
    return int(number)


def to_flag(value: object, name: str, *, default: bool = False) -> bool:
    """Returns a flag: 0 or 1, false or true, as number or text; `default` if it is missing.

    Raises:
        FieldError: The value is something else.
    """
    if is_missing(value):
        return default
    text = str(int(value) if isinstance(value, float) and value.is_integer() else value).strip().lower()
    if isinstance(value, list | dict) or text not in _FLAGS:
        raise FieldError(f"'{name}' must be 0 or 1, not {show(value)}")
    return _FLAGS[text]


def to_id(value: object, name: str) -> int:
    """Returns an id as integer.

    A number may be written as text or with a decimal point: 7, "7" and 7.0 are the same id. Other text, and numbers
    from 2**53 on, become a number from 2**52 on that only depends on the text, so that annotations and results agree.

    Raises:
        FieldError: The value is neither a whole number nor text.
    """
    if type(value) is int and abs(value) < _END_OF_IDS:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | str) or is_missing(value):
        raise FieldError(f"'{name}' must be a whole number or text, not {show(value)}")
    if isinstance(value, float) and not value.is_integer():
        raise FieldError(f"'{name}' must be a whole number or text, not {show(value)}")
    text = str(int(value)) if isinstance(value, float) else str(value).strip()
    if re.fullmatch(r"[+-]?[0-9]{1,16}(\.0*)?", text) and abs(number := int(text.partition(".")[0])) < _END_OF_IDS:
        return number
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).digest()
    return _FIRST_TEXT_ID + int.from_bytes(digest, "big")


def to_names(value: object, name: str) -> tuple[str, ...]:
    """Returns keypoint names from a list, or from a mapping from index to name or from name to index.

    Raises:
        FieldError: The value is something else.
    """
    if is_missing(value):
        return ()
    if isinstance(value, dict):
        by_name = all(isinstance(index, int) and not isinstance(index, bool) for index in value.values())
        pairs = [(second, first) if by_name else (first, second) for first, second in value.items()]
        numbers = [to_integer(index, name) for index, _ in pairs]
        if len(set(numbers)) < len(numbers):
            raise FieldError(f"'{name}' must have distinct numbers, not {show(sorted(numbers))}")
        value = [keypoint for _, (_, keypoint) in sorted(zip(numbers, pairs, strict=True))]
    if not isinstance(value, list) or any(is_missing(one) or isinstance(one, list | dict) for one in value):
        raise FieldError(f"'{name}' must be a list of names, not {show(value)}")
    return tuple(str(one).strip() for one in value)


def show(value: object) -> str:
    """Returns a short text of a value for an error message."""
    if type(value) is int and abs(value) < 1e60:
        return str(value)  # much faster
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        text = f"a {type(value).__name__}"
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= 60 else f"{text[:57]}..."
