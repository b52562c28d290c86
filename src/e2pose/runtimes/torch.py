"""Networks in torch, for validation during training and for `.safetensors` files."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from e2pose.core.candidates import Candidates
from e2pose.core.errors import RuntimeChoiceError
from e2pose.core.spec import ModelSpec
from e2pose.models.artifact import load_weights
from e2pose.models.e2pose import E2Pose


class TorchRuntime:
    """Runs a network as it is now: later changes to it are not seen.

    Args:
        network: The network; a copy in evaluation mode is run, so it keeps its own mode and device.
        spec: How it wants its input.
        device: A device of torch, such as "cpu", "cuda", "cuda:1" or "mps".

    Raises:
        RuntimeChoiceError: The device is not available.
    """

    def __init__(self, network: E2Pose, spec: ModelSpec, device: str = "cpu") -> None:
        self._device = _check_device(device)
        self._network = copy.deepcopy(network).eval().requires_grad_(False).to(self._device)
        self.spec = spec
        self.description = f"torch {torch.__version__} on {device}"

    @classmethod
    def open(cls, path: str | Path, *, device: str = "cpu") -> TorchRuntime:
        """Loads a `.safetensors` file written by e2pose.

        Raises:
            ModelError: The file is missing, damaged or not a model of e2pose.
            RuntimeChoiceError: The device is not available.
        """
        network, spec = load_weights(path)
        return cls(network, spec, device)

    def __call__(self, pixels: UInt8[np.ndarray, "b 3 h w"]) -> Candidates:
        """Runs the network on a batch of canvases."""
        with torch.inference_mode():
            prediction = self._network(torch.tensor(pixels, device=self._device).contiguous())
            scores = prediction.person_logits.float().sigmoid()
            keypoint_scores = prediction.keypoint_logits.float().sigmoid()
            keypoints = prediction.keypoints.float()
        return Candidates(scores.cpu().numpy(), keypoint_scores.cpu().numpy(), keypoints.cpu().numpy())


def _check_device(name: str) -> torch.device:
    """The device of that name, if something can be computed on it."""
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise RuntimeChoiceError(
            f"torch cannot run on '{name}' here: {str(error).splitlines()[0]}",
            "ask for the device 'cpu', or install a build of torch for your GPU",
        ) from error
    return device
