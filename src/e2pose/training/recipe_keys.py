"""The dotted keys of a recipe: setting one from the command line, and guessing which one was meant."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel

from e2pose.core.errors import OptionError


def assign(record: dict[str, Any], assignment: str) -> None:
    """Sets an entry of a recipe that was read, changing the record.

    Args:
        record: Tables and lists, as TOML has them. Tables that are missing are made.
        assignment: Such as `optim.steps=100` or `data.sets.0.path="mine"`: the value is written as in TOML, but text
            needs no quotes where it cannot be taken for anything else.

    Raises:
        OptionError: The text is no assignment, or the key leads through a value that is not a table.
    """
    key, equals, value = assignment.partition("=")
    if not equals or not key.strip():
        raise OptionError(f"'{assignment}' sets nothing", "write it as key=value, for example --set optim.steps=100")
    *path, last = key.strip().split(".")
    new = _value(assignment, value.strip())
    place: Any = record
    try:
        for name in path:
            place = place.setdefault(name, {}) if isinstance(place, dict) else place[int(name)]
        place[last if isinstance(place, dict) else int(last)] = new
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        raise OptionError(
            f"'{key}' leads to no entry of the recipe", "tables have names, entries of lists have numbers from 0"
        ) from error


def nearest_key(model: type[BaseModel], unknown: Sequence[str | int]) -> str | None:
    """The dotted key of a record that was probably meant by one that it does not have, if any looks like it."""
    *path, last = [str(part) for part in unknown if not isinstance(part, int)]
    known = list(dotted_keys(model))
    close = get_close_matches(".".join([*path, last]), known, 1, cutoff=0.7)
    elsewhere = [key for key in known if key.split(".")[-1] in get_close_matches(last, [key.split(".")[-1]], 1, 0.8)]
    return next(iter([*close, *elsewhere]), None)


def dotted_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """All keys of a record and of the records in it, such as `optim` and `optim.steps`."""
    for name, field in model.model_fields.items():
        key = prefix + (field.alias or name)
        yield key
        for part in _types(field.annotation):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from dotted_keys(part, f"{key}.")


def _types(annotation: object) -> Iterator[object]:
    yield annotation
    for part in get_args(annotation):
        yield from _types(part)


def _value(assignment: str, text: str) -> object:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError as error:
        if text[:1] not in ("", "'", '"', "[", "{"):
            return text
        raise OptionError(
            f"the value in '{assignment}' is not valid TOML: {error}",
            "mind the shell: --set 'input_size_hw=[320, 320]'",
        ) from error
    if set(parsed) != {"value"}:
        raise OptionError(f"'{assignment}' sets more than one entry", "repeat --set for each of them")
    return parsed["value"]
