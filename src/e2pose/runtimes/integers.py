"""Whether this CPU is made for networks in integers of eight bits."""

from __future__ import annotations

from e2pose.core.processor import processor_entry


def sums_may_overflow() -> bool:
    """Whether it is an x86 CPU without VNNI, on which ONNX Runtime adds up products in sixteen bits.

    False where the system does not say what the CPU can do.

    Source: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html, on reduced ranges.
    """
    flags = processor_entry("flags")  # other CPUs have "Features"
    return flags is not None and "vnni" not in flags
