"""Convolutions made ready for eight bits: the same answers from channels of like size, and errors that cancel.

After Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (ICCV 2019), but with the
values that occur on pictures.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from jaxtyping import Float, UInt8
from onnx import numpy_helper

from e2pose.runtimes.base import INPUT

Channels = Float[np.ndarray, "channels"]
Kernel = Float[np.ndarray, "out in_per_group h w"]

_LEAST = 1e-3  # of the largest channel: a channel that hardly ever answers is enlarged no further
_LEVELS = 127  # that a weight can have on either side of 0


@dataclass(frozen=True)
class Activity:
    """What the channels of a map are like on pictures.

    Args:
        mean: Of all places.
        peak: Largest magnitude.
        size: Number of values of all channels on one canvas.
    """

    mean: Channels
    peak: Channels
    size: int


class Weights:
    """Kernels and biases of a graph by name, which can be replaced."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}
        self._uses = Counter(name for node in graph.node for name in node.input)

    def __getitem__(self, name: str) -> Float[np.ndarray, "..."]:
        return numpy_helper.to_array(self._tensors[name])

    def __setitem__(self, name: str, values: Float[np.ndarray, "..."]) -> None:
        self._tensors[name].CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))

    def constant(self, name: str) -> float | None:
        """A number; None if it is computed, or left out."""
        return float(self[name].item()) if name in self._tensors and self[name].size == 1 else None

    def are_own(self, convolution: onnx.NodeProto) -> bool:
        """Whether a convolution has a bias, and shares neither it nor the kernel with others."""
        own = convolution.input[1:]
        return len(own) == 2 and all(name in self._tensors and self._uses[name] == 1 for name in own)


def watch(
    model: onnx.ModelProto, names: Sequence[str], canvases: Sequence[UInt8[np.ndarray, "batch 3 h w"]]
) -> dict[str, Activity]:
    """What the named maps (batch, channels, h, w) of a model are like on canvases."""
    if not names:
        return {}
    open_model = copy.deepcopy(model)
    del open_model.graph.output[:]
    open_model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    session = onnxruntime.InferenceSession(open_model.SerializeToString(), providers=["CPUExecutionProvider"])
    means, peaks, sizes = [], [], [0] * len(names)
    for canvas in canvases:
        maps = session.run(list(names), {INPUT: canvas})
        means.append([values.mean(axis=(0, 2, 3)) for values in maps])
        peaks.append([np.abs(values).max(axis=(0, 2, 3)) for values in maps])
        sizes = [values[0].size for values in maps]
    return {
        name: Activity(
            np.mean([each[i] for each in means], axis=0), np.max([each[i] for each in peaks], axis=0), sizes[i]
        )
        for i, name in enumerate(names)
    }


def equalize(model: onnx.ModelProto, canvases: Sequence[UInt8[np.ndarray, "batch 3 h w"]]) -> None:
    """Enlarges small channels between two convolutions, and makes the second one's weights for them smaller.

    Eight bits of a map are shared by its channels; without this, small ones would get a few levels only. A depthwise
    convolution has a scale for each channel, so there all channels are made equally large; other kernels share a
    scale between the channels they read, so there the way is gone by half. Where a clip at 6 lies between, a channel
    is afterwards clipped at the largest value that it had on the canvases.

    Args:
        model: Changed in place.
        canvases: Pictures as the model takes them.
    """
    weights = Weights(model.graph)
    pairs = list(_pairs(model.graph, weights))
    activity = watch(model, [pair.between for pair in pairs], canvases)
    for pair in pairs:
        kernel, bias = pair.first.input[1:]
        reader = pair.second.input[1]
        is_depthwise = weights[reader].shape[:2] == (len(weights[bias]), 1)
        peak = activity[pair.between].peak
        largest = pair.limit or float(peak.max()) or 1.0
        factors = largest / np.clip(peak, _LEAST * largest, largest)
        if not is_depthwise:
            factors = np.sqrt(factors)
        weights[kernel] = weights[kernel] * factors[:, None, None, None]
        weights[bias] = weights[bias] * factors
        weights[reader] = weights[reader] / (factors[:, None, None, None] if is_depthwise else factors[:, None, None])


def correct_biases(model: onnx.ModelProto, layers: Set[str], activity: dict[str, Activity]) -> None:
    """Takes out of the biases what rounding the kernels to eight bits adds to the answers on the average.

    Args:
        model: Changed in place.
        layers: Names of the convolutions that will be quantised.
        activity: Of what the convolutions read, by the name of the map; those without are left alone.
    """
    weights = Weights(model.graph)
    for node in model.graph.node:
        if node.name in layers and node.input[0] in activity and weights.are_own(node):
            kernel, bias = node.input[1:]
            error = _rounded(weights[kernel]) - weights[kernel]
            weights[bias] = weights[bias] - _mean_answer(error, activity[node.input[0]].mean)


def _rounded(kernel: Kernel) -> Kernel:
    """A kernel as int8 with one scale for each channel that it gives will hold it."""
    step = np.abs(kernel).max(axis=(1, 2, 3), keepdims=True) / _LEVELS
    step = np.where(step == 0, 1, step)
    return np.asarray(np.round(kernel / step) * step)


def _mean_answer(kernel: Kernel, mean: Channels) -> Float[np.ndarray, "out"]:
    """What a kernel answers to a map that everywhere has these values."""
    outputs, per_group = kernel.shape[:2]
    groups = len(mean) // per_group
    read = np.repeat(mean.reshape(groups, per_group), outputs // groups, axis=0)
    return np.asarray((kernel.sum(axis=(2, 3)) * read).sum(axis=1))


@dataclass(frozen=True)
class _Pair:
    """Two convolutions with weights of their own, of which only the second reads what the first gives.

    Args:
        first: Gives the map.
        second: Reads it.
        between: Name of the map, after the activation.
        limit: Where the activation clips; None if it does not.
    """

    first: onnx.NodeProto
    second: onnx.NodeProto
    between: str
    limit: float | None


def _pairs(graph: onnx.GraphProto, weights: Weights) -> Iterator[_Pair]:
    """All pairs with a rectifier or nothing between, in the order of computation."""
    readers: dict[str, list[onnx.NodeProto | None]] = {output.name: [None] for output in graph.output}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)

    def only_reader(name: str) -> onnx.NodeProto | None:
        read_by = readers.get(name, [])
        return read_by[0] if len(read_by) == 1 else None

    for first in graph.node:
        if first.op_type != "Conv" or not weights.are_own(first):
            continue
        between, limit = first.output[0], None
        second = only_reader(between)
        if second is not None and second.op_type in ("Clip", "Relu"):
            if second.op_type == "Clip":
                bounds = [weights.constant(name) for name in second.input[1:]]
                if len(bounds) < 2 or bounds[0] != 0 or bounds[1] is None:
                    continue  # it does more than rectify, so that its channels cannot be scaled
                limit = bounds[1]
            between = second.output[0]
            second = only_reader(between)
        if second is not None and second.op_type == "Conv" and weights.are_own(second):
            yield _Pair(first, second, between, limit)
