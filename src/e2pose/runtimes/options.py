"""What can be asked of a runtime: one record for the command line and for Python."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from e2pose.core.errors import OptionError, RuntimeChoiceError

RuntimeName = Literal["onnxruntime", "openvino", "tensorrt", "torch"]
Precision = Literal["f32", "f16", "bf16"]

_MOST_THREADS = 1024  # more than any machine needs; each one is really started
_DEVICE = re.compile(r"cpu|mps|cuda(:\d{1,3})?")


@dataclass(frozen=True)
class RuntimeOptions:
    """What runs a model, and how.

    Args:
        runtime: What runs the model; if not given, what the model file is made for.
        device: Where it runs: cpu, cuda, or cuda:1 for the second GPU; if not given, cuda for tensorrt and else cpu.
        precision: What it computes in; if not given, what the model file is made for, or f32.
        input_size: Height and width that pictures are fitted into; if not given, the model's own. Less is faster, more
            finds smaller people.
        threads: CPU threads; if not given, one for each usable core.
        allow_fallback: If the runtime, device or precision is not available, warn and use what is.

    Raises:
        RuntimeChoiceError: There is no runtime, device or precision of that name.
        OptionError: The number of threads is out of range.
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
            if value is not None and value not in get_args(kind):
                raise RuntimeChoiceError(f"there is no {name} '{value}'; there is: {', '.join(get_args(kind))}")
        if self.device is not None and not _DEVICE.fullmatch(self.device):
            raise RuntimeChoiceError(
                f"there is no device '{self.device}'; there is: cpu, cuda, cuda:1 and so on, mps",
                "leave it out to use the CPU",
            )
        if self.threads is not None and not 1 <= self.threads <= _MOST_THREADS:
            raise OptionError(
                f"the number of threads must lie between 1 and {_MOST_THREADS}, not {self.threads}",
                "leave it out to use every core that this process may use",
            )

    @property
    def device_kind(self) -> str:
        """The device without its number; the CPU if none was asked for."""
        return (self.device or "cpu").partition(":")[0]

    @property
    def device_index(self) -> int:
        """The number of the device among those of its kind."""
        return int((self.device or "").partition(":")[2] or 0)


DEFAULT_OPTIONS = RuntimeOptions()
"""What a model file is made for, on the CPU."""
