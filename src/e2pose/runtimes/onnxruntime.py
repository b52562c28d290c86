"""ONNX files on ONNX Runtime, the default runtime."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnxruntime
from jaxtyping import UInt8

from e2pose.core.candidates import Candidates
from e2pose.core.errors import ModelError, OptionError, RuntimeChoiceError
from e2pose.core.spec import ModelSpec

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
"""The devices that can be asked for, and ONNX Runtime's names for them."""

_INPUT = "pixels"
_OUTPUTS = ("scores", "keypoint_scores", "keypoints")
_MOST_THREADS = 1024  # more than any machine needs; each one is really started
_FATAL = 4  # the log level at which ONNX Runtime keeps to itself what it also raises


class OnnxRuntime:
    """Runs an ONNX file written by e2pose.

    Args:
        path: The file.
        threads: CPU threads for one batch; None for as many as there are cores that this process may use.
        device: "cpu" or "cuda". Nothing else is used instead if it is not available.

    Raises:
        ModelError: The file is missing, damaged or not a model of e2pose.
        RuntimeChoiceError: The device is not available.
        OptionError: The number of threads is out of range.
    """

    def __init__(self, path: str | Path, *, threads: int | None = None, device: str = "cpu") -> None:
        threads = _usable_cores() if threads is None else threads
        if not 1 <= threads <= _MOST_THREADS:
            raise OptionError(
                f"the number of threads must lie between 1 and {_MOST_THREADS}, not {threads}",
                "leave it out to use every core that this process may use",
            )
        self._session = _open_session(Path(path), threads, _provider(device))
        self.spec = _read_spec(self._session, str(path))
        self.description = f"onnxruntime {onnxruntime.__version__} on {device}" + (
            f", {threads} thread{'s' if threads > 1 else ''}" if device == "cpu" else ""
        )

    def __call__(self, pixels: UInt8[np.ndarray, "b 3 h w"]) -> Candidates:
        """Runs the network on a batch of canvases."""
        scores, keypoint_scores, keypoints = self._session.run(_OUTPUTS, {_INPUT: pixels})
        return Candidates(scores, keypoint_scores, keypoints)


def _provider(device: str) -> str:
    """The name of the execution provider for a device that is there."""
    available = {name for name, provider in PROVIDERS.items() if provider in onnxruntime.get_available_providers()}
    if device not in available:
        raise RuntimeChoiceError(
            f"onnxruntime cannot run on '{device}' here; it can on: {', '.join(sorted(available))}",
            "install onnxruntime-gpu in place of onnxruntime to run on an NVIDIA GPU" if device == "cuda" else "",
        )
    return PROVIDERS[device]


def _open_session(path: Path, threads: int, provider: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL
    options.intra_op_num_threads = threads
    # Idle threads that spin take the cores from whoever decodes and draws; sleeping ones cost about a millisecond.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not path.is_file():
        raise ModelError(f"there is no model file '{path}'", "check the path")
    try:
        session = onnxruntime.InferenceSession(path, options, providers=[provider])
    except Exception as error:  # its exceptions share no base class
        raise ModelError(
            f"'{path}' is not a model that onnxruntime can run: {error}",
            "the file may be damaged or cut short; download or export it again",
        ) from error
    used = session.get_providers()[0]
    if used != provider:
        raise RuntimeChoiceError(
            f"onnxruntime has {provider}, but it cannot be used here: the session would run on {used}",
            "check the GPU's driver, CUDA and cuDNN, or ask for the device 'cpu'",
        )
    return session


def _read_spec(session: onnxruntime.InferenceSession, name: str) -> ModelSpec:
    """The spec in the file's metadata, if inputs and outputs are what e2pose writes."""
    spec = ModelSpec.from_metadata(session.get_modelmeta().custom_metadata_map, name)
    inputs = {value.name: tuple(value.shape[1:]) for value in session.get_inputs()}
    outputs = {value.name for value in session.get_outputs()}
    if inputs != {_INPUT: (3, *spec.size_hw)} or not outputs.issuperset(_OUTPUTS):
        raise ModelError(
            f"'{name}' must take '{_INPUT}' of (B, 3, {spec.size_hw[0]}, {spec.size_hw[1]}) and give "
            f"{', '.join(_OUTPUTS)}, but it takes {inputs} and gives {', '.join(sorted(outputs))}",
            "export the model again with this version of e2pose",
        )
    return spec


def _usable_cores() -> int:
    """How many cores this process may use; a container or `taskset` may allow fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
