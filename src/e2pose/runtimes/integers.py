"""Whether this CPU is made for networks in integers of eight bits."""

from __future__ import annotations

import re
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")


def sums_may_overflow() -> bool:
    """Whether it is an x86 CPU without VNNI, on which ONNX Runtime adds up products in sixteen bits.

    False where the system does not say what the CPU can do.

    Source: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html, on reduced ranges.
    """
    text = _CPU_INFO.read_text(encoding="utf-8", errors="replace") if _CPU_INFO.is_file() else ""
    flags = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)  # other CPUs have "Features"
    return flags is not None and "vnni" not in flags[1]
