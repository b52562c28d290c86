"""TensorRT on NVIDIA GPUs, for ONNX files and for engines written by `e2pose export`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Lock

import numpy as np
import onnxruntime
import tensorrt
from jaxtyping import UInt8

from e2pose.core.candidates import Candidates
from e2pose.core.errors import ModelError, RuntimeChoiceError
from e2pose.core.files import check_model_file
from e2pose.core.spec import ModelSpec
from e2pose.runtimes.base import INPUT, OUTPUTS, check_graph, join_batches
from e2pose.runtimes.engine import MAX_BATCH, cached_engine, load_plan, read_engine
from e2pose.runtimes.gpu import Gpu
from e2pose.runtimes.options import DEFAULT_OPTIONS, Precision, RuntimeOptions


class TensorRtRuntime:
    """Runs an engine; for an ONNX file, an engine for this GPU is built first and cached.

    Args:
        path: An `.onnx` or `.engine` file written by e2pose.
        options: Device and precision; the default precision of ONNX files is f16, or f32 where TensorRT cannot choose
            f16 itself.

    Raises:
        ModelError: The file is missing, damaged or not written by e2pose.
        RuntimeChoiceError: There is no such GPU, or the engine was built for another GPU, version or precision.
    """

    def __init__(self, path: str | Path, options: RuntimeOptions = DEFAULT_OPTIONS) -> None:
        path = Path(path)
        self._opened = path.absolute(), options
        if options.device is not None and options.device_kind != "cuda":
            raise RuntimeChoiceError(f"tensorrt cannot run on '{options.device}'; available: cuda", "omit the device")
        self._gpu = Gpu(options.device_index)
        if path.suffix.lower() == ".onnx":
            spec = _read_onnx_spec(path).with_input_size(options.input_size)
            spec = replace(spec, multiple_of=None)  # an engine is built for a single input size
            path = cached_engine(path, spec, self._gpu.name, options.precision or default_precision())
        header, plan = read_engine(path, self._gpu.name)
        if options.precision not in (None, header.precision):
            raise RuntimeChoiceError(
                f"the engine '{path.name}' runs in {header.precision}, not in {options.precision}",
                "omit the precision, or use the model's .onnx file",
            )
        self.spec = ModelSpec.from_json(header.spec).with_input_size(options.input_size)
        self._engine = load_plan(plan, path.name)
        self._context = self._engine.create_execution_context()
        self._lock = Lock()
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        shapes = {name: tuple(self._engine.get_tensor_shape(name)) for name in names}
        inputs = {INPUT: tuple(None if axis == -1 else axis for axis in shapes.pop(INPUT, ()))}
        self._fixed_batch = check_graph(path.name, self.spec, inputs, set(shapes))
        self._max_batch = self._fixed_batch or MAX_BATCH
        self._shapes = {name: shapes[name][1:] for name in OUTPUTS}
        self.description = (
            f"tensorrt {tensorrt.__version__} on cuda:{options.device_index} ({self._gpu.name}) in {header.precision}"
        )

    def __reduce__(self) -> tuple[type[TensorRtRuntime], tuple[Path, RuntimeOptions]]:
        return TensorRtRuntime, self._opened  # a copy opens the same file again

    def __call__(self, pixels: UInt8[np.ndarray, "b 3 h w"]) -> Candidates:
        """Runs the network on a batch."""
        with self._lock:
            self._gpu.use()
            starts = range(0, len(pixels), self._max_batch)
            batches = [self._run(pixels[start : start + self._max_batch]) for start in starts]
        return join_batches(batches, len(pixels))

    def _run(self, pixels: UInt8[np.ndarray, "b 3 h w"]) -> Candidates:
        batch = self._fixed_batch or len(pixels)
        padded = np.zeros((batch, *pixels.shape[1:]), np.uint8)
        padded[: len(pixels)] = pixels
        outputs = {name: np.empty((batch, *shape), np.float32) for name, shape in self._shapes.items()}
        self._context.set_input_shape(INPUT, padded.shape)
        self._context.set_tensor_address(INPUT, self._gpu.upload(INPUT, padded))
        for name, array in outputs.items():
            self._context.set_tensor_address(name, self._gpu.buffer(name, array.nbytes))
        if not self._context.execute_async_v3(self._gpu.stream):
            raise ModelError(f"tensorrt failed to run '{self.spec.name}'", "check the free memory of the GPU")
        for name, array in outputs.items():
            self._gpu.download(name, array)
        self._gpu.wait()
        return Candidates(*(outputs[name] for name in OUTPUTS))


def default_precision() -> Precision:
    """Returns the default precision of engines."""
    return "f16" if hasattr(tensorrt.BuilderFlag, "FP16") else "f32"


def _read_onnx_spec(path: Path) -> ModelSpec:
    """Reads the spec from an ONNX file."""
    check_model_file(path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no base class
        raise ModelError(f"'{path}' is not an ONNX model: {error}", "download or export it again") from error
    return ModelSpec.from_metadata(session.get_modelmeta().custom_metadata_map, str(path))
