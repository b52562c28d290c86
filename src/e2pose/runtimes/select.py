"""Which runtime opens which file."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from e2pose.core.errors import FallbackWarning, MissingExtraError, ModelError, RuntimeChoiceError
from e2pose.runtimes.base import Runtime
from e2pose.runtimes.cpu import usable_cores
from e2pose.runtimes.options import DEFAULT_OPTIONS, RuntimeName, RuntimeOptions
from e2pose.zoo.catalogue import find_model, input_size_of


class RuntimeKind(NamedTuple):
    """A runtime before it is imported.

    Args:
        suffixes: Of the files that it reads.
        package: What it needs installed.
        extra: The extra of e2pose that brings the package; None if it comes with e2pose.
        max_parallel: How many pictures it can usefully run at the same time on a CPU.
        open: Opens a file.
    """

    suffixes: tuple[str, ...]
    package: str
    extra: str | None
    max_parallel: int
    open: Callable[[Path, RuntimeOptions], Runtime]


def _open_onnxruntime(path: Path, options: RuntimeOptions) -> Runtime:
    from e2pose.runtimes.onnxruntime import OnnxRuntime

    return OnnxRuntime(path, options)


def _open_openvino(path: Path, options: RuntimeOptions) -> Runtime:
    from e2pose.runtimes.openvino import OpenVinoRuntime

    return OpenVinoRuntime(path, options)


def _open_tensorrt(path: Path, options: RuntimeOptions) -> Runtime:
    from e2pose.runtimes.tensorrt import TensorRtRuntime

    return TensorRtRuntime(path, options)


def _open_torch(path: Path, options: RuntimeOptions) -> Runtime:
    from e2pose.runtimes.torch import TorchRuntime

    return TorchRuntime.open(path, options)


_MAX_PARALLEL = 8  # whoever reads, prepares and writes can hardly keep up with more

RUNTIMES: dict[RuntimeName, RuntimeKind] = {
    "onnxruntime": RuntimeKind((".onnx",), "onnxruntime", None, _MAX_PARALLEL, _open_onnxruntime),
    "openvino": RuntimeKind((".xml", ".onnx"), "openvino", "openvino", 1, _open_openvino),
    "tensorrt": RuntimeKind((".engine", ".onnx"), "tensorrt", "tensorrt", 1, _open_tensorrt),
    "torch": RuntimeKind((".safetensors",), "torch", "train", 1, _open_torch),
}
"""Each runtime; the first one that reads a file opens it unless another one is asked for."""


def open_runtime(model: str | Path, options: RuntimeOptions = DEFAULT_OPTIONS) -> Runtime:
    """Opens a model with the runtime that its suffix or the options ask for.

    Args:
        model: A file written by e2pose, or a name from the catalogue, of whose files the runtime's is taken.
        options: Runtime, device, precision, input_size and threads. Never replaced silently; with `allow_fallback` what is
            not available is replaced with a `FallbackWarning`.

    Raises:
        ModelError: There is no such model, its file is missing, damaged or not of e2pose, or it does not take such a
            input_size.
        RuntimeChoiceError: The runtime, device or precision is not available or does not fit the file.
        MissingExtraError: The runtime is not installed.
    """
    try:
        return _open(model, options)
    except (RuntimeChoiceError, MissingExtraError) as error:
        modest = RuntimeOptions(input_size=options.input_size, threads=options.threads)
        if not options.allow_fallback or options == modest:
            raise
        runtime = _open(model, modest)
        warnings.warn(f"{error.message}; using {runtime.description} instead", FallbackWarning, stacklevel=2)
        return runtime


def divided(model: str | Path, options: RuntimeOptions, pictures: int | None = None) -> tuple[int, RuntimeOptions]:
    """How to get the most pictures per second: several at once, because the threads of one wait for each other.

    Args:
        model: What will be opened.
        options: How, with all threads.
        pictures: How many there are; None if that is not known.

    Returns:
        How many pictures to run at the same time, each by a caller's thread, and the options with the other threads,
        which help all of them, and one caller's.

    Raises:
        ModelError: There is no such model, or no runtime reads its file.
    """
    threads = options.threads or usable_cores()
    most = threads if pictures is None else min(threads, pictures)
    if most < 2 or options.device_kind != "cpu":
        return 1, options
    path, name = _file_and_runtime(model, options)
    num_parallel = min(most, RUNTIMES[name].max_parallel)
    if num_parallel < 2 or path.suffix.lower() not in RUNTIMES[name].suffixes:
        return 1, options
    return num_parallel, replace(options, threads=threads - num_parallel + 1)


def default_runtime(path: Path) -> RuntimeName:
    """The runtime that opens a file unless another one is asked for.

    Raises:
        ModelError: None reads such files.
    """
    suffix = path.suffix.lower()
    if suffix == ".pb":
        raise ModelError(
            f"'{path.name}' is a TensorFlow graph, which no runtime reads",
            f"convert it first: e2pose convert {path.name} model.onnx",
        )
    for name, kind in RUNTIMES.items():
        if suffix in kind.suffixes:
            return name
    known = sorted({suffix for kind in RUNTIMES.values() for suffix in kind.suffixes})
    raise ModelError(
        f"a model file must end in {' or '.join(known)}, but '{path.name}' does not", "see: e2pose export --help"
    )


def _file_and_runtime(model: str | Path, options: RuntimeOptions) -> tuple[Path, RuntimeName]:
    """The file of a model, which some runtime reads, and the runtime that was asked for, or else fits."""
    path = find_model(model, RUNTIMES[options.runtime or "onnxruntime"].suffixes)
    fitting = default_runtime(path)
    return path, options.runtime or fitting


def _open(model: str | Path, options: RuntimeOptions) -> Runtime:
    path, name = _file_and_runtime(model, options)
    kind = RUNTIMES[name]
    if path.suffix.lower() not in kind.suffixes:
        raise RuntimeChoiceError(
            f"the runtime '{name}' reads {' and '.join(kind.suffixes)} files, not '{path.name}'",
            "export the model to that format, or leave the runtime out",
        )
    input_size = options.input_size or input_size_of(model)
    try:
        return kind.open(path, replace(options, input_size=input_size))
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or kind.package, kind.extra or name) from error
