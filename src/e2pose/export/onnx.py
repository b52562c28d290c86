"""Export to one ONNX file of standard operators."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from e2pose.core.errors import ModelError, OptionError
from e2pose.core.files import atomic_path, check_suffix
from e2pose.core.spec import METADATA_KEY, ModelSpec
from e2pose.export.fold import Precision, deployment_copy
from e2pose.export.verify import Deviation, Images, verify_artifact
from e2pose.models.paper import E2Pose
from e2pose.models.weights import MAX_F32_KERNEL_SIZE
from e2pose.runtimes.base import INPUT, OUTPUTS
from e2pose.runtimes.torch import TorchRuntime


def export_onnx(
    network: E2Pose,
    spec: ModelSpec,
    path: str | Path,
    *,
    precision: Precision = "f32",
    batch_size: int | None = None,
    opset: int = 18,
    images: Images = (),
) -> Deviation:
    """Writes a verified network as an ONNX file.

    The graph takes "pixels", uint8 (batch, 3, H, W), and returns "scores", "keypoint_scores" and "keypoints" as in
    `Candidates`. Its metadata contain the spec.

    Args:
        network: The network; not changed.
        spec: Its spec.
        path: An `.onnx` file.
        precision: "f16" stores large convolution kernels in half precision, which halves the file; they are expanded
            when the file is opened, and all computation is in float32.
        batch_size: Fixed number of images per batch; None for any number.
        opset: Version of the operators.
        images: RGB images for verification; noise if there are none.

    Returns:
        The deviation from the network; with "f16", from the network with rounded kernels.

    Raises:
        OptionError: The path does not end in `.onnx`, or the batch size is below 1.
        ModelError: The spec does not fit the network, or the file deviates too much; it is not written.
        OutputError: The file cannot be written.
    """
    check_suffix(Path(path), ".onnx", "an ONNX model")
    if batch_size is not None and batch_size < 1:
        raise OptionError(f"the batch size must be at least 1, not {batch_size}", "omit it to allow any number")
    _check_spec(network, spec)
    stored = deployment_copy(network, precision)
    model = _trace(stored, spec, opset, batch_size)
    if precision == "f16":
        _halve_kernels(model.graph)
    with atomic_path(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
        return verify_artifact(temporary, TorchRuntime(network if precision == "f32" else stored, spec), images)


def _check_spec(network: E2Pose, spec: ModelSpec) -> None:
    if network.head.num_keypoints != len(spec.schema):
        raise ModelError(
            f"the network has {network.head.num_keypoints} keypoints, but the schema '{spec.schema.name}' has "
            f"{len(spec.schema)}",
            "use the schema that the network was trained with",
        )
    if any(size % 32 for size in spec.input_size_hw):
        raise ModelError(
            f"the sides of the input must be multiples of 32, not {spec.input_size_hw}", "use the nearest multiples"
        )


class _ProbabilityNetwork(nn.Module):
    """A network with probabilities instead of logits, as a tuple of tensors."""

    def __init__(self, network: E2Pose) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        prediction = self.network(pixels)
        return prediction.person_logits.sigmoid(), prediction.keypoint_logits.sigmoid(), prediction.keypoints


def _trace(network: E2Pose, spec: ModelSpec, opset: int, batch_size: int | None) -> onnx.ModelProto:
    """Traces the network and removes all information about this machine, such as file names."""
    example = torch.zeros((batch_size or 2, 3, *spec.input_size_hw), dtype=torch.uint8)
    batch_axis = {0: "batch"} if batch_size is None else {}
    open_axes = batch_axis | ({2: "height", 3: "width"} if spec.multiple_of is not None else {})
    with _silence_torch():
        program = torch.onnx.export(
            _ProbabilityNetwork(network).eval(),
            (example,),
            dynamo=True,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_shapes=(dict.fromkeys(open_axes, torch.export.Dim.DYNAMIC),) if open_axes else None,
            opset_version=opset,
            verbose=False,
        )
    if program is None:
        raise ModelError("torch could not export the network", "use a newer version of torch")
    model = program.model_proto
    for part in (*model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output, model.graph):
        part.doc_string = ""
        del part.metadata_props[:]
    del model.graph.value_info[:]
    _name_axes(model.graph.input, open_axes)
    _name_axes(model.graph.output, batch_axis | ({1: "candidates"} if spec.multiple_of is not None else {}))
    model.graph.name = spec.name
    model.producer_name = "e2pose"
    onnx.helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
    return model


def _name_axes(values: Iterable[onnx.ValueInfoProto], names: Mapping[int, str]) -> None:
    """Gives open axes of inputs or outputs descriptive names."""
    for value in values:
        for axis, name in names.items():
            value.type.tensor_type.shape.dim[axis].dim_param = name


def _halve_kernels(graph: onnx.GraphProto) -> None:
    """Stores large convolution kernels as float16 and expands each with a Cast."""
    kernels = {node.input[1] for node in graph.node if node.op_type == "Conv"}
    casts = []
    for tensor in graph.initializer:
        if tensor.name in kernels and math.prod(tensor.dims) > MAX_F32_KERNEL_SIZE:
            stored = f"{tensor.name}.f16"
            half = numpy_helper.to_array(tensor).astype(np.float16)
            casts.append(onnx.helper.make_node("Cast", [stored], [tensor.name], to=onnx.TensorProto.FLOAT))
            tensor.CopyFrom(numpy_helper.from_array(half, stored))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


@contextmanager
def _silence_torch() -> Iterator[None]:
    """Suppresses torch's messages about its internals."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
