"""Conversion of the original authors' frozen TensorFlow graphs to ONNX files with our inputs and outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tensorflow
import tf2onnx
from google.protobuf.message import DecodeError
from jaxtyping import UInt8
from onnx import TensorProto, helper, numpy_helper

from e2pose.core.candidates import Candidates
from e2pose.core.errors import ModelError
from e2pose.core.files import atomic_path, check_suffix
from e2pose.core.schema import load_schema
from e2pose.core.spec import METADATA_KEY, ModelSpec
from e2pose.export.verify import Deviation, Images, verify_artifact
from e2pose.runtimes.base import INPUT, OUTPUTS, join_batches, split_batch

_OPSET = 17
_INPUT_SUFFIX = "inputimg"
_SCORES_SUFFIX, _KEYPOINTS_SUFFIX = "_reshape_pv/concat", "_reshape_kvxy/concat"
"""Suffixes of the operations for person scores, (B, M, 1, 1), and (score, x, y) of keypoints, (B, M, K, 3)."""

_HINT = "use the frozen_model.pb of one of the authors' models"


@dataclass(frozen=True)
class _FrozenGraph:
    """A frozen graph with the names and known shapes of its tensors."""

    definition: Any
    pixels: str
    scores: str
    keypoints: str
    batch_size: int | None
    input_size_hw: tuple[int, int]


def convert_frozen_graph(path: Path, output: str | Path, *, name: str | None = None, images: Images = ()) -> Deviation:
    """Converts a frozen graph to an ONNX file and verifies it against TensorFlow.

    Properties of these models, stretched images and a doubled keypoint score, are stored in the spec.

    Args:
        path: A `frozen_model.pb` file.
        output: An `.onnx` file.
        name: Name of the model; None for the stem of the output.
        images: RGB images for verification; noise if there are none.

    Returns:
        The deviation from TensorFlow.

    Raises:
        OptionError: The output does not end in `.onnx`.
        ModelError: The file is not a graph of the authors, or the result deviates too much; it is not written.
        OutputError: The file cannot be written.
    """
    output = Path(output)
    check_suffix(output, ".onnx", "a converted model")
    graph = _read_graph(path)
    spec = ModelSpec(
        name=name or output.stem,
        input_size_hw=graph.input_size_hw,
        fit="stretch",
        schema=load_schema("coco"),
        threshold=0.5,
        keypoint_threshold=0.5,
        keypoint_score_scale=2.0,
        trained_on=("coco",),
    )
    converted, _ = tf2onnx.convert.from_graph_def(
        graph.definition, input_names=[graph.pixels], output_names=[graph.scores, graph.keypoints], opset=_OPSET
    )
    model = _wrap(converted, graph, spec)
    with atomic_path(output) as temporary:
        temporary.write_bytes(model.SerializeToString())
        return verify_artifact(temporary, _TensorFlowRuntime(graph, spec), images)


def _read_graph(path: Path) -> _FrozenGraph:
    """Reads a graph and finds its input and outputs."""
    definition = tensorflow.compat.v1.GraphDef()
    try:
        definition.ParseFromString(path.read_bytes())
        with tensorflow.Graph().as_default() as graph:
            tensorflow.import_graph_def(definition, name="")
    except (OSError, DecodeError, ValueError) as error:
        raise ModelError(f"'{path}' is not a frozen TensorFlow graph: {error}", "check the path") from error
    operations = graph.get_operations()
    placeholders = [operation for operation in operations if operation.type == "Placeholder"]
    pixels = [operation for operation in placeholders if operation.name.endswith(_INPUT_SUFFIX)] or placeholders
    outputs = [
        [operation for operation in operations if operation.name.endswith(suffix)]
        for suffix in (_SCORES_SUFFIX, _KEYPOINTS_SUFFIX)
    ]
    found = [pixels, *outputs]
    counts = [len(operations) for operations in found]
    if counts != [1, 1, 1]:
        raise ModelError(
            f"'{path}' is not a model of the authors of E2Pose: expected one input and one operation each with the "
            f"suffixes '{_SCORES_SUFFIX}' and '{_KEYPOINTS_SUFFIX}', found {counts}",
            _HINT,
        )
    input_, scores, keypoints = (operations[0].outputs[0] for operations in found)
    batch_size, input_size_hw = _check_shapes(path, input_.shape, scores.shape, keypoints.shape)
    return _FrozenGraph(definition, input_.name, scores.name, keypoints.name, batch_size, input_size_hw)


def _check_shapes(path: Path, pixels: Any, scores: Any, keypoints: Any) -> tuple[int | None, tuple[int, int]]:  # noqa: ANN401 - TensorFlow has no types
    """Checks the shapes of a graph's tensors and returns its batch size and input size."""
    is_valid = (
        pixels.is_compatible_with((None, None, None, 3))
        and pixels[1:3].is_fully_defined()
        and keypoints.is_compatible_with((None, None, len(load_schema("coco")), 3))
        and (scores.rank is None or scores[1:2].is_compatible_with(keypoints[1:2]))
    )
    if not is_valid:
        raise ModelError(
            f"'{path}' must take (B, H, W, 3) and return (B, M, 1, 1) and (B, M, 17, 3), but it takes {pixels} and "
            f"returns {scores} and {keypoints}",
            _HINT,
        )
    batch_size, height, width, _ = pixels.as_list()
    return batch_size, (height, width)


def _wrap(model: onnx.ModelProto, graph: _FrozenGraph, spec: ModelSpec) -> onnx.ModelProto:
    """Adds the inputs and outputs of our artifacts to a converted graph."""
    constants = {
        "e2pose.rows": np.array([0, -1]),
        "e2pose.zero": np.array([0]),
        "e2pose.one": np.array([1]),
        "e2pose.three": np.array([3]),
        "e2pose.last": np.array([3]),
    }
    before = [
        helper.make_node("Cast", [INPUT], ["e2pose.float"], to=TensorProto.FLOAT),  # first, as TensorRT requires
        helper.make_node("Transpose", ["e2pose.float"], [graph.pixels], perm=[0, 2, 3, 1]),
    ]
    slices = {"kv": ("e2pose.zero", "e2pose.one"), "xy": ("e2pose.one", "e2pose.three")}
    after = [
        helper.make_node("Reshape", [graph.scores, "e2pose.rows"], ["scores"]),
        helper.make_node("Slice", [graph.keypoints, *slices["kv"], "e2pose.last"], ["e2pose.kv"]),
        helper.make_node("Squeeze", ["e2pose.kv", "e2pose.last"], ["keypoint_scores"]),
        helper.make_node("Slice", [graph.keypoints, *slices["xy"], "e2pose.last"], ["keypoints"]),
    ]
    batch: int | str = graph.batch_size or "batch"
    num_keypoints = len(spec.schema)
    shapes = {"scores": (), "keypoint_scores": (num_keypoints,), "keypoints": (num_keypoints, 2)}
    wrapped = helper.make_graph(
        [*before, *model.graph.node, *after],
        spec.name,
        [helper.make_tensor_value_info(INPUT, TensorProto.UINT8, [batch, 3, *spec.input_size_hw])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, "m", *shapes[name]]) for name in OUTPUTS],
        [*model.graph.initializer, *(numpy_helper.from_array(array, name) for name, array in constants.items())],
    )
    used = {node.domain for node in wrapped.node}
    versions = [entry for entry in model.opset_import if entry.domain in used]
    result = helper.make_model(wrapped, opset_imports=versions, ir_version=model.ir_version, producer_name="e2pose")
    helper.set_model_props(result, {METADATA_KEY: spec.to_json()})
    return result


class _TensorFlowRuntime:
    """A frozen graph in TensorFlow, as reference."""

    def __init__(self, graph: _FrozenGraph, spec: ModelSpec) -> None:
        self.spec = spec
        self.description = f"tensorflow {tensorflow.__version__} on cpu in f32"
        self._graph = graph
        with tensorflow.Graph().as_default() as imported:
            tensorflow.import_graph_def(graph.definition, name="")
        self._session = tensorflow.compat.v1.Session(graph=imported)

    def __call__(self, pixels: UInt8[np.ndarray, "b 3 h w"]) -> Candidates:
        batches = [self._run(batch) for batch in split_batch(pixels, self._graph.batch_size)]
        return join_batches(batches, len(pixels))

    def _run(self, pixels: UInt8[np.ndarray, "b 3 h w"]) -> Candidates:
        outputs: Sequence[str] = [self._graph.scores, self._graph.keypoints]
        nhwc = pixels.transpose(0, 2, 3, 1).astype(np.float32)
        scores, keypoints = self._session.run(outputs, {self._graph.pixels: nhwc})
        return Candidates(scores.reshape(len(pixels), -1), keypoints[..., 0], keypoints[..., 1:])
