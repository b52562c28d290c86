"""The folder of what is fetched or built once and kept, and whether anything may be fetched."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_dir

HOME = "E2POSE_HOME"
"""Environment variable: the folder for what is kept, instead of the user's cache folder."""
OFFLINE = "E2POSE_OFFLINE"
"""Environment variable: if set to anything but 0, nothing is ever fetched."""


def cache_folder(content: str) -> Path:
    """Where things of one kind are kept, such as `models`."""
    return Path(os.environ.get(HOME) or user_cache_dir("e2pose")) / content


def is_offline() -> bool:
    """Whether the user forbids to fetch anything."""
    return os.environ.get(OFFLINE, "0") not in ("", "0")
