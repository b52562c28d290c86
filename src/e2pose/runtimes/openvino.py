"""OpenVINO, for its own files and ONNX files; fastest on CPUs of Intel and AMD."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from threading import Lock

import numpy as np
import openvino
from jaxtyping import UInt8

from e2pose.core.candidates import Candidates
from e2pose.core.errors import AccuracyWarning, ModelError, RuntimeChoiceError
from e2pose.core.files import check_model_file
from e2pose.core.spec import METADATA_KEY, PRECISION_KEY, ModelSpec
from e2pose.runtimes.base import INPUT, OUTPUTS, check_graph, format_threads, join_batches, split_batch
from e2pose.runtimes.cpu import has_vnni, usable_cores
from e2pose.runtimes.options import DEFAULT_OPTIONS, RuntimeOptions


class OpenVinoRuntime:
    """Runs an OpenVINO or ONNX file written by e2pose on the CPU.

    Args:
        path: An `.xml` file with its `.bin` file beside it, or an `.onnx` file.
        options: Precision and threads. OpenVINO's own default is bf16 wherever the CPU supports it, which moves
            keypoints; here it is f32 unless the file or the options say otherwise.

    Raises:
        ModelError: The file is missing, damaged or not written by e2pose.
        RuntimeChoiceError: The device or the precision is not available.
    """

    def __init__(self, path: str | Path, options: RuntimeOptions = DEFAULT_OPTIONS) -> None:
        if options.device not in (None, "cpu"):
            raise RuntimeChoiceError(
                f"openvino cannot run on '{options.device}' here; available: cpu", "omit the device"
            )
        self._opened = Path(path).absolute(), options
        model = _read(Path(path))
        metadata = _read_metadata(model)
        self.spec = ModelSpec.from_metadata(metadata, str(path)).with_input_size(options.input_size)
        inputs = {port.get_any_name(): _axis_lengths(port.get_partial_shape()) for port in model.inputs}
        outputs = {name for port in model.outputs for name in port.names}
        self._batch = check_graph(str(path), self.spec, inputs, outputs)
        file_precision = metadata.get(PRECISION_KEY, "f32")
        is_int8 = file_precision == "int8"
        if is_int8 and has_vnni() is False:
            warnings.warn(
                f"'{self.spec.name}' is an int8 model, and no VNNI was detected on this CPU. On x86 CPUs without VNNI, "
                "int8 sums overflow in openvino, so that poses may be wrong. Use onnxruntime, or a model in f32",
                AccuracyWarning,
                stacklevel=2,
            )
        precision = options.precision or ("f32" if is_int8 else file_precision)
        threads = options.threads or usable_cores()
        self._compiled = openvino_core().compile_model(
            model,
            "CPU",
            {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"},
        )
        _check_precision(self._compiled, precision)
        self._request = self._compiled.create_infer_request()
        self._lock = Lock()
        version = openvino.__version__.partition("-")[0]
        precisions = f"int8 and {precision}" if is_int8 else precision
        self.description = f"openvino {version} on cpu in {precisions}, {format_threads(threads)}"

    def __reduce__(self) -> tuple[type[OpenVinoRuntime], tuple[Path, RuntimeOptions]]:
        return OpenVinoRuntime, self._opened  # a copy opens the same file again

    def __call__(self, pixels: UInt8[np.ndarray, "b 3 h w"]) -> Candidates:
        """Runs the network on a batch."""
        batches = []
        for batch in split_batch(pixels, self._batch):
            with self._lock:
                outputs = self._request.infer({INPUT: np.ascontiguousarray(batch)}, share_inputs=True)
                batches.append(Candidates(*(outputs[name] for name in OUTPUTS)))
        return join_batches(batches, len(pixels))


@cache
def openvino_core() -> openvino.Core:
    """Returns OpenVINO's core, which is created once per process and never freed.

    Its CPU plugin (2026.4) gives the thread that loads it a stack for signal handlers. When the plugin is freed, the
    thread may keep the freed stack, and the next Ctrl-C ends the process with a segmentation fault.
    """
    return openvino.Core()


def _read_metadata(model: openvino.Model) -> dict[str, str]:
    """Returns the metadata of a model, which OpenVINO also reads from ONNX files."""
    paths = {key: rt_info_path(key) for key in (METADATA_KEY, PRECISION_KEY)}
    return {key: str(model.get_rt_info(path).value) for key, path in paths.items() if model.has_rt_info(path)}


def rt_info_path(key: str) -> list[str]:
    """Returns the path of a metadata entry in a model's `rt_info`."""
    return ["framework", key]


def _read(path: Path) -> openvino.Model:
    check_model_file(path)
    weights = path.with_suffix(".bin")
    if path.suffix.lower() == ".xml" and not weights.is_file():
        raise ModelError(
            f"'{path}' is incomplete: its weights '{weights.name}' are not beside it",
            f"copy '{weights.name}' into the same folder, or export the model again",
        )
    try:
        return openvino_core().read_model(path)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]  # the other lines are positions in OpenVINO's source code
        raise ModelError(
            f"openvino cannot load '{path}': {reason}",
            "check that the file is complete; download or export it again",
        ) from error


def _check_precision(compiled: openvino.CompiledModel, precision: str) -> None:
    """Raises an error if OpenVINO silently uses another precision."""
    used = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if used != precision:
        raise RuntimeChoiceError(
            f"openvino cannot run in {precision} on this CPU; it would run in {used}", f"use the precision {used}"
        )


def _axis_lengths(shape: openvino.PartialShape) -> tuple[int | None, ...]:
    return tuple(axis.get_length() if axis.is_static else None for axis in shape)
