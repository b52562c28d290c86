"""ONNX Runtime, the default runtime, for ONNX files."""

from __future__ import annotations

from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from jaxtyping import UInt8

from e2pose.core.candidates import Candidates
from e2pose.core.errors import ModelError, RuntimeChoiceError
from e2pose.core.files import check_model_file
from e2pose.core.spec import PRECISION_KEY, ModelSpec
from e2pose.runtimes.base import INPUT, OUTPUTS, check_graph, format_threads, join_batches, split_batch
from e2pose.runtimes.cpu import has_vnni, usable_cores
from e2pose.runtimes.options import DEFAULT_OPTIONS, RuntimeOptions

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
"""The supported devices, and the names of their execution providers."""

_FATAL = 4  # the log level that silences messages of errors which are raised as well


class OnnxRuntime:
    """Runs an ONNX file written by e2pose.

    Args:
        path: The file.
        options: Device and threads; the file determines the precision. An unavailable device is an error.

    Raises:
        ModelError: The file is missing, damaged or not written by e2pose.
        RuntimeChoiceError: The device or the precision is not available.
    """

    def __init__(self, path: str | Path, options: RuntimeOptions = DEFAULT_OPTIONS) -> None:
        self._opened = Path(path).absolute(), options
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
                f"onnxruntime runs '{path}' in the precision of the file, {precision}, not in {options.precision}",
                "omit the precision, or export the model in another precision",
            )
        self.description = f"onnxruntime {onnxruntime.__version__} on {options.device or 'cpu'} in {precision}" + (
            f", {format_threads(threads)}" if options.device_kind == "cpu" else ""
        )

    def __reduce__(self) -> tuple[type[OnnxRuntime], tuple[Path, RuntimeOptions]]:
        return OnnxRuntime, self._opened  # a copy opens the same file again

    def __call__(self, pixels: UInt8[np.ndarray, "b 3 h w"]) -> Candidates:
        """Runs the network on a batch."""
        batches = [
            Candidates(*self._session.run(OUTPUTS, {INPUT: batch})) for batch in split_batch(pixels, self._batch)
        ]
        return join_batches(batches, len(pixels))


def _select_provider(options: RuntimeOptions) -> tuple[str, dict[str, Any]]:
    """Returns the execution provider for the device, and its options."""
    available = {name for name, provider in PROVIDERS.items() if provider in onnxruntime.get_available_providers()}
    device = options.device_kind
    if device not in available:
        raise RuntimeChoiceError(
            f"onnxruntime cannot run on '{options.device}' here; available: {', '.join(sorted(available))}",
            "for an NVIDIA GPU: pip uninstall onnxruntime, then pip install 'onnxruntime-gpu[cuda,cudnn]'"
            if device == "cuda"
            else "omit the device",
        )
    return PROVIDERS[device], {"device_id": options.device_index} if device == "cuda" else {}


def _open_session(path: Path, threads: int, options: RuntimeOptions) -> onnxruntime.InferenceSession:
    provider, settings = _select_provider(options)
    if provider == PROVIDERS["cuda"]:
        onnxruntime.set_default_logger_severity(_FATAL)
        with redirect_stdout(None):  # it prints libraries that it does not find; the provider in use is checked below
            onnxruntime.preload_dlls()  # CUDA from Python packages, if installed
    session_options = onnxruntime.SessionOptions()
    session_options.log_severity_level = _FATAL
    session_options.intra_op_num_threads = threads
    # Threads that spin while waiting for each other are a tenth faster. Between two runs they must not spin, because
    # that would take the cores away from decoding and drawing.
    session_options.add_session_config_entry("session.force_spinning_stop", "1")
    if has_vnni() is False:  # converts int8 weights to unsigned ones, whose products accumulate in 32 bits
        session_options.add_session_config_entry("session.x64quantprecision", "1")
    check_model_file(path)
    try:
        session = onnxruntime.InferenceSession(path, session_options, providers=[(provider, settings)])
    except Exception as error:  # its exceptions share no base class
        raise ModelError(
            f"onnxruntime cannot load '{path}': {error}",
            "check that the file is complete; download or export it again",
        ) from error
    used = session.get_providers()[0]
    if used != provider:
        raise RuntimeChoiceError(
            f"onnxruntime provides {provider}, but the session would run on {used}",
            "check the GPU driver; install CUDA and cuDNN with: pip install 'onnxruntime-gpu[cuda,cudnn]'; or use the "
            "device cpu",
        )
    return session
