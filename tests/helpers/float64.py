"""Torch in double precision, in which equivalent computations agree to many digits."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.overrides import TorchFunctionMode

from e2pose.training.reporter import TrainingReporter


class _Doubled(TorchFunctionMode):
    """Replaces every request for float32 by float64."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if kwargs.get("dtype") is torch.float32:
            kwargs["dtype"] = torch.float64
        return (torch.Tensor.double if function is torch.Tensor.float else function)(*args, **kwargs)


@contextmanager
def in_double() -> Iterator[None]:
    """Creates floating point tensors in float64; existing tensors keep their type."""
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with _Doubled():
            yield
    finally:
        torch.set_default_dtype(usual)


class Float64Reporter(TrainingReporter):
    """Reports nothing. A process that unpickles it computes with 64 bits from then on."""

    def __reduce__(self):
        return _enter_float64, ()

    def message(self, line: str) -> None:
        pass


def _enter_float64() -> Float64Reporter:
    torch.set_default_dtype(torch.float64)
    _Doubled().__enter__()
    return Float64Reporter()
