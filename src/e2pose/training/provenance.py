"""What made some weights: code, machine and time."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch


def describe_code() -> dict[str, str | None]:
    """The version of e2pose, and its commit if it runs from a git checkout; `-dirty` marks changes since."""
    folder = Path(__file__).parent
    is_tracked = _git(folder, "ls-files", "--error-unmatch", Path(__file__).name) is not None
    commit = _git(folder, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*") if is_tracked else None
    return {"e2pose": version("e2pose"), "commit": commit}


def describe_environment(device: torch.device) -> dict[str, Any]:
    """The machine and the software that a training runs on, and when it began."""
    is_cuda = device.type == "cuda"
    return {
        **describe_code(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "torch": torch.__version__,
        "numpy": version("numpy"),
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if is_cuda else platform.processor() or platform.machine(),
        "cuda": torch.version.cuda if is_cuda else None,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "command": sys.argv,
    }


def _git(folder: Path, *words: str) -> str | None:
    """What git says, or None if it is not there or has nothing to say."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
