"""Description of the machine that a comparison runs on."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from e2pose.runtimes.cpu import cpu_info, usable_cores

_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


@dataclass(frozen=True)
class Machine:
    """Properties of a machine that affect timings; None where the system does not report one."""

    cpu: str
    cores: int  # usable by this process
    memory_gb: float | None  # in units of 10^9 bytes
    system: str
    python: str  # version
    governor: str | None  # frequency governor of the CPU
    load: float | None  # mean number of runnable processes in the minute before the start


def describe_machine() -> Machine:
    """Describes this machine."""
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
