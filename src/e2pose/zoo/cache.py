"""The cache folder for downloaded and built files, and the offline switch."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_dir

HOME = "E2POSE_HOME"
"""Environment variable: folder that replaces the user's cache folder."""
OFFLINE = "E2POSE_OFFLINE"
"""Environment variable: any value but 0 forbids downloads."""


def cache_folder(kind: str) -> Path:
    """Returns the cache folder for one kind of file, such as "models"."""
    return Path(os.environ.get(HOME) or user_cache_dir("e2pose")) / kind


def is_offline() -> bool:
    """Returns whether downloads are forbidden."""
    return os.environ.get(OFFLINE, "0") not in ("", "0")
