"""Network addresses among the names of inputs."""

from __future__ import annotations

import re
from pathlib import Path

SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "srt", "udp", "tcp", "rtp")
"""Supported schemes of addresses."""

_CREDENTIALS = re.compile(r"(?<=://)[^/?#]*@")


def is_address(name: str | Path) -> bool:
    """Returns whether a name is an address rather than a path; a `Path` never is."""
    return isinstance(name, str) and "://" in name


def without_credentials(name: str | Path) -> str:
    """Returns a path or address without user name and password, for outputs and error messages."""
    return _CREDENTIALS.sub("", name) if isinstance(name, str) else str(name)
