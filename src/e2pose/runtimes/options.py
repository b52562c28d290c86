"""Runtime options, the same record for the command line and for Python."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from e2pose.core.arguments import check_count, check_flag, show
from e2pose.core.errors import OptionError
from e2pose.core.spec import check_size

RuntimeName = Literal["onnxruntime", "openvino", "tensorrt", "torch"]
Precision = Literal["f32", "f16", "bf16"]

_MAX_THREADS = 1024  # every thread is really started
_DEVICE = re.compile(r"cpu|mps|cuda(:\d{1,3})?")


@dataclass(frozen=True)
class RuntimeOptions:
    """How a model is run.

    Args:
        runtime: Runtime; by default that of the model file.
        device: Device: cpu, mps, cuda, or cuda:1 for the second GPU; by default cuda for tensorrt, else cpu.
        precision: Precision of the computation; by default that of the model file.
        input_size: Height and width that images are fitted into, multiples of 32; by default those of the model. A
            smaller input is faster, a larger one detects smaller persons.
        threads: CPU threads; by default one per usable core.
        allow_fallback: Replace an unavailable runtime, device or precision by the default, with a warning.

    Raises:
        OptionError: The runtime, device or precision is unknown, or a value has the wrong type or is out of range.
    """

    runtime: RuntimeName | None = None
    device: str | None = None
    precision: Precision | None = None
    input_size: tuple[int, int] | None = None
    threads: int | None = None
    allow_fallback: bool = False

    def __post_init__(self) -> None:
        for name, kind in (("runtime", RuntimeName), ("precision", Precision)):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or value not in get_args(kind)):
                raise OptionError(
                    f"unknown {name} {show(value)}; available: {', '.join(get_args(kind))}",
                    f"use one of these, or omit the {name}",
                )
        if self.device is not None and not (isinstance(self.device, str) and _DEVICE.fullmatch(self.device)):
            raise OptionError(
                f"unknown device {show(self.device)}; available: cpu, cuda, cuda:1 and so on, mps",
                "use 'cuda:0' for the first GPU, or omit the device to use the CPU",
            )
        if self.input_size is not None:
            object.__setattr__(self, "input_size", check_size(self.input_size, error=OptionError))
        if self.threads is not None:
            hint = "omit it to use all cores that are available to this process"
            threads = check_count("the number of threads", self.threads, 1, _MAX_THREADS, hint=hint)
            object.__setattr__(self, "threads", threads)
        check_flag("allow_fallback", self.allow_fallback)

    @property
    def device_kind(self) -> str:
        """The device without its index; "cpu" by default."""
        return (self.device or "cpu").partition(":")[0]

    @property
    def device_index(self) -> int:
        """The index of the device among those of its kind."""
        return int((self.device or "").partition(":")[2] or 0)


DEFAULT_OPTIONS = RuntimeOptions()
"""The default runtime and precision of the model file, on the CPU."""
