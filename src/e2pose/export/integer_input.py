"""The pixels of a quantised model: they are integers of eight bits already and need not become any."""

from __future__ import annotations

import numpy as np
import onnx

from e2pose.export.equalize import Weights
from e2pose.runtimes.base import INPUT

_LARGEST = 255  # value of a pixel


def fold_normalization(model: onnx.ModelProto) -> tuple[str, tuple[int, int]] | None:
    """Moves mean and deviation of the pixels into the first convolution, but for one integer for all colours.

    Beyond the border a convolution sees zeros, which are then pixels of this integer and no longer of the mean colour:
    a few grey levels.

    Args:
        model: Changed in place, if it begins by casting, subtracting and dividing for one convolution.

    Returns:
        Name of the map that the convolution reads then, and the least and largest integer in it; None if the model
        begins otherwise.
    """
    graph, weights = model.graph, Weights(model.graph)
    beginning = graph.node[:4]
    if [node.op_type for node in beginning] != ["Cast", "Sub", "Div", "Conv"]:
        return None
    _, subtract, divide, first = beginning
    if not weights.are_own(first):
        return None
    mean, deviation = weights[subtract.input[1]].ravel(), weights[divide.input[1]].ravel()
    middle = round(float(mean.mean()))
    kernel = weights[first.input[1]] / deviation[:, None, None]
    weights[first.input[2]] = weights[first.input[2]] + kernel.sum(axis=(2, 3)) @ (middle - mean)
    weights[first.input[1]] = kernel
    weights[subtract.input[1]] = np.full((1, 1, 1, 1), float(middle))
    graph.node.remove(divide)
    _forget(graph, divide.input[1])
    first.input[0] = subtract.output[0]
    return subtract.output[0], (-middle, _LARGEST - middle)


def read_integers(model: onnx.ModelProto, values: str) -> None:
    """Lets a quantised model take pixels as they are, instead of casting, subtracting and quantising them.

    Args:
        model: Changed in place, if the map is quantised.
        values: Name of the map that `fold_normalization` gave.
    """
    graph = model.graph
    quantize = next((node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] == values), None)
    if quantize is None:
        return
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] == quantize.output[0]:
            node.input[0] = INPUT
    subtract = next(node for node in graph.node if values in node.output)
    cast = next(node for node in graph.node if subtract.input[0] in node.output)
    for node in (cast, subtract, quantize):
        graph.node.remove(node)
    _forget(graph, subtract.input[1])


def _forget(graph: onnx.GraphProto, constant: str) -> None:
    graph.initializer.remove(next(tensor for tensor in graph.initializer if tensor.name == constant))
