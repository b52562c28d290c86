"""TensorRT engines on disk: built from ONNX files, and only good for the GPU and the version that built them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
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
"""The most canvases that an engine from a graph of any batch takes at once."""

_MAGIC = b"e2pose engine 1\n"
_FLAGS: dict[Precision, str] = {"f16": "FP16", "bf16": "BF16"}


@dataclass(frozen=True)
class EngineHeader:
    """What is known of an engine before it is loaded.

    Args:
        spec: The model's spec, as JSON.
        tensorrt: The version of TensorRT that built it.
        gpu: The kind of GPU that it was built on.
        precision: What it computes in.
    """

    spec: str
    tensorrt: str
    gpu: str
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
    """Reads an engine that fits the GPU and the installed version.

    Raises:
        ModelError: The file is missing, damaged or not written by e2pose.
        RuntimeChoiceError: It was built for another GPU or by another version.
    """
    header, plan = _parse(path)
    for what, built, here in (("by TensorRT", header.tensorrt, tensorrt.__version__), ("on", header.gpu, gpu)):
        if built != here:
            raise RuntimeChoiceError(
                f"the engine '{path.name}' was built {what} {built}, and cannot be used {what} {here}",
                "use the model's .onnx file with the runtime tensorrt: the engine that fits is built and kept",
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
            f"'{path}' is missing or no engine written by e2pose: {error}",
            "check the path, or write one with: e2pose export --to tensorrt",
        ) from error


def cached_engine(onnx: Path, spec: ModelSpec, gpu: str, precision: Precision) -> Path:
    """The engine of an ONNX file for this GPU, version and precision; built, which takes minutes, if there is none.

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


def fixed_input_size(spec: ModelSpec) -> ModelSpec:
    """How an engine of a model is used: its canvas is never shortened, as it is built for one size."""
    return replace(spec, multiple_of=None)


def build_plan(onnx: bytes, precision: Precision, name: str, input_size_hw: tuple[int, int]) -> bytes:
    """Builds an engine for one size of canvas from the content of an ONNX file.

    Raises:
        ModelError: TensorRT cannot build it.
        RuntimeChoiceError: The precision is not available.
    """
    logger = _Logger()
    builder = tensorrt.Builder(logger)
    network = builder.create_network(_network_flags())
    parser = tensorrt.OnnxParser(network, logger)
    if not parser.parse(onnx):
        reasons = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
        raise ModelError(f"TensorRT {tensorrt.__version__} cannot read '{name}': {reasons}", "use a newer TensorRT")
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
            f"TensorRT {tensorrt.__version__} cannot build '{name}': {logger.last}",
            "check that the GPU has enough free memory",
        )
    return bytes(plan)


def _network_flags() -> int:
    """Older versions must be told that the batch is an axis like all others; newer ones know nothing else."""
    flag = getattr(tensorrt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)
    return 0 if flag is None else 1 << int(flag)


def _set_precision(config: Any, precision: Precision) -> None:  # noqa: ANN401 - TensorRT has no types
    flags = tensorrt.BuilderFlag
    if precision != "f32":
        if not hasattr(flags, _FLAGS[precision]):
            raise RuntimeChoiceError(
                f"TensorRT {tensorrt.__version__} computes as the graph says, which is in f32, not in {precision}",
                "ask for the precision f32, or use TensorRT 10 or older",
            )
        config.set_flag(getattr(flags, _FLAGS[precision]))
    elif hasattr(flags, "TF32"):
        config.clear_flag(flags.TF32)  # which is on by itself, and has three digits


class _Logger(tensorrt.ILogger):  # type: ignore[misc] # TensorRT has no types
    """Keeps TensorRT's last error instead of printing everything."""

    def __init__(self) -> None:
        super().__init__()
        self.last = ""

    def log(self, severity: Any, message: str) -> None:  # noqa: ANN401
        """Is called by TensorRT."""
        if severity in (tensorrt.ILogger.Severity.ERROR, tensorrt.ILogger.Severity.INTERNAL_ERROR):
            self.last = message


def load_plan(plan: bytes, name: str) -> Any:  # noqa: ANN401
    """The engine in memory.

    Raises:
        ModelError: It is damaged.
    """
    logger = _Logger()
    engine = tensorrt.Runtime(logger).deserialize_cuda_engine(plan)
    if engine is None:
        raise ModelError(f"the engine '{name}' cannot be loaded: {logger.last}", "build it again")
    return engine
