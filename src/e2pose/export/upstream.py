"""The original authors' frozen TensorFlow graphs as ONNX files like all others."""

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
from e2pose.core.errors import ModelError, OptionError
from e2pose.core.files import atomic_path
from e2pose.core.schema import load_schema
from e2pose.core.spec import METADATA_KEY, ModelSpec
from e2pose.export.verify import Deviation, Images, verify_artifact
from e2pose.runtimes.base import INPUT, OUTPUTS, join_batches, split_batch

_OPSET = 17
_INPUT_NAME = "inputimg"
_SCORES, _KEYPOINTS = "_reshape_pv/concat", "_reshape_kvxy/concat"
"""How the names of operations end that give the person scores, (B, M, 1, 1), and (score, x, y), (B, M, K, 3)."""


@dataclass(frozen=True)
class _Graph:
    """A frozen graph, with the names of its tensors and what is known of their shapes."""

    definition: Any
    pixels: str
    scores: str
    keypoints: str
    batch: int | None
    size_hw: tuple[int, int]


def convert_upstream(path: Path, output: str | Path, *, name: str | None = None, images: Images = ()) -> Deviation:
    """Turns a frozen graph into an ONNX file that is used like any other, checked against TensorFlow.

    What is peculiar to these models, a stretched picture and a keypoint score that is doubled, stands in the spec.

    Args:
        path: A `frozen_model.pb` file.
        output: An `.onnx` file.
        name: What the model is called; None for the name of the output.
        images: RGB pictures to check on; noise if there are none.

    Returns:
        How much the file deviates from TensorFlow.

    Raises:
        OptionError: The output does not end in `.onnx`.
        ModelError: The file is not a graph of the authors, or the result deviates too much; then there is no file.
        OutputError: The file cannot be written.
    """
    output = Path(output)
    if output.suffix.lower() != ".onnx":
        raise OptionError(f"a converted model must end in .onnx, but '{output}' does not", "give another name")
    graph = _read(path)
    spec = ModelSpec(
        name=name or output.stem,
        input_size_hw=graph.size_hw,
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
    model = _wrapped(converted, graph, spec)
    with atomic_path(output) as temporary:
        temporary.write_bytes(model.SerializeToString())
        return verify_artifact(temporary, _TensorFlow(graph, spec), images)


def _read(path: Path) -> _Graph:
    """Reads a graph and finds what it takes and gives."""
    definition = tensorflow.compat.v1.GraphDef()
    try:
        definition.ParseFromString(path.read_bytes())
        with tensorflow.Graph().as_default() as graph:
            tensorflow.import_graph_def(definition, name="")
    except (OSError, DecodeError, ValueError) as error:
        raise ModelError(f"'{path}' is not a frozen TensorFlow graph: {error}", "check the path") from error
    operations = graph.get_operations()
    placeholders = [one for one in operations if one.type == "Placeholder"]
    pixels = [one for one in placeholders if one.name.endswith(_INPUT_NAME)] or placeholders
    found = [pixels, *([one for one in operations if one.name.endswith(end)] for end in (_SCORES, _KEYPOINTS))]
    if [len(some) for some in found] != [1, 1, 1]:
        raise ModelError(
            f"'{path}' is not a model of the authors of E2Pose: it must have one input and one operation each "
            f"that ends in '{_SCORES}' and '{_KEYPOINTS}', but it has {', '.join(str(len(some)) for some in found)}",
            "give the frozen_model.pb of one of their models",
        )
    names = [one[0].outputs[0].name for one in found]
    canvas, people, points = (one[0].outputs[0].shape for one in found)
    fits = (
        canvas.is_compatible_with((None, None, None, 3))
        and canvas[1:3].is_fully_defined()
        and points.is_compatible_with((None, None, len(load_schema("coco")), 3))
        and (people.rank is None or people[1:2].is_compatible_with(points[1:2]))
    )
    if not fits:
        raise ModelError(
            f"'{path}' must take (B, H, W, 3) and give (B, M, 1, 1) and (B, M, 17, 3), but it takes {canvas} and gives "
            f"{people} and {points}",
            "give the frozen_model.pb of one of their models",
        )
    batch, height, width, _ = canvas.as_list()
    return _Graph(definition, names[0], names[1], names[2], batch, (height, width))


def _wrapped(model: onnx.ModelProto, graph: _Graph, spec: ModelSpec) -> onnx.ModelProto:
    """The converted graph with inputs and outputs as all artifacts have them."""
    constants = {
        "e2pose.rows": np.array([0, -1]),
        "e2pose.zero": np.array([0]),
        "e2pose.one": np.array([1]),
        "e2pose.three": np.array([3]),
        "e2pose.last": np.array([3]),
    }
    before = [
        helper.make_node("Cast", [INPUT], ["e2pose.float"], to=TensorProto.FLOAT),  # TensorRT wants this first
        helper.make_node("Transpose", ["e2pose.float"], [graph.pixels], perm=[0, 2, 3, 1]),
    ]
    slices = {"kv": ("e2pose.zero", "e2pose.one"), "xy": ("e2pose.one", "e2pose.three")}
    after = [
        helper.make_node("Reshape", [graph.scores, "e2pose.rows"], ["scores"]),
        helper.make_node("Slice", [graph.keypoints, *slices["kv"], "e2pose.last"], ["e2pose.kv"]),
        helper.make_node("Squeeze", ["e2pose.kv", "e2pose.last"], ["keypoint_scores"]),
        helper.make_node("Slice", [graph.keypoints, *slices["xy"], "e2pose.last"], ["keypoints"]),
    ]
    batch: int | str = graph.batch or "batch"
    keypoints = len(spec.schema)
    shapes = {"scores": (), "keypoint_scores": (keypoints,), "keypoints": (keypoints, 2)}
    wrapped = helper.make_graph(
        [*before, *model.graph.node, *after],
        spec.name,
        [helper.make_tensor_value_info(INPUT, TensorProto.UINT8, [batch, 3, *spec.input_size_hw])],
        [helper.make_tensor_value_info(one, TensorProto.FLOAT, [batch, "m", *shapes[one]]) for one in OUTPUTS],
        [*model.graph.initializer, *(numpy_helper.from_array(array, one) for one, array in constants.items())],
    )
    used = {node.domain for node in wrapped.node}
    versions = [entry for entry in model.opset_import if entry.domain in used]
    result = helper.make_model(wrapped, opset_imports=versions, ir_version=model.ir_version, producer_name="e2pose")
    helper.set_model_props(result, {METADATA_KEY: spec.to_json()})
    return result


class _TensorFlow:
    """The frozen graph as it is."""

    def __init__(self, graph: _Graph, spec: ModelSpec) -> None:
        self.spec = spec
        self.description = f"tensorflow {tensorflow.__version__} on cpu in f32"
        self._graph = graph
        with tensorflow.Graph().as_default() as imported:
            tensorflow.import_graph_def(graph.definition, name="")
        self._session = tensorflow.compat.v1.Session(graph=imported)

    def __call__(self, pixels: UInt8[np.ndarray, "b 3 h w"]) -> Candidates:
        portions = [self._run(portion) for portion in split_batch(pixels, self._graph.batch)]
        return join_batches(portions, len(pixels))

    def _run(self, pixels: UInt8[np.ndarray, "b 3 h w"]) -> Candidates:
        wanted: Sequence[str] = [self._graph.scores, self._graph.keypoints]
        nhwc = pixels.transpose(0, 2, 3, 1).astype(np.float32)
        scores, keypoints = self._session.run(wanted, {self._graph.pixels: nhwc})
        return Candidates(scores.reshape(len(pixels), -1), keypoints[..., 0], keypoints[..., 1:])
