"""Networks in torch, for validation during training and for `.safetensors` files."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from e2pose.core.candidates import Candidates
from e2pose.core.errors import RuntimeChoiceError
from e2pose.core.spec import ModelSpec
from e2pose.models.artifact import load_weights
from e2pose.models.e2pose import E2Pose
from e2pose.runtimes.base import format_threads
from e2pose.runtimes.options import DEFAULT_OPTIONS, Precision, RuntimeOptions

_DTYPES = {"f16": torch.float16, "bf16": torch.bfloat16}
_MOST_GRAPHS = 8  # each keeps the memory of a whole run


class TorchRuntime:
    """Runs a network as it is now: later changes to it are not seen.

    Args:
        network: The network; a copy in evaluation mode is run, so it keeps its own mode and device.
        spec: How it wants its input.
        device: A device of torch, such as "cpu", "cuda", "cuda:1" or "mps".
        precision: Of convolutions. What follows them is always computed in f32.
        recorded: On a GPU, record the work for each size of batch and canvas once and replay it, which saves the CPU's
            share.

    Raises:
        RuntimeChoiceError: The device is not available.
    """

    def __init__(
        self,
        network: E2Pose,
        spec: ModelSpec,
        device: str = "cpu",
        *,
        precision: Precision = "f32",
        recorded: bool = False,
    ) -> None:
        self._device = _check_device(device)
        self._on_gpu = self._device.type == "cuda"
        network = copy.deepcopy(network).eval().requires_grad_(False).to(self._device)
        self._dtype = _DTYPES.get(precision)
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.to(self._dtype)  # once, and not again at every run
        self._network = network.to(memory_format=torch.channels_last) if self._on_gpu else network  # type: ignore[call-overload]
        self._recordings: dict[torch.Size, _Recording] = {}
        self._recorded = recorded and self._on_gpu
        self._one_at_a_time = Lock()
        self.spec = spec
        threads = f", {format_threads(torch.get_num_threads())}" if self._device.type == "cpu" else ""
        self.description = f"torch {torch.__version__} on {device} in {precision}{threads}"
        if self._recorded:
            self._try_recording()

    @classmethod
    def open(cls, path: str | Path, options: RuntimeOptions = DEFAULT_OPTIONS) -> TorchRuntime:
        """Loads a `.safetensors` file written by e2pose.

        On a GPU it computes in bf16 unless asked otherwise. The number of threads holds for all of torch in this
        process.

        Raises:
            ModelError: The file is missing, damaged or not a model of e2pose.
            RuntimeChoiceError: The device is not available.
        """
        if options.threads is not None:
            torch.set_num_threads(options.threads)
        network, spec = load_weights(path)
        precision = options.precision or ("bf16" if options.device_kind == "cuda" else "f32")
        spec = spec.with_input_size(options.input_size)
        return cls(network, spec, options.device or "cpu", precision=precision, recorded=True)

    def __call__(self, pixels: UInt8[np.ndarray, "b 3 h w"]) -> Candidates:
        """Runs the network on a batch of canvases."""
        with self._one_at_a_time, torch.inference_mode():  # a recording has one place for its input
            batch = torch.tensor(pixels).contiguous()
            outputs = self._replay(batch) if self._recorded else self._compute(batch.to(self._device))
            return Candidates(*(output.cpu().numpy() for output in outputs))

    def _compute(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with torch.autocast(self._device.type, self._dtype) if self._dtype else nullcontext():
            prediction = self._network(pixels)
        logits = prediction.person_logits, prediction.keypoint_logits
        return logits[0].float().sigmoid(), logits[1].float().sigmoid(), prediction.keypoints.float()

    def _replay(self, pixels: Tensor) -> tuple[Tensor, ...]:
        if pixels.shape not in self._recordings:
            if len(self._recordings) >= _MOST_GRAPHS:
                return self._compute(pixels.to(self._device))
            self._recordings[pixels.shape] = _Recording(self, pixels.to(self._device))
        return self._recordings[pixels.shape](pixels)

    def _try_recording(self) -> None:
        """Records the work for one canvas, and says whether that is possible."""
        height, width = self.spec.input_size_hw
        try:
            with torch.inference_mode():
                self._replay(torch.zeros((1, 3, height, width), dtype=torch.uint8))
            self.description += ", recorded"
        except RuntimeError:
            self._recorded = False
            self._recordings.clear()
            self.description += ", not recorded"


class _Recording:
    """The work for one size of batch and canvas on a GPU as one CUDA graph."""

    def __init__(self, runtime: TorchRuntime, pixels: Tensor) -> None:
        self._pixels = pixels
        side = torch.cuda.Stream(pixels.device)  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream(pixels.device))
        with torch.cuda.stream(side):  # the first runs choose algorithms, which cannot be recorded
            for _ in range(3):
                runtime._compute(pixels)
        torch.cuda.current_stream(pixels.device).wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(pixels.device), torch.cuda.graph(self._graph):
            self._outputs = runtime._compute(pixels)

    def __call__(self, pixels: Tensor) -> tuple[Tensor, ...]:
        self._pixels.copy_(pixels)
        self._graph.replay()
        return self._outputs


def _check_device(name: str) -> torch.device:
    """The device of that name, if something can be computed on it."""
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise RuntimeChoiceError(
            f"torch cannot run on '{name}' here: {str(error).splitlines()[0].partition('. ')[0]}",
            "ask for the device 'cpu', or install a build of torch for your GPU",
        ) from error
    return device
