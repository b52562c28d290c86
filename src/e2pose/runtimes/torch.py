"""PyTorch, for validation during training and for `.safetensors` files."""

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
from e2pose.models.paper import E2Pose
from e2pose.models.weights import load_weights
from e2pose.runtimes.base import format_threads
from e2pose.runtimes.options import DEFAULT_OPTIONS, Precision, RuntimeOptions

_DTYPES = {"f16": torch.float16, "bf16": torch.bfloat16}
_MAX_GRAPHS = 8  # each graph keeps the memory of a whole run


class TorchRuntime:
    """Runs a copy of a network in its current state; later changes to the network have no effect.

    Args:
        network: The network, whose own mode and device stay unchanged.
        spec: The model's input and keypoints.
        device: A device of torch, such as "cpu", "cuda", "cuda:1" or "mps".
        precision: Precision of the convolutions; everything after them runs in f32.
        use_cuda_graphs: On a GPU, record one CUDA graph per shape of the input and replay it, which removes the CPU
            time per operation.

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
        use_cuda_graphs: bool = False,
    ) -> None:
        self._device = _check_device(device)
        self._on_gpu = self._device.type == "cuda"
        network = copy.deepcopy(network).eval().requires_grad_(False).to(self._device)
        self._dtype = _DTYPES.get(precision)
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.to(self._dtype)  # once here, instead of in every run
        self._network = network.to(memory_format=torch.channels_last) if self._on_gpu else network  # type: ignore[call-overload]
        self._graphs: dict[torch.Size, _CudaGraph] = {}
        self._use_graphs = use_cuda_graphs and self._on_gpu
        self._lock = Lock()
        self.spec = spec
        threads = f", {format_threads(torch.get_num_threads())}" if self._device.type == "cpu" else ""
        self.description = f"torch {torch.__version__} on {device} in {precision}{threads}"
        if self._use_graphs:
            self._record_first_graph()

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
        spec = spec.with_input_size(options.input_size)
        return cls(network, spec, options.device or "cpu", precision=precision, use_cuda_graphs=True)

    def __call__(self, pixels: UInt8[np.ndarray, "b 3 h w"]) -> Candidates:
        """Runs the network on a batch."""
        with self._lock, torch.inference_mode():  # a graph has a single input buffer
            batch = torch.tensor(pixels).contiguous()
            outputs = self._replay(batch) if self._use_graphs else self._compute(batch.to(self._device))
            return Candidates(*(output.cpu().numpy() for output in outputs))

    def _compute(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with torch.autocast(self._device.type, self._dtype) if self._dtype else nullcontext():
            prediction = self._network(pixels)
        logits = prediction.person_logits, prediction.keypoint_logits
        return logits[0].float().sigmoid(), logits[1].float().sigmoid(), prediction.keypoints.float()

    def _replay(self, pixels: Tensor) -> tuple[Tensor, ...]:
        if pixels.shape not in self._graphs:
            if len(self._graphs) >= _MAX_GRAPHS:
                return self._compute(pixels.to(self._device))
            self._graphs[pixels.shape] = _CudaGraph(self, pixels.to(self._device))
        return self._graphs[pixels.shape](pixels)

    def _record_first_graph(self) -> None:
        """Records the graph of a single image, or disables graphs if recording fails; notes it in the description."""
        height, width = self.spec.input_size_hw
        try:
            with torch.inference_mode():
                self._replay(torch.zeros((1, 3, height, width), dtype=torch.uint8))
            self.description += ", CUDA graphs"
        except RuntimeError:
            self._use_graphs = False
            self._graphs.clear()
            self.description += ", no CUDA graphs"


class _CudaGraph:
    """The computation for one shape of the input, recorded as a CUDA graph."""

    def __init__(self, runtime: TorchRuntime, pixels: Tensor) -> None:
        self._pixels = pixels
        side = torch.cuda.Stream(pixels.device)  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream(pixels.device))
        with torch.cuda.stream(side):  # the first runs select algorithms, which cannot be recorded
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
