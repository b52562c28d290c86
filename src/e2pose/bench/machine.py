"""Where a comparison was made."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from e2pose.runtimes.cpu import cpu_info, usable_cores

_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


@dataclass(frozen=True)
class Machine:
    """What could make a number differ elsewhere.

    Args:
        cpu: Its model.
        cores: How many of its cores may be used.
        memory_gb: Billions of bytes; None if the system does not say.
        system: The operating system.
        python: Version of the Python that ran the bench.
        governor: The rule for the clock of the CPU; None if the system does not say.
        load: Processes that wanted a core in the last minute before the start; None if the system does not say.
    """

    cpu: str
    cores: int
    memory_gb: float | None
    system: str
    python: str
    governor: str | None
    load: float | None


def this_machine() -> Machine:
    """What can be found out about this machine."""
    return Machine(
        cpu=cpu_info("model name") or platform.processor() or platform.machine(),
        cores=usable_cores(),
        memory_gb=_memory_gb(),
        system=platform.platform(),
        python=platform.python_version(),
        governor=_GOVERNOR.read_text(encoding="ascii").strip() if _GOVERNOR.is_file() else None,
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    )


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, ValueError, OSError):
        return None
