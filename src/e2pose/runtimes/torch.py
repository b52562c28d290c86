"""PyTorch, for validation during training and for `.safetensors` files."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import nn

from e2pose.core.candidates import Candidates
from e2pose.core.errors import RuntimeChoiceError
from e2pose.core.spec import ModelSpec
from e2pose.models.paper import E2Pose
from e2pose.models.weights import load_weights
from e2pose.runtimes.base import format_threads
from e2pose.runtimes.options import DEFAULT_OPTIONS, Precision, RuntimeOptions

_DTYPES = {"f16": torch.float16, "bf16": torch.bfloat16}


class TorchRuntime:
    """Runs a copy of a network in its current state; later changes to the network have no effect.

    Args:
        network: The network, whose own mode and device stay unchanged.
        spec: The model's input and keypoints.
        device: A device of torch, such as "cpu", "cuda", "cuda:1" or "mps".
        precision: Precision of the convolutions; everything after them runs in f32.

    Raises:
        RuntimeChoiceError: The device is not available.
    """

    def __init__(self, network: E2Pose, spec: ModelSpec, device: str = "cpu", *, precision: Precision = "f32") -> None:
        self._device = _check_device(device)
        network = copy.deepcopy(network).eval().requires_grad_(False).to(self._device)
        self._dtype = _DTYPES.get(precision)
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.to(self._dtype)  # once here, instead of in every run
        if self._device.type == "cuda":
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._network = network
        self.spec = spec
        threads = f", {format_threads(torch.get_num_threads())}" if self._device.type == "cpu" else ""
        self.description = f"torch {torch.__version__} on {device} in {precision}{threads}"

    @classmethod
    def open(cls, path: str | Path, options: RuntimeOptions = DEFAULT_OPTIONS) -> TorchRuntime:
        """Loads a `.safetensors` file written by e2pose.

        The default precision is bf16 on a GPU, else f32. The number of threads applies to all of torch in this process.

        Raises:
            ModelError: The file is missing, damaged or not written by e2pose.
            RuntimeChoiceError: The device is not available.
        """
        if options.threads is not None:
            torch.set_num_threads(options.threads)
        network, spec = load_weights(path)
        precision = options.precision or ("bf16" if options.device_kind == "cuda" else "f32")
        return cls(network, spec.with_input_size(options.input_size), options.device or "cpu", precision=precision)

    def __call__(self, pixels: UInt8[np.ndarray, "b 3 h w"]) -> Candidates:
        """Runs the network on a batch."""
        with torch.inference_mode():
            batch = torch.tensor(pixels, device=self._device).contiguous()
            with torch.autocast(self._device.type, self._dtype) if self._dtype else nullcontext():
                prediction = self._network(batch)
            scores = prediction.person_logits.float().sigmoid()
            keypoint_scores = prediction.keypoint_logits.float().sigmoid()
            outputs = scores, keypoint_scores, prediction.keypoints.float()
            return Candidates(*(output.cpu().numpy() for output in outputs))


def _check_device(name: str) -> torch.device:
    """Returns the device of that name if it can compute."""
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise RuntimeChoiceError(
            f"torch cannot run on '{name}' here: {str(error).splitlines()[0].partition('. ')[0]}",
            "use the device cpu, or install a build of torch for your GPU",
        ) from error
    return device
