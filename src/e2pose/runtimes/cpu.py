"""Facts about the CPU that decide how networks run on it."""

from __future__ import annotations

import os
import platform
import re
from math import ceil
from pathlib import Path

from e2pose.runtimes.cgroup import cpu_quota

_CPU_INFO = Path("/proc/cpuinfo")
_X86 = ("x86_64", "amd64", "i686", "x86")


def cpu_info(name: str) -> str | None:
    """Returns a field of `/proc/cpuinfo` for the first core, such as "model name" or "flags"; None if it is absent."""
    text = _CPU_INFO.read_text(encoding="utf-8", errors="replace") if _CPU_INFO.is_file() else ""
    match = re.search(rf"^{re.escape(name)}\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1].strip() if match else None


def has_vnni() -> bool | None:
    """Returns whether an x86 CPU has VNNI instructions, which accumulate int8 products in 32 bits.

    Without VNNI, kernels may accumulate in 16 bits, which overflow. An x86 CPU whose features are unknown counts as one
    without VNNI. The result is None on other architectures, where int8 sums do not overflow.

    Source: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html, on reduced ranges.
    """
    if platform.machine().lower() not in _X86:
        return None
    return "vnni" in (cpu_info("flags") or "")


def usable_cores() -> int:
    """Returns the number of cores that this process can use.

    `taskset` and the quota of a container may restrict it; a quota of 1.5 cores counts as 2.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return cores if quota is None else max(1, min(cores, ceil(quota)))
