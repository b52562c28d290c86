"""Selects the runtime for a model file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from e2pose.core.errors import MissingExtraError, ModelError, RuntimeChoiceError
from e2pose.runtimes.base import Runtime
from e2pose.runtimes.cpu import usable_cores
from e2pose.runtimes.options import DEFAULT_OPTIONS, RuntimeName, RuntimeOptions


class RuntimeKind(NamedTuple):
    """A runtime before it is imported."""

    suffixes: tuple[str, ...]  # of the files that it reads
    package: str  # that it needs
    extra: str | None  # of e2pose, which installs the package; None if e2pose always installs it
    max_parallel: int  # number of images that are worth running in parallel on a CPU


_MAX_PARALLEL = 8  # decoding, preprocessing and writing hardly keep up with more

RUNTIMES: dict[RuntimeName, RuntimeKind] = {
    "onnxruntime": RuntimeKind((".onnx",), "onnxruntime", None, _MAX_PARALLEL),
    "openvino": RuntimeKind((".xml", ".onnx"), "openvino", "openvino", 1),
    "tensorrt": RuntimeKind((".engine", ".onnx"), "tensorrt", "tensorrt", 1),
    "torch": RuntimeKind((".safetensors",), "torch", "train", 1),
}
"""All runtimes; the first one that reads a file is its default runtime."""


def open_runtime(path: str | Path, options: RuntimeOptions = DEFAULT_OPTIONS) -> Runtime:
    """Opens a model file with the runtime of the options, or the default runtime of its suffix.

    Args:
        path: A file written by e2pose.
        options: Runtime, device, precision, input size and threads, all as given: `allow_fallback` has no effect here,
            `Estimator.open` implements it.

    Raises:
        ModelError: The file is missing, damaged or not written by e2pose, or does not accept the input size.
        RuntimeChoiceError: The runtime, device or precision is not available or does not fit the file.
        MissingExtraError: The runtime is not installed.
    """
    path = Path(path)
    default = default_runtime(path)
    name = options.runtime or default
    kind = RUNTIMES[name]
    if path.suffix.lower() not in kind.suffixes:
        raise RuntimeChoiceError(
            f"the runtime '{name}' reads {' and '.join(kind.suffixes)} files, not '{path.name}'",
            "export the model to that format with e2pose export, or omit the runtime",
        )
    try:
        return _open(name, path, options)
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or kind.package, kind.extra or name) from error


def _open(name: RuntimeName, path: Path, options: RuntimeOptions) -> Runtime:
    match name:
        case "onnxruntime":
            from e2pose.runtimes.onnxruntime import OnnxRuntime

            return OnnxRuntime(path, options)
        case "openvino":
            from e2pose.runtimes.openvino import OpenVinoRuntime

            return OpenVinoRuntime(path, options)
        case "tensorrt":
            from e2pose.runtimes.tensorrt import TensorRtRuntime

            return TensorRtRuntime(path, options)
        case "torch":
            from e2pose.runtimes.torch import TorchRuntime

            return TorchRuntime.open(path, options)


def default_runtime(path: Path) -> RuntimeName:
    """Returns the runtime that opens a file if the options name none.

    Raises:
        ModelError: No runtime reads files with that suffix.
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
    accepted = sorted({suffix for kind in RUNTIMES.values() for suffix in kind.suffixes})
    raise ModelError(
        f"'{path.name}' is not a model file: supported suffixes are {', '.join(accepted)}",
        "export the model to one of these formats with: e2pose export",
    )


def share_threads(path: Path, options: RuntimeOptions, num_images: int | None) -> tuple[int, RuntimeOptions]:
    """Divides the CPU threads among parallel images for the highest throughput.

    The threads of a single run partly wait for each other, so several images in parallel are faster. `num_images` is
    the number of images to process; None if unknown.

    Returns:
        The number of images to run in parallel, each in a thread of the caller, and the options with the threads of one
        run: the caller's own thread and all threads that are left over, which every run shares.

    Raises:
        ModelError: No runtime reads the file.
    """
    threads = options.threads or usable_cores()
    kind = RUNTIMES[options.runtime or default_runtime(path)]
    num_parallel = min(threads, kind.max_parallel, threads if num_images is None else num_images)
    if num_parallel < 2 or options.device_kind != "cpu":
        return 1, options
    return num_parallel, replace(options, threads=threads - num_parallel + 1)
