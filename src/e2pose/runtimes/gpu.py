"""Memory of an NVIDIA GPU, and copies to and from it."""

from __future__ import annotations

from typing import Any

import numpy as np
from cuda.bindings import runtime as cuda

from e2pose.core.errors import RuntimeChoiceError


class Gpu:
    """A GPU with a stream and named buffers, which grow on demand and are freed together with this object.

    Raises:
        RuntimeChoiceError: There is no such GPU.
    """

    def __init__(self, index: int) -> None:
        self._buffers: dict[str, tuple[int, int]] = {}
        properties = _check(cuda.cudaGetDeviceProperties(index), f"the GPU 'cuda:{index}' is not available")
        self._index = index
        self.use()
        product = properties.name.decode().rstrip("\0")
        self.name = f"{product}, compute capability {properties.major}.{properties.minor}"
        self.stream = int(_check(cuda.cudaStreamCreate(), "cannot create a CUDA stream"))

    def use(self) -> None:
        """Selects the GPU for the calling thread; required before all other calls."""
        _check(cuda.cudaSetDevice(self._index), f"cannot select the GPU 'cuda:{self._index}'")

    def buffer(self, name: str, size: int) -> int:
        """Returns the address of the named buffer, which has at least `size` bytes."""
        address, length = self._buffers.get(name, (0, 0))
        if length < size:
            if length:
                del self._buffers[name]
                _check(cuda.cudaFree(address), "cannot free GPU memory")
            address = int(_check(cuda.cudaMalloc(size), f"cannot allocate {size} bytes of GPU memory"))
            self._buffers[name] = address, size
        return address

    def upload(self, name: str, array: np.ndarray) -> int:
        """Copies an array to the named buffer, and returns its address."""
        address = self.buffer(name, array.nbytes)
        kind = cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        copied = cuda.cudaMemcpyAsync(address, array.ctypes.data, array.nbytes, kind, self.stream)
        _check(copied, "cannot copy pixels to the GPU")
        return address

    def download(self, name: str, array: np.ndarray) -> None:
        """Starts copying the named buffer to an array; call `wait` before reading it."""
        kind = cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        copied = cuda.cudaMemcpyAsync(array.ctypes.data, self._buffers[name][0], array.nbytes, kind, self.stream)
        _check(copied, "cannot copy results from the GPU")

    def wait(self) -> None:
        """Waits until all work of the stream is done."""
        _check(cuda.cudaStreamSynchronize(self.stream), "the GPU failed")

    def __del__(self) -> None:
        for address, _ in self._buffers.values():
            cuda.cudaFree(address)


def _check(result: tuple[Any, ...], failure: str) -> Any:  # noqa: ANN401 - the library has no types
    """Returns the value of a CUDA call, or raises an error if it returned an error code."""
    code, *values = result
    if int(code) != 0:
        raise RuntimeChoiceError(f"{failure}: {getattr(code, 'name', code)}", "check the GPU with: e2pose doctor")
    return values[0] if values else None
