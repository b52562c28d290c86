"""OpenVINO: its own files and ONNX files, quickest on CPUs of Intel and AMD."""

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
from e2pose.core.spec import METADATA_KEY, PRECISION_KEY, ModelSpec
from e2pose.runtimes.base import INPUT, OUTPUTS, check_graph, format_threads, join_batches, split_batch
from e2pose.runtimes.cpu import has_vnni, usable_cores
from e2pose.runtimes.options import DEFAULT_OPTIONS, RuntimeOptions


class OpenVinoRuntime:
    """Runs an OpenVINO or ONNX file written by e2pose on the CPU.

    Args:
        path: An `.xml` file, with its `.bin` file beside it, or an `.onnx` file.
        options: Precision and threads. By itself OpenVINO would compute in bf16 wherever the CPU can, which moves
            keypoints; here it is f32 unless the file or the options say otherwise.

    Raises:
        ModelError: The file is missing, damaged or not a model of e2pose.
        RuntimeChoiceError: The device or the precision is not available.
    """

    def __init__(self, path: str | Path, options: RuntimeOptions = DEFAULT_OPTIONS) -> None:
        if options.device not in (None, "cpu"):
            raise RuntimeChoiceError(
                f"openvino cannot run on '{options.device}' here; it can on: cpu", "leave the device out"
            )
        model = _read(Path(path))
        metadata = _metadata(model)
        self.spec = ModelSpec.from_metadata(metadata, str(path)).with_input_size(options.input_size)
        inputs = {port.get_any_name(): _shape(port.get_partial_shape()) for port in model.inputs}
        outputs = {name for port in model.outputs for name in port.names}
        self._batch = check_graph(str(path), self.spec, inputs, outputs)
        made_for = metadata.get(PRECISION_KEY, "f32")
        quantised = made_for == "int8"
        if quantised and has_vnni() is False:
            warnings.warn(
                f"'{self.spec.name}' is in int8, whose sums overflow in openvino on x86 CPUs without VNNI, and this "
                "one is not known to have it: poses may be wrong; take onnxruntime, or a model in f32",
                AccuracyWarning,
                stacklevel=2,
            )
        asked = options.precision or ("f32" if quantised else made_for)
        threads = options.threads or usable_cores()
        self._compiled = openvino_core().compile_model(
            model,
            "CPU",
            {"INFERENCE_PRECISION_HINT": asked, "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"},
        )
        _check_precision(self._compiled, asked)
        self._request = self._compiled.create_infer_request()
        self._one_at_a_time = Lock()
        version = openvino.__version__.partition("-")[0]
        precision = f"int8 and {asked}" if quantised else asked
        self.description = f"openvino {version} on cpu in {precision}, {format_threads(threads)}"

    def __call__(self, pixels: UInt8[np.ndarray, "b 3 h w"]) -> Candidates:
        """Runs the network on a batch of canvases."""
        portions = []
        for portion in split_batch(pixels, self._batch):
            with self._one_at_a_time:
                answers = self._request.infer({INPUT: np.ascontiguousarray(portion)}, share_inputs=True)
                portions.append(Candidates(*(answers[name].copy() for name in OUTPUTS)))
        return join_batches(portions, len(pixels))


@cache
def openvino_core() -> openvino.Core:
    """OpenVINO's plugins, loaded once for the process.

    Its CPU plugin (2026.4) gives the thread that loads it a stack for signal handlers, and may leave the thread with a
    freed one when the plugin goes; the next Ctrl-C then ends the process with a segmentation fault.
    """
    return openvino.Core()


def _metadata(model: openvino.Model) -> dict[str, str]:
    """The text entries of a model, which OpenVINO keeps where those of an ONNX file are."""
    places = {key: rt_info_path(key) for key in (METADATA_KEY, PRECISION_KEY)}
    return {key: str(model.get_rt_info(place).value) for key, place in places.items() if model.has_rt_info(place)}


def rt_info_path(key: str) -> list[str]:
    """The path in a model's `rt_info` of a text entry."""
    return ["framework", key]


def _read(path: Path) -> openvino.Model:
    for needed in (path, path.with_suffix(".bin")) if path.suffix.lower() == ".xml" else (path,):
        if not needed.is_file():
            raise ModelError(f"there is no model file '{needed}'", "check the path; an .xml file needs its .bin file")
    try:
        return openvino_core().read_model(path)
    except RuntimeError as error:
        raise ModelError(
            f"'{path}' is not a model that openvino can run: {_last_line(error)}",
            "the file may be damaged or cut short; download or export it again",
        ) from error


def _check_precision(compiled: openvino.CompiledModel, asked: str) -> None:
    """Finds out whether OpenVINO quietly computes in something else."""
    used = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if used != asked:
        raise RuntimeChoiceError(
            f"openvino cannot compute in {asked} on this CPU: it would in {used}", f"ask for the precision {used}"
        )


def _shape(shape: openvino.PartialShape) -> tuple[int | None, ...]:
    return tuple(axis.get_length() if axis.is_static else None for axis in shape)


def _last_line(error: RuntimeError) -> str:
    """What is wrong, without the places in OpenVINO's source that its message begins with."""
    return str(error).strip().splitlines()[-1]
