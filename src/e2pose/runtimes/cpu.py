"""Whether this CPU is made for networks in integers of eight bits."""

from __future__ import annotations

import platform

from e2pose.core.processor import processor_entry

_X86 = ("x86_64", "amd64", "i686", "x86")


def sums_may_overflow() -> bool:
    """Whether products of int8 weights may be added up in sixteen bits: on x86 CPUs that are not known to have VNNI.

    Source: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html, on reduced ranges.
    """
    return platform.machine().lower() in _X86 and "vnni" not in (processor_entry("flags") or "")
