"""ONNX files on ONNX Runtime, the default runtime."""

from __future__ import annotations

from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from jaxtyping import UInt8

from e2pose.core.candidates import Candidates
from e2pose.core.errors import ModelError, RuntimeChoiceError
from e2pose.core.spec import PRECISION_KEY, ModelSpec
from e2pose.runtimes.base import INPUT, OUTPUTS, check_graph, format_threads, join_batches, split_batch
from e2pose.runtimes.cpu import has_vnni, usable_cores
from e2pose.runtimes.options import DEFAULT_OPTIONS, RuntimeOptions

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
"""The devices that can be asked for, and ONNX Runtime's names for them."""

_FATAL = 4  # the log level at which ONNX Runtime keeps to itself what it also raises


class OnnxRuntime:
    """Runs an ONNX file written by e2pose.

    Args:
        path: The file.
        options: Device and threads; the file decides about the precision. Nothing else is used instead of what is
            asked for.

    Raises:
        ModelError: The file is missing, damaged or not a model of e2pose.
        RuntimeChoiceError: The device or the precision is not available.
    """

    def __init__(self, path: str | Path, options: RuntimeOptions = DEFAULT_OPTIONS) -> None:
        threads = options.threads or usable_cores()
        self._session = _open_session(Path(path), threads, options)
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.spec = ModelSpec.from_metadata(metadata, str(path)).with_input_size(options.input_size)
        inputs = {value.name: tuple(value.shape) for value in self._session.get_inputs()}
        outputs = {value.name for value in self._session.get_outputs()}
        self._batch = check_graph(str(path), self.spec, inputs, outputs)
        precision = metadata.get(PRECISION_KEY, "f32")
        if options.precision not in (None, precision):
            raise RuntimeChoiceError(
                f"onnxruntime computes as the file says, which is in {precision}, not in {options.precision}",
                "leave the precision out, or export the model in another one",
            )
        self.description = f"onnxruntime {onnxruntime.__version__} on {options.device or 'cpu'} in {precision}" + (
            f", {format_threads(threads)}" if options.device_kind == "cpu" else ""
        )

    def __call__(self, pixels: UInt8[np.ndarray, "b 3 h w"]) -> Candidates:
        """Runs the network on a batch of canvases."""
        portions = [
            Candidates(*self._session.run(OUTPUTS, {INPUT: portion})) for portion in split_batch(pixels, self._batch)
        ]
        return join_batches(portions, len(pixels))


def _provider(options: RuntimeOptions) -> tuple[str, dict[str, Any]]:
    """The execution provider for a device that is there, and its options."""
    available = {name for name, provider in PROVIDERS.items() if provider in onnxruntime.get_available_providers()}
    device = options.device_kind
    if device not in available:
        raise RuntimeChoiceError(
            f"onnxruntime cannot run on '{options.device}' here; it can on: {', '.join(sorted(available))}",
            "for an NVIDIA GPU: pip uninstall onnxruntime, then pip install 'onnxruntime-gpu[cuda,cudnn]'"
            if device == "cuda"
            else "leave the device out",
        )
    return PROVIDERS[device], {"device_id": options.device_index} if device == "cuda" else {}


def _open_session(path: Path, threads: int, options: RuntimeOptions) -> onnxruntime.InferenceSession:
    provider, settings = _provider(options)
    if provider == PROVIDERS["cuda"]:
        onnxruntime.set_default_logger_severity(_FATAL)
        with redirect_stdout(None):  # it prints what it does not find, and what matters is what is used in the end
            onnxruntime.preload_dlls()  # the CUDA of Python packages, if there is one
    session_options = onnxruntime.SessionOptions()
    session_options.log_severity_level = _FATAL
    session_options.intra_op_num_threads = threads
    # Threads that spin while they wait for each other are a tenth faster; between two runs they would take the cores
    # from whoever decodes and draws.
    session_options.add_session_config_entry("session.force_spinning_stop", "1")
    if has_vnni() is False:  # with unsigned weights, into which it turns them then, sums have thirty-two bits
        session_options.add_session_config_entry("session.x64quantprecision", "1")
    if not path.is_file():
        raise ModelError(f"there is no model file '{path}'", "check the path")
    try:
        session = onnxruntime.InferenceSession(path, session_options, providers=[(provider, settings)])
    except Exception as error:  # its exceptions share no base class
        raise ModelError(
            f"'{path}' is not a model that onnxruntime can run: {error}",
            "the file may be damaged or cut short; download or export it again",
        ) from error
    used = session.get_providers()[0]
    if used != provider:
        raise RuntimeChoiceError(
            f"onnxruntime has {provider}, but it cannot be used here: the session would run on {used}",
            "check the GPU's driver; for CUDA and cuDNN: pip install 'onnxruntime-gpu[cuda,cudnn]'; or ask for 'cpu'",
        )
    return session
