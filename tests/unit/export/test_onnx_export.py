import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from e2pose.core.errors import ModelError, OptionError
from e2pose.core.schema import load_schema
from e2pose.core.spec import METADATA_KEY, ModelSpec
from e2pose.export import onnx as exporter
from e2pose.export.fold import Precision
from e2pose.export.onnx import export_onnx
from e2pose.export.verify import EXACT, Deviation
from e2pose.models.weights import MAX_F32_KERNEL_SIZE
from e2pose.runtimes.onnxruntime import OnnxRuntime
from helpers.networks import SPEC, noise, small_network, two_layer_network, two_layer_onnx


@pytest.fixture(scope="module", params=["f32", "f16"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    path = tmp_path_factory.mktemp("exported") / f"{request.param}.onnx"
    path.write_bytes(two_layer_onnx(request.param))
    return request.param, path


def test_inputs_outputs_and_metadata_of_the_graph(exported) -> None:
    model = onnx.load(exported[1])
    onnx.checker.check_model(model, full_check=True)

    def describe(value):
        tensor = value.type.tensor_type
        return value.name, tensor.elem_type, [dim.dim_param or dim.dim_value for dim in tensor.shape.dim]

    assert [describe(value) for value in model.graph.input] == [("pixels", TensorProto.UINT8, ["batch", 3, 64, 96])]
    assert [describe(value) for value in model.graph.output] == [
        ("scores", TensorProto.FLOAT, ["batch", 8]),
        ("keypoint_scores", TensorProto.FLOAT, ["batch", 8, 17]),
        ("keypoints", TensorProto.FLOAT, ["batch", 8, 17, 2]),
    ]
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": 18}
    assert (model.graph.name, model.producer_name) == ("small", "e2pose")
    assert not model.graph.value_info
    parts = (*model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output, model.graph)
    assert not any(part.doc_string or part.metadata_props for part in parts)
    assert [node.op_type for node in model.graph.node if "pixels" in node.input] == ["Cast"]  # required by TensorRT
    assert {entry.key: ModelSpec.from_json(entry.value) for entry in model.metadata_props} == {METADATA_KEY: SPEC}


@pytest.mark.slow
def test_cropped_inputs_have_open_axes(tmp_path: Path) -> None:
    export_onnx(two_layer_network(), replace(SPEC, multiple_of=32), tmp_path / "open.onnx")
    model = onnx.load(tmp_path / "open.onnx")
    onnx.checker.check_model(model, full_check=True)
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {
        "pixels": ["batch", 3, "height", "width"],
        "scores": ["batch", "candidates"],
        "keypoint_scores": ["batch", "candidates", 17],
        "keypoints": ["batch", "candidates", 17, 2],
    }


def test_no_batch_norm_follows_a_convolution(exported) -> None:
    graph = onnx.load(exported[1]).graph
    producers = {name: node.op_type for node in graph.node for name in node.output}
    norms = [node for node in graph.node if node.op_type == "BatchNormalization"]
    assert len(norms) == 3  # one in the pyramid, one in the head on each of two levels
    assert all(producers[node.input[0]] != "Conv" for node in norms)


def test_file_contains_no_paths_of_this_machine(exported) -> None:
    content = exported[1].read_bytes()
    assert str(Path(exporter.__file__).parents[3]).encode() not in content
    assert b"networks.py" not in content
    assert b"site-packages" not in content


@pytest.fixture(scope="module", params=["f32", "f16"])
def refined(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Precision, Path, Deviation]:
    """A network with refinement, its ONNX file and their deviation; the input of the f16 file is cropped."""
    path = tmp_path_factory.mktemp("refined") / "small.onnx"
    images = [noise(1, size_hw)[0] for size_hw in ((64, 96), (90, 40))]
    spec = replace(SPEC, multiple_of={"f32": None, "f16": 32}[request.param])
    return request.param, path, export_onnx(small_network(), spec, path, precision=request.param, images=images)


@pytest.mark.slow
def test_large_kernels_are_stored_in_the_given_precision(refined) -> None:
    precision, path, _ = refined
    tensors = onnx.load(path).graph.initializer
    halves = [tensor for tensor in tensors if tensor.data_type == TensorProto.FLOAT16]
    large = [tensor for tensor in tensors if len(tensor.dims) == 4 and math.prod(tensor.dims) > MAX_F32_KERNEL_SIZE]
    assert halves == (large if precision == "f16" else [])
    assert len(large) > 3


def test_export_is_silent_and_does_not_change_the_network(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    network = two_layer_network().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    deviation = export_onnx(network, SPEC, tmp_path / "quiet.onnx", precision="f16", images=list(noise(2, (90, 70))))
    assert capfd.readouterr() == ("", "")
    assert network.training
    assert all((value == before[name]).all() for name, value in network.state_dict().items())
    assert deviation.keypoint_px < 0.01
    assert [path.name for path in tmp_path.iterdir()] == ["quiet.onnx"]


def test_deviating_file_is_not_written(exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = onnx.load(exported[1])
    for tensor in model.graph.initializer:
        if len(tensor.dims) == 4 and tensor.dims[0] > 1:
            kernel = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(1.01 * kernel, tensor.name))
    monkeypatch.setattr(exporter, "_trace", lambda network, spec, opset, batch_size: model)
    with pytest.raises(ModelError, match="the exported 'small' deviates from its network by"):
        export_onnx(two_layer_network(), SPEC, tmp_path / "bad.onnx", precision="f32")
    assert list(tmp_path.iterdir()) == []


def test_reference_has_rounded_kernels_with_f16_only(exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    precision, path = exported
    network, stored, references = two_layer_network(), two_layer_network(), []
    monkeypatch.setattr(exporter, "deployment_copy", lambda network, precision: stored)
    monkeypatch.setattr(exporter, "_trace", lambda *args: onnx.load(path))
    monkeypatch.setattr(exporter, "TorchRuntime", lambda *args: references.append(args[0]) or OnnxRuntime(path))
    export_onnx(network, SPEC, tmp_path / "model.onnx", precision=precision)
    assert references == [network if precision == "f32" else stored]


def test_input_size_must_be_a_multiple_of_32(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="multiples of 32"):
        export_onnx(two_layer_network(), replace(SPEC, input_size_hw=(64, 100)), tmp_path / "odd.onnx")


def test_schema_must_match_the_network(tmp_path: Path) -> None:
    spec = replace(SPEC, schema=load_schema("crowdpose"))
    with pytest.raises(ModelError, match="the network has 17 keypoints, but the schema 'crowdpose' has 14"):
        export_onnx(two_layer_network(), spec, tmp_path / "never.onnx")


def test_other_suffixes_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"must end in \.onnx"):
        export_onnx(two_layer_network(), SPEC, tmp_path / "trained.safetensors")


def test_fixed_batch_size(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="at least 1, not 0"):
        export_onnx(two_layer_network(), SPEC, tmp_path / "none.onnx", batch_size=0)
    export_onnx(two_layer_network(), SPEC, tmp_path / "three.onnx", batch_size=3)
    shape = onnx.load(tmp_path / "three.onnx").graph.input[0].type.tensor_type.shape
    assert [axis.dim_value for axis in shape.dim] == [3, 3, 64, 96]
    assert OnnxRuntime(tmp_path / "three.onnx")(np.zeros((5, 3, 64, 96), np.uint8)).scores.shape == (5, 8)


@pytest.mark.slow
def test_refined_network_is_exported(refined) -> None:
    _, _, deviation = refined
    assert deviation.is_within(EXACT)
    assert deviation.num_candidates > 10
