"""TensorRT engine files: built from ONNX files, valid only for the GPU and the TensorRT version that built them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tensorrt

from e2pose.core.errors import ModelError, RuntimeChoiceError
from e2pose.core.files import atomic_path
from e2pose.core.spec import ModelSpec
from e2pose.runtimes.base import INPUT
from e2pose.runtimes.options import Precision
from e2pose.zoo.cache import cache_folder

MAX_BATCH = 8
"""Maximum batch size of an engine that is built from a graph with a dynamic batch."""

_MAGIC = b"e2pose engine 1\n"
_FLAGS: dict[Precision, str] = {"f16": "FP16", "bf16": "BF16"}


@dataclass(frozen=True)
class EngineHeader:
    """The header of an engine file, readable without TensorRT."""

    spec: str  # JSON
    tensorrt: str  # version that built the engine
    gpu: str  # `Gpu.name` of the GPU that it was built on
    precision: Precision


def write_engine(path: str | Path, header: EngineHeader, plan: bytes) -> None:
    """Writes an engine with its header.

    Raises:
        OutputError: The file cannot be written.
    """
    description = json.dumps(asdict(header)).encode()
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"".join([_MAGIC, len(description).to_bytes(8, "big"), description, plan]))


def read_engine(path: Path, gpu: str) -> tuple[EngineHeader, bytes]:
    """Reads an engine file, and checks that it fits the GPU and the installed TensorRT version.

    Raises:
        ModelError: The file is missing, damaged or not written by e2pose.
        RuntimeChoiceError: The engine was built for another GPU or by another version.
    """
    header, plan = _parse(path)
    for what, built, here in (("by TensorRT", header.tensorrt, tensorrt.__version__), ("on", header.gpu, gpu)):
        if built != here:
            raise RuntimeChoiceError(
                f"the engine '{path.name}' was built {what} {built} and cannot be used {what} {here}",
                "use the model's .onnx file with the runtime tensorrt, which builds and caches a matching engine",
            )
    return header, plan


def _parse(path: Path) -> tuple[EngineHeader, bytes]:
    try:
        magic, rest = (content := path.read_bytes())[: len(_MAGIC)], content[len(_MAGIC) :]
        end = 8 + int.from_bytes(rest[:8], "big")
        record = json.loads(rest[8:end]) if magic == _MAGIC else {}
        return EngineHeader(**record), rest[end:]
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(
            f"'{path}' does not exist or is not an engine written by e2pose: {error}",
            "check the path, or write an engine with: e2pose export --to tensorrt",
        ) from error


def cached_engine(onnx: Path, spec: ModelSpec, gpu: str, precision: Precision) -> Path:
    """Returns the engine of an ONNX file for this GPU, TensorRT version and precision.

    Builds the engine if it is not in the cache, which takes minutes.

    Raises:
        ModelError: TensorRT cannot build it.
        RuntimeChoiceError: The precision is not available.
        OutputError: The cache folder cannot be written.
    """
    content = onnx.read_bytes()
    text = spec.to_json()
    key = "\n".join([hashlib.sha256(content).hexdigest(), text, gpu, tensorrt.__version__, precision, str(MAX_BATCH)])
    name = f"{onnx.stem}-{precision}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.engine"
    path = cache_folder("engines") / name
    if not path.is_file():
        header = EngineHeader(text, tensorrt.__version__, gpu, precision)
        write_engine(path, header, build_plan(content, precision, onnx.name, spec.input_size_hw))
    return path


def build_plan(onnx: bytes, precision: Precision, name: str, input_size_hw: tuple[int, int]) -> bytes:
    """Builds a serialised engine for one input size from the content of the ONNX file `name`.

    Raises:
        ModelError: TensorRT cannot build it.
        RuntimeChoiceError: The precision is not available.
    """
    logger = _Logger()
    builder = tensorrt.Builder(logger)
    # Older versions need a flag for an explicit batch axis, newer ones no longer have it.
    flag = getattr(tensorrt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)
    network = builder.create_network(0 if flag is None else 1 << int(flag))
    parser = tensorrt.OnnxParser(network, logger)
    if not parser.parse(onnx):
        reasons = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
        raise ModelError(
            f"TensorRT {tensorrt.__version__} cannot read '{name}': {reasons}", "install a newer version of TensorRT"
        )
    config = builder.create_builder_config()
    _set_precision(config, precision)
    pixels = next(network.get_input(index) for index in range(network.num_inputs))
    pixels.shape = (*tuple(pixels.shape)[:2], *input_size_hw)
    if pixels.shape[0] == -1:
        profile = builder.create_optimization_profile()
        profile.set_shape(INPUT, *((batch, *tuple(pixels.shape)[1:]) for batch in (1, 1, MAX_BATCH)))
        config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ModelError(
            f"TensorRT {tensorrt.__version__} cannot build '{name}': {logger.last_error}",
            "check the free memory of the GPU",
        )
    return bytes(plan)


def _set_precision(config: Any, precision: Precision) -> None:  # noqa: ANN401 - TensorRT has no types
    flags = tensorrt.BuilderFlag
    if precision != "f32":
        if not hasattr(flags, _FLAGS[precision]):
            raise RuntimeChoiceError(
                f"TensorRT {tensorrt.__version__} runs in the precision of the graph, f32, not in {precision}",
                "use the precision f32, or TensorRT 10 or older",
            )
        config.set_flag(getattr(flags, _FLAGS[precision]))
    elif hasattr(flags, "TF32"):
        config.clear_flag(flags.TF32)  # on by default, with a precision of three digits


class _Logger(tensorrt.ILogger):  # type: ignore[misc] # TensorRT has no types
    """Stores TensorRT's last error instead of printing all messages."""

    def __init__(self) -> None:
        super().__init__()
        self.last_error = ""

    def log(self, severity: Any, message: str) -> None:  # noqa: ANN401
        """Called by TensorRT."""
        if severity in (tensorrt.ILogger.Severity.ERROR, tensorrt.ILogger.Severity.INTERNAL_ERROR):
            self.last_error = message


def load_plan(plan: bytes, name: str) -> Any:  # noqa: ANN401
    """Loads a serialised engine.

    Raises:
        ModelError: It is damaged.
    """
    logger = _Logger()
    engine = tensorrt.Runtime(logger).deserialize_cuda_engine(plan)
    if engine is None:
        raise ModelError(f"the engine '{name}' cannot be loaded: {logger.last_error}", "build the engine again")
    return engine
