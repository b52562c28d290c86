"""Conversion of a TensorFlow.js graph to ONNX, with the operations of MoveNet MultiPose.

TensorFlow uses channels last (NHWC), ONNX channels first (NCHW): the output of a convolution stays in NCHW and is
transposed when an operation requires NHWC. All integers become int64, which ONNX requires for shapes.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 18

_SAME_NAME = ("Abs", "Cast", "Equal", "Exp", "Greater", "Identity", "Less", "Mul", "Range", "Reciprocal", "Reshape")
_ONNX_NAME = {
    **{name: name for name in (*_SAME_NAME, "Sigmoid", "Size", "Sub", "Tile")},
    "AddN": "Sum",
    "AddV2": "Add",
    "FloorDiv": "Div",  # used for non-negative integers only
    "GatherNd": "GatherND",
    "GreaterEqual": "GreaterOrEqual",
    "LogicalAnd": "And",
    "Maximum": "Max",
    "Minimum": "Min",
    "RealDiv": "Div",
    "Select": "Where",
}
_ELEMENTWISE = {"AddV2", "Mul", "Sub", "Sigmoid"}
_TYPES = {"DT_FLOAT": TensorProto.FLOAT, "DT_INT32": TensorProto.INT64, "DT_BOOL": TensorProto.BOOL}
_TO_FIRST, _TO_LAST = (0, 3, 1, 2), (0, 2, 3, 1)


def convert(model_json: Path, weights: Path) -> onnx.ModelProto:
    """Converts a graph to ONNX, with the input `input`, uint8 (1, H, W, 3) in RGB, and the output `output`."""
    description = json.loads(model_json.read_text(encoding="utf-8"))
    graph = _Graph(_read_weights(description["weightsManifest"], weights.read_bytes()))
    nodes = [node for node in description["modelTopology"]["node"] if node["op"] not in ("Const", "Placeholder")]
    for node in nodes:
        graph.add_node(node)
    graph.emit("Identity", [graph.last(nodes[-1]["name"])], outputs=["output"])
    return helper.make_model(
        helper.make_graph(
            graph.nodes,
            "tfjs",
            [helper.make_tensor_value_info("input", TensorProto.UINT8, [1, "height", "width", 3])],
            [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, "persons", "numbers"])],
            list(graph.initializers.values()),
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=10,
    )


def _read_weights(manifest: Sequence[Mapping[str, Any]], data: bytes) -> dict[str, np.ndarray]:
    """Returns the constants by name; float16 becomes float32."""
    values, offset = {}, 0
    for entry in (entry for group in manifest for entry in group["weights"]):
        stored = np.dtype(entry.get("quantization", entry)["dtype"])
        count = int(np.prod(entry["shape"], dtype=np.int64))
        array = np.frombuffer(data, stored, count, offset).reshape(entry["shape"])
        values[entry["name"]] = array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
        offset += array.nbytes
    return values


class _Graph:
    """An ONNX graph under construction."""

    def __init__(self, values: Mapping[str, np.ndarray]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self.values = values  # TensorFlow constants by name
        self.channels_first: dict[str, str] = {}  # NCHW tensors by their TensorFlow name
        self._last: dict[str, str] = {"input": "input"}  # tensors as in TensorFlow

    def add_node(self, node: Mapping[str, Any]) -> None:
        """Adds the operation of a TensorFlow.js node."""
        operation, name, inputs = node["op"], node["name"], node.get("input", [])
        attributes = {key: _decode(value) for key, value in node.get("attr", {}).items()}
        if operation in _ELEMENTWISE and all(name in self.channels_first for name in inputs):
            self.channels_first[name] = self.emit(_ONNX_NAME[operation], [self.channels_first[part] for part in inputs])
        elif operation in _NCHW:
            self.channels_first[name] = _NCHW[operation](self, inputs, attributes)
        elif operation in _NHWC:
            results = _NHWC[operation](self, inputs, attributes)
            for index, result in enumerate([results] if isinstance(results, str) else results):
                self._last[f"{name}:{index}" if index else name] = result
        elif operation in _ONNX_NAME:
            conversion = {"to": _TYPES[attributes["DstT"]]} if operation == "Cast" else {}
            self._last[name] = self.emit(_ONNX_NAME[operation], [self.last(part) for part in inputs], **conversion)
        else:
            raise ValueError(f"unsupported TensorFlow.js operation {operation}")

    def emit(self, operation: str, inputs: Sequence[str], outputs: Sequence[str] = (), **attributes: Any) -> str:  # noqa: ANN401
        """Adds an ONNX node and returns the name of its first output."""
        outputs = outputs or [f"t{len(self.nodes)}"]
        self.nodes.append(helper.make_node(operation, inputs, outputs, **attributes))
        return outputs[0]

    def constant(self, value: np.ndarray | Sequence[int]) -> str:
        """Adds a constant and returns its name."""
        name = f"c{len(self.initializers)}"
        self.initializers[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def first(self, name: str) -> str:
        """Returns the name of a tensor in NCHW."""
        if name not in self.channels_first:
            self.channels_first[name] = self.emit("Transpose", [self.last(name)], perm=_TO_FIRST)
        return self.channels_first[name]

    def last(self, name: str) -> str:
        """Returns the name of a tensor as in TensorFlow."""
        if name not in self._last:
            if name in self.values:
                self._last[name] = self.constant(self.values[name])
            else:
                self._last[name] = self.emit("Transpose", [self.channels_first[name]], perm=_TO_LAST)
        return self._last[name]


def _decode(attribute: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """Decodes an attribute: text is stored as base64, integers as text."""
    if "list" in attribute:
        entries = attribute["list"]
        return [_decode({kind: entry}) for kind, several in entries.items() for entry in several]
    kind, value = next(iter(attribute.items()))
    return {"s": lambda: base64.b64decode(value).decode(), "i": lambda: int(value)}.get(kind, lambda: value)()


def _convolution(
    graph: _Graph, inputs: Sequence[str], attributes: Mapping[str, Any], *, depthwise: bool = False
) -> str:
    kernel = graph.values[inputs[1]]  # height, width, in, out; of a depthwise one: height, width, channels, 1
    order, groups = ((2, 3, 0, 1), kernel.shape[2]) if depthwise else ((3, 2, 0, 1), 1)
    operands = [graph.first(inputs[0]), graph.constant(kernel.transpose(order))]
    fused = attributes.get("fused_ops", [])
    if "BiasAdd" in fused:
        operands.append(graph.constant(graph.values[inputs[2]]))
    result = graph.emit(
        "Conv",
        operands,
        auto_pad="SAME_UPPER" if attributes["padding"] == "SAME" else "VALID",
        group=groups,
        strides=attributes["strides"][1:3],
    )
    if "Relu6" in fused:
        return graph.emit("Clip", [result, graph.constant(np.float32(0)), graph.constant(np.float32(6))])
    return graph.emit("Relu", [result]) if "Relu" in fused else result


def _max_pool(graph: _Graph, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
    window, strides = attributes["ksize"][1:3], attributes["strides"][1:3]
    return graph.emit("MaxPool", [graph.first(inputs[0])], kernel_shape=window, strides=strides, auto_pad="SAME_UPPER")


def _resize(graph: _Graph, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
    if attributes["align_corners"] or not attributes["half_pixel_centers"]:
        raise ValueError("ResizeBilinear is supported with half_pixel_centers only")
    image = graph.first(inputs[0])
    size = graph.emit("Concat", [graph.emit("Shape", [image], end=2), graph.last(inputs[1])], axis=0)
    mode = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    return graph.emit("Resize", [image, "", "", size], **mode)


def _shape(graph: _Graph, inputs: Sequence[str], _: Mapping[str, Any]) -> str:
    if inputs[0] in graph.channels_first:  # avoids a transposition
        shape = graph.emit("Shape", [graph.first(inputs[0])])
        return graph.emit("Gather", [shape, graph.constant(list(_TO_LAST))])
    return graph.emit("Shape", [graph.last(inputs[0])])


def _strided_slice(graph: _Graph, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
    begin, end = graph.values[inputs[1]], graph.values[inputs[2]]
    cut: list[tuple[int, int, int]] = []
    dropped: list[int] = []
    added: list[int] = []
    axis = 0  # of the input
    for index, (low, high) in enumerate(zip(begin.tolist(), end.tolist(), strict=True)):
        masked = {kind: attributes[f"{kind}_mask"] >> index & 1 for kind in ("begin", "end", "new_axis", "shrink_axis")}
        if masked["new_axis"]:
            added.append(index - len(dropped))
            continue
        if not (masked["begin"] and masked["end"]):
            end_of_axis = np.iinfo(np.int64).max
            cut.append((axis, 0 if masked["begin"] else low, end_of_axis if masked["end"] else high))
        if masked["shrink_axis"]:
            dropped.append(axis)
        axis += 1
    result = graph.last(inputs[0])
    if cut:
        axes, lows, highs = (graph.constant(list(column)) for column in zip(*cut, strict=True))
        result = graph.emit("Slice", [result, lows, highs, axes])
    for operation, axes in (("Squeeze", dropped), ("Unsqueeze", added)):
        result = graph.emit(operation, [result, graph.constant(axes)]) if axes else result
    return result


def _unpack(graph: _Graph, inputs: Sequence[str], attributes: Mapping[str, Any]) -> list[str]:
    axis = attributes["axis"]
    parts = _split(graph, graph.last(inputs[0]), axis, attributes["num"])
    return [graph.emit("Squeeze", [part, graph.constant([axis])]) for part in parts]


def _split(graph: _Graph, tensor: str, axis: int, count: int) -> list[str]:
    parts = [f"t{len(graph.nodes)}_{index}" for index in range(count)]
    graph.emit("Split", [tensor], parts, axis=axis, num_outputs=count)
    return parts


def _pack(graph: _Graph, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
    axis = attributes["axis"]
    parts = [graph.emit("Unsqueeze", [graph.last(name), graph.constant([axis])]) for name in inputs]
    return graph.emit("Concat", parts, axis=axis)


def _top_k(graph: _Graph, inputs: Sequence[str], _: Mapping[str, Any]) -> list[str]:
    outputs = [f"t{len(graph.nodes)}_{index}" for index in range(2)]
    graph.emit("TopK", [graph.last(inputs[0]), graph.constant(graph.values[inputs[1]].reshape(1))], outputs)
    return outputs


def _squared_difference(graph: _Graph, inputs: Sequence[str], _: Mapping[str, Any]) -> str:
    difference = graph.emit("Sub", [graph.last(name) for name in inputs])
    return graph.emit("Mul", [difference, difference])


def _reduce(operation: str, graph: _Graph, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
    axes = graph.constant(graph.values[inputs[1]].reshape(-1))
    return graph.emit(operation, [graph.last(inputs[0]), axes], keepdims=int(attributes["keep_dims"]))


# Operations with the arguments graph, input names and attributes; they return the names of their outputs.
_NCHW: dict[str, Callable[..., str]] = {
    "_FusedConv2D": _convolution,
    "DepthwiseConv2dNative": partial(_convolution, depthwise=True),
    "FusedDepthwiseConv2dNative": partial(_convolution, depthwise=True),
    "MaxPool": _max_pool,
    "ResizeBilinear": _resize,
}
_NHWC: dict[str, Callable[..., str | list[str]]] = {
    "ArgMax": lambda graph, x, _: graph.emit("ArgMax", [graph.last(x[0])], axis=int(graph.values[x[1]]), keepdims=0),
    "ConcatV2": lambda graph, x, _: graph.emit("Concat", list(map(graph.last, x[:-1])), axis=int(graph.values[x[-1]])),
    "ExpandDims": lambda graph, x, _: graph.emit(
        "Unsqueeze", [graph.last(x[0]), graph.constant(graph.values[x[1]].reshape(1))]
    ),
    "Fill": lambda graph, x, _: graph.emit("Expand", [graph.last(x[1]), graph.last(x[0])]),
    "Max": partial(_reduce, "ReduceMax"),
    "Pack": _pack,
    "Shape": _shape,
    "Split": lambda graph, x, given: _split(graph, graph.last(x[1]), int(graph.values[x[0]]), given["num_split"]),
    "SquaredDifference": _squared_difference,
    "Squeeze": lambda graph, x, given: graph.emit("Squeeze", [graph.last(x[0]), graph.constant(given["squeeze_dims"])]),
    "StridedSlice": _strided_slice,
    "Sum": partial(_reduce, "ReduceSum"),
    "TopKV2": _top_k,
    "Unpack": _unpack,
}
