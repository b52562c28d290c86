"""Texts that are addresses of something on a network."""

from __future__ import annotations

import re
from pathlib import Path

_SECRET = re.compile(r"(?<=://)[^/?#]*@")


def is_address(place: str | Path) -> bool:
    """Whether a text is an address rather than a path; a `Path` never is."""
    return isinstance(place, str) and "://" in place


def public_name(place: str | Path) -> str:
    """A path or address as it may be written into files and errors: without a name and password before an `@`."""
    return _SECRET.sub("", place) if isinstance(place, str) else str(place)
