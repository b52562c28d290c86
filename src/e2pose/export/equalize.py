"""Preparation of convolutions for int8: channels of similar range, and biases that compensate for rounding.

Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019; ranges and
means are measured on images instead of derived from the weights.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from jaxtyping import Float, UInt8
from onnx import numpy_helper

from e2pose.runtimes.base import INPUT

Channels = Float[np.ndarray, "channels"]
Kernel = Float[np.ndarray, "out in_per_group h w"]

_MIN_RELATIVE_PEAK = 1e-3  # of the largest channel; limits the factor for channels that are nearly always 0
_NUM_LEVELS = 127  # of an int8 weight on either side of 0


@dataclass(frozen=True)
class ActivationStats:
    """Statistics of a map over images.

    Args:
        mean: Mean of each channel.
        peak: Largest magnitude of each channel.
        size: Number of values of all channels for one image.
    """

    mean: Channels
    peak: Channels
    size: int


class GraphWeights:
    """Kernels and biases of a graph by name; assignment replaces them."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}
        self._uses = Counter(name for node in graph.node for name in node.input)

    def __getitem__(self, name: str) -> Float[np.ndarray, "..."]:
        return numpy_helper.to_array(self._tensors[name])

    def __setitem__(self, name: str, values: Float[np.ndarray, "..."]) -> None:
        self._tensors[name].CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))

    def constant(self, name: str) -> float | None:
        """Returns a scalar constant, or None if the value is computed or missing."""
        return float(self[name].item()) if name in self._tensors and self[name].size == 1 else None

    def are_unshared(self, convolution: onnx.NodeProto) -> bool:
        """Returns whether a convolution has a kernel and a bias that no other node uses."""
        names = convolution.input[1:]
        return len(names) == 2 and all(name in self._tensors and self._uses[name] == 1 for name in names)


def measure_activations(
    model: onnx.ModelProto, names: Sequence[str], batches: Sequence[UInt8[np.ndarray, "batch 3 h w"]]
) -> dict[str, ActivationStats]:
    """Runs a model and returns the statistics of the named maps (batch, channels, h, w)."""
    if not names:
        return {}
    probe = copy.deepcopy(model)
    del probe.graph.output[:]
    probe.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    session = onnxruntime.InferenceSession(probe.SerializeToString(), providers=["CPUExecutionProvider"])
    means, peaks, sizes = [], [], [0] * len(names)
    for batch in batches:
        maps = session.run(list(names), {INPUT: batch})
        means.append([values.mean(axis=(0, 2, 3)) for values in maps])
        peaks.append([np.abs(values).max(axis=(0, 2, 3)) for values in maps])
        sizes = [values[0].size for values in maps]
    return {
        name: ActivationStats(
            np.mean([each[i] for each in means], axis=0), np.max([each[i] for each in peaks], axis=0), sizes[i]
        )
        for i, name in enumerate(names)
    }


def equalize(model: onnx.ModelProto, batches: Sequence[UInt8[np.ndarray, "batch 3 h w"]]) -> None:
    """Scales up channels of small range between two convolutions, and scales down their weights in the second one.

    The channels of a map share eight bits, so channels of small range would get few levels. A depthwise convolution has
    one scale per channel, so its channels are fully equalised. Other kernels share one scale among their input
    channels, so their channels are equalised by the square root of the factor. If the activation in between clips at 6,
    a scaled channel is clipped at its largest value on the images.

    Args:
        model: Changed in place.
        batches: Inputs of the model.
    """
    weights = GraphWeights(model.graph)
    pairs = list(_find_pairs(model.graph, weights))
    stats = measure_activations(model, [pair.between for pair in pairs], batches)
    for pair in pairs:
        kernel, bias = pair.first.input[1:]
        next_kernel = pair.second.input[1]
        is_depthwise = weights[next_kernel].shape[:2] == (len(weights[bias]), 1)
        peak = stats[pair.between].peak
        largest = pair.limit or float(peak.max()) or 1.0
        factors = largest / np.clip(peak, _MIN_RELATIVE_PEAK * largest, largest)
        if not is_depthwise:
            factors = np.sqrt(factors)
        weights[kernel] = weights[kernel] * factors[:, None, None, None]
        weights[bias] = weights[bias] * factors
        divisors = factors[:, None, None, None] if is_depthwise else factors[:, None, None]
        weights[next_kernel] = weights[next_kernel] / divisors


def correct_biases(model: onnx.ModelProto, layers: Set[str], stats: dict[str, ActivationStats]) -> None:
    """Subtracts from the biases the mean error that rounding the kernels to int8 adds to the outputs.

    Args:
        model: Changed in place.
        layers: Names of the convolutions that will be quantised.
        stats: Statistics of the convolutions' inputs by the name of the map; convolutions without are not changed.
    """
    weights = GraphWeights(model.graph)
    for node in model.graph.node:
        if node.name in layers and node.input[0] in stats and weights.are_unshared(node):
            kernel, bias = node.input[1:]
            error = _round_to_int8(weights[kernel]) - weights[kernel]
            weights[bias] = weights[bias] - _mean_output(error, stats[node.input[0]].mean)


def _round_to_int8(kernel: Kernel) -> Kernel:
    """Rounds a kernel to the values of int8 with one scale per output channel."""
    step = np.abs(kernel).max(axis=(1, 2, 3), keepdims=True) / _NUM_LEVELS
    step = np.where(step == 0, 1, step)
    return np.asarray(np.round(kernel / step) * step)


def _mean_output(kernel: Kernel, mean: Channels) -> Float[np.ndarray, "out"]:
    """Returns the output of a kernel for a map whose channels are constant."""
    outputs, per_group = kernel.shape[:2]
    groups = len(mean) // per_group
    inputs = np.repeat(mean.reshape(groups, per_group), outputs // groups, axis=0)
    return np.asarray((kernel.sum(axis=(2, 3)) * inputs).sum(axis=1))


@dataclass(frozen=True)
class _Pair:
    """Two convolutions with unshared weights, where only the second one reads the output of the first.

    Args:
        first: The first convolution.
        second: The second convolution.
        between: Name of the map after the activation.
        limit: Upper limit of the activation; None if there is none.
    """

    first: onnx.NodeProto
    second: onnx.NodeProto
    between: str
    limit: float | None


def _find_pairs(graph: onnx.GraphProto, weights: GraphWeights) -> Iterator[_Pair]:
    """Yields all pairs with a rectifier or nothing in between, in the order of computation."""
    only_reader = _find_only_readers(graph)
    for first in graph.node:
        if first.op_type != "Conv" or not weights.are_unshared(first):
            continue
        between, limit = first.output[0], None
        second = only_reader(between)
        if second is not None and second.op_type in ("Clip", "Relu"):
            if second.op_type == "Clip":
                bounds = [weights.constant(name) for name in second.input[1:]]
                if len(bounds) < 2 or bounds[0] != 0 or bounds[1] is None:
                    continue  # no rectifier, so its channels cannot be scaled
                limit = bounds[1]
            between = second.output[0]
            second = only_reader(between)
        if second is not None and second.op_type == "Conv" and weights.are_unshared(second):
            yield _Pair(first, second, between, limit)


def _find_only_readers(graph: onnx.GraphProto) -> Callable[[str], onnx.NodeProto | None]:
    """Returns a function that finds the only node that reads a map; None for several nodes and for outputs."""
    readers: dict[str, list[onnx.NodeProto | None]] = {output.name: [None] for output in graph.output}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)

    def only_reader(name: str) -> onnx.NodeProto | None:
        nodes = readers.get(name, [])
        return nodes[0] if len(nodes) == 1 else None

    return only_reader
