"""Network addresses among the names of inputs."""

from __future__ import annotations

import re
from pathlib import Path

SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "srt", "udp", "tcp", "rtp")
"""Supported schemes of addresses."""

HIDDEN = "***"
"""Replaces an address in which user name and password cannot be told from the rest."""

# A `Path` joins the slashes of an address, and a user may forget one.
_PREFIX = rf"(?:\b[a-z][a-z0-9+.-]+:/{{1,2}}|\b(?:{'|'.join(SCHEMES)}):)"
_ADDRESS = re.compile(rf"(?P<scheme>.*?{_PREFIX})(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_ADDRESS_IN_TEXT = re.compile(rf"{_PREFIX}[^\s'\"]+", re.IGNORECASE)
_END_OF_HOST = re.compile(r"(?=[/?#\\])")
_CREDENTIALS = re.compile(r"[^@]*:.*@", re.DOTALL)  # a password may contain any character


def is_address(name: str | Path) -> bool:
    """Returns whether a name is an address rather than a path; a `Path` never is."""
    return isinstance(name, str) and "://" in name


def redact_address(name: str | Path) -> str:
    """Returns a path or address for outputs and messages: without user name, password, query and fragment.

    Queries contain passwords, passphrases and signatures under many names, so all of the query is removed. An address
    with an unescaped `/`, `?` or `#` in its password has no unique reading, so only its scheme is kept.
    """
    match = _ADDRESS.match(str(name))
    if match is None:
        return str(name)
    scheme, rest = match["scheme"], match["rest"]
    host, *path = _END_OF_HOST.split(rest, maxsplit=1)
    if "@" not in host and _CREDENTIALS.match(rest):
        return scheme + HIDDEN
    return scheme + host.rpartition("@")[2] + re.split("[?#]", "".join(path), maxsplit=1)[0]


def redact_text(text: str) -> str:
    """Returns a text, such as an error message of another library, with all addresses redacted."""
    return _ADDRESS_IN_TEXT.sub(lambda match: redact_address(match[0]), text)
