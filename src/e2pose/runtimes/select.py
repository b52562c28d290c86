"""Which runtime opens which file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from e2pose.core.errors import MissingExtraError, ModelError, OptionError, RuntimeChoiceError
from e2pose.runtimes.base import Runtime

Opener = Callable[[Path, int | None, str], Runtime]
"""Opens (path, threads, device)."""


def _open_onnxruntime(path: Path, threads: int | None, device: str) -> Runtime:
    from e2pose.runtimes.onnxruntime import OnnxRuntime

    return OnnxRuntime(path, threads=threads, device=device)


def _open_torch(path: Path, threads: int | None, device: str) -> Runtime:
    try:
        from e2pose.runtimes.torch import TorchRuntime
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "torch", "train") from error
    if threads is not None:
        raise OptionError(
            "the number of threads cannot be set for the torch runtime",
            "leave it out and set the environment variable OMP_NUM_THREADS, or use the model's .onnx file",
        )
    return TorchRuntime.open(path, device=device)


RUNTIMES: dict[str, tuple[str, Opener]] = {
    "onnxruntime": (".onnx", _open_onnxruntime),
    "torch": (".safetensors", _open_torch),
}
"""Each runtime, the suffix of its files and how to open one."""


def open_runtime(
    path: str | Path, *, runtime: str | None = None, threads: int | None = None, device: str = "cpu"
) -> Runtime:
    """Opens a model file with the runtime that its suffix asks for.

    Args:
        path: A file written by e2pose.
        runtime: A name of `RUNTIMES` to insist on, or None.
        threads: CPU threads for one batch; None for as many as there are usable cores.
        device: Where to run: "cpu" or "cuda". Never replaced by another one silently.

    Raises:
        ModelError: The file is missing, damaged or not a model of e2pose.
        RuntimeChoiceError: The runtime or the device is not available or does not fit the file.
        MissingExtraError: The runtime is not installed.
    """
    path = Path(path)
    if runtime is not None and runtime not in RUNTIMES:
        raise RuntimeChoiceError(f"there is no runtime '{runtime}'; there is: {', '.join(RUNTIMES)}")
    fitting = next((name for name, (suffix, _) in RUNTIMES.items() if path.suffix.lower() == suffix), None)
    if fitting is None:
        suffixes = " or ".join(suffix for suffix, _ in RUNTIMES.values())
        raise ModelError(
            f"a model file must end in {suffixes}, but '{path.name}' does not", "see: e2pose export --help"
        )
    if runtime not in (None, fitting):
        raise RuntimeChoiceError(
            f"the runtime '{runtime}' reads {RUNTIMES[runtime or ''][0]} files, not '{path.name}'",
            "export the model to that format, or leave the runtime out",
        )
    return RUNTIMES[fitting][1](path, threads, device)
