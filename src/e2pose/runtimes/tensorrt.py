"""TensorRT on NVIDIA GPUs, from ONNX files or from engines written by `e2pose export`."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import onnxruntime
import tensorrt
from jaxtyping import UInt8

from e2pose.core.candidates import Candidates
from e2pose.core.errors import ModelError, RuntimeChoiceError
from e2pose.core.spec import ModelSpec
from e2pose.runtimes.base import INPUT, OUTPUTS, check_graph, join_batches
from e2pose.runtimes.engine import MAX_BATCH, cached_engine, fixed_input_size, load_plan, read_engine
from e2pose.runtimes.gpu import Gpu
from e2pose.runtimes.options import DEFAULT_OPTIONS, RuntimeOptions


class TensorRtRuntime:
    """Runs an engine, which is built for this GPU first, and kept, if the file is an ONNX file.

    Args:
        path: An `.onnx` or `.engine` file written by e2pose.
        options: Device and precision; f16 for ONNX files if not given, or f32 where TensorRT has no f16 of its own.

    Raises:
        ModelError: The file is missing, damaged or not a model of e2pose.
        RuntimeChoiceError: There is no such GPU, or the engine was built for another GPU, version or precision.
    """

    def __init__(self, path: str | Path, options: RuntimeOptions = DEFAULT_OPTIONS) -> None:
        path = Path(path)
        if options.device is not None and options.device_kind != "cuda":
            raise RuntimeChoiceError(
                f"tensorrt cannot run on '{options.device}'; it can on: cuda", "leave the device out"
            )
        self._gpu = Gpu(options.device_index)
        if path.suffix.lower() == ".onnx":
            spec = _onnx_spec(path).with_input_size(options.input_size)
            path = cached_engine(path, fixed_input_size(spec), self._gpu.name, options.precision or default_precision())
        header, plan = read_engine(path, self._gpu.name)
        if options.precision not in (None, header.precision):
            raise RuntimeChoiceError(
                f"the engine '{path.name}' computes in {header.precision}, not in {options.precision}",
                "leave the precision out, or use the model's .onnx file",
            )
        self.spec = ModelSpec.from_json(header.spec).with_input_size(options.input_size)
        self._engine = load_plan(plan, path.name)
        self._context = self._engine.create_execution_context()
        self._one_at_a_time = Lock()
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        shapes = {name: tuple(self._engine.get_tensor_shape(name)) for name in names}
        inputs = {INPUT: tuple(None if axis == -1 else axis for axis in shapes.pop(INPUT, ()))}
        self._fixed = check_graph(path.name, self.spec, inputs, set(shapes))
        self._most = self._fixed or MAX_BATCH
        self._shapes = {name: shapes[name][1:] for name in OUTPUTS}
        self.description = (
            f"tensorrt {tensorrt.__version__} on cuda:{options.device_index} ({self._gpu.name}) in {header.precision}"
        )

    def __call__(self, pixels: UInt8[np.ndarray, "b 3 h w"]) -> Candidates:
        """Runs the network on a batch of canvases."""
        with self._one_at_a_time:
            self._gpu.use()
            portions = [self._run(pixels[start : start + self._most]) for start in range(0, len(pixels), self._most)]
        return join_batches(portions, len(pixels))

    def _run(self, pixels: UInt8[np.ndarray, "b 3 h w"]) -> Candidates:
        batch = self._fixed or len(pixels)
        filled = np.zeros((batch, *pixels.shape[1:]), np.uint8)
        filled[: len(pixels)] = pixels
        outputs = {name: np.empty((batch, *shape), np.float32) for name, shape in self._shapes.items()}
        self._context.set_input_shape(INPUT, filled.shape)
        self._context.set_tensor_address(INPUT, self._gpu.upload(INPUT, filled))
        for name, array in outputs.items():
            self._context.set_tensor_address(name, self._gpu.room(name, array.nbytes))
        if not self._context.execute_async_v3(self._gpu.stream):
            raise ModelError(f"tensorrt failed to run '{self.spec.name}'", "check the GPU's free memory")
        for name, array in outputs.items():
            self._gpu.download(name, array)
        self._gpu.wait()
        return Candidates(*(outputs[name] for name in OUTPUTS))


def default_precision() -> Any:  # noqa: ANN401
    """What engines compute in unless asked otherwise."""
    return "f16" if hasattr(tensorrt.BuilderFlag, "FP16") else "f32"


def _onnx_spec(path: Path) -> ModelSpec:
    """The spec in an ONNX file."""
    if not path.is_file():
        raise ModelError(f"there is no model file '{path}'", "check the path")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no base class
        raise ModelError(f"'{path}' is not an ONNX model: {error}", "download or export it again") from error
    return ModelSpec.from_metadata(session.get_modelmeta().custom_metadata_map, str(path))
