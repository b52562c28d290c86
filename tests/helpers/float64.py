"""Torch with twice the digits: where rounding is that small, only a mistake makes a difference."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.overrides import TorchFunctionMode


class _Doubled(TorchFunctionMode):
    """Makes 64 bits of every 32 that a program asks for."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if kwargs.get("dtype") is torch.float32:
            kwargs["dtype"] = torch.float64
        return (torch.Tensor.double if function is torch.Tensor.float else function)(*args, **kwargs)


@contextmanager
def in_double() -> Iterator[None]:
    """Computes with 64 bits inside; what exists already stays as it is."""
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with _Doubled():
            yield
    finally:
        torch.set_default_dtype(usual)


class ListenerInDouble:
    """Follows a training without a word; a process that it is sent to computes with 64 bits from then on."""

    def __reduce__(self):
        return _begin, ()

    def tell(self, line: str) -> None:
        pass

    def step(self, done: int, total: int) -> None:
        pass

    def close(self) -> None:
        pass


def _begin() -> ListenerInDouble:
    torch.set_default_dtype(torch.float64)
    _Doubled().__enter__()
    return ListenerInDouble()
