"""Memory of an NVIDIA GPU, and the way to it and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from cuda.bindings import runtime as cuda

from e2pose.core.errors import RuntimeChoiceError


class Gpu:
    """One GPU with a stream of work and named pieces of memory, which grow as needed and are freed with it.

    Args:
        index: Its number.

    Raises:
        RuntimeChoiceError: There is no such GPU.
    """

    def __init__(self, index: int) -> None:
        self._rooms: dict[str, tuple[int, int]] = {}
        properties = _done(cuda.cudaGetDeviceProperties(index), f"there is no usable GPU 'cuda:{index}'")
        self._index = index
        self.use()
        kind = properties.name.decode().rstrip("\0")
        self.name = f"{kind}, compute capability {properties.major}.{properties.minor}"
        self.stream = int(_done(cuda.cudaStreamCreate(), "the GPU gives no stream"))

    def use(self) -> None:
        """Makes it the GPU of the calling thread, which must be done before anything else."""
        _done(cuda.cudaSetDevice(self._index), f"the GPU 'cuda:{self._index}' cannot be used")

    def room(self, name: str, size: int) -> int:
        """The address of a piece of memory of at least so many bytes; the same name gives the same piece."""
        address, length = self._rooms.get(name, (0, 0))
        if length < size:
            if length:
                del self._rooms[name]
                _done(cuda.cudaFree(address), "the GPU's memory cannot be freed")
            address = int(_done(cuda.cudaMalloc(size), "the GPU has not enough free memory"))
            self._rooms[name] = address, size
        return address

    def upload(self, name: str, array: np.ndarray) -> int:
        """Copies an array to the piece of memory of that name; gives its address."""
        address = self.room(name, array.nbytes)
        kind = cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        copied = cuda.cudaMemcpyAsync(address, array.ctypes.data, array.nbytes, kind, self.stream)
        _done(copied, "the GPU takes no pixels")
        return address

    def download(self, name: str, array: np.ndarray) -> None:
        """Begins to fill an array from the piece of memory of that name."""
        kind = cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        copied = cuda.cudaMemcpyAsync(array.ctypes.data, self._rooms[name][0], array.nbytes, kind, self.stream)
        _done(copied, "the GPU gives no answer")

    def wait(self) -> None:
        """Waits until all work is done."""
        _done(cuda.cudaStreamSynchronize(self.stream), "the GPU failed")

    def __del__(self) -> None:
        for address, _ in self._rooms.values():
            cuda.cudaFree(address)


def _done(answer: tuple[Any, ...], trouble: str) -> Any:  # noqa: ANN401 - the library has no types
    """What a call gives besides its error code.

    Raises:
        RuntimeChoiceError: The code says that it failed.
    """
    code, *values = answer
    if int(code) != 0:
        raise RuntimeChoiceError(f"{trouble}: {getattr(code, 'name', code)}", "see: e2pose doctor")
    return values[0] if values else None
