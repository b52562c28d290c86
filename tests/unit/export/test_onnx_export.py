import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from e2pose.core.candidates import Candidates
from e2pose.core.errors import ModelError, OptionError
from e2pose.core.schema import load_schema
from e2pose.core.spec import METADATA_KEY, ModelSpec
from e2pose.export import onnx as exporter
from e2pose.export.fold import deployment_copy
from e2pose.export.onnx import export_onnx
from e2pose.export.verify import EXACT, compare_candidates, verify_artifact
from e2pose.models.weights import MAX_F32_KERNEL_SIZE
from e2pose.runtimes.onnxruntime import OnnxRuntime
from e2pose.runtimes.torch import TorchRuntime
from helpers.networks import SPEC, halve_all_kernels, noise, small_network, two_layer_network, two_layer_onnx


@pytest.fixture(scope="module", params=["f32", "f16"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    path = tmp_path_factory.mktemp("exported") / f"{request.param}.onnx"
    path.write_bytes(two_layer_onnx(request.param))
    return request.param, path


def test_graph_is_as_promised(exported) -> None:
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
    assert {entry.domain for entry in model.opset_import} == {""}
    assert [node.op_type for node in model.graph.node if "pixels" in node.input] == ["Cast"]  # TensorRT takes no other
    assert {entry.key: ModelSpec.from_json(entry.value) for entry in model.metadata_props} == {METADATA_KEY: SPEC}


def test_graph_of_a_canvas_that_may_be_shortened(tmp_path: Path) -> None:
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
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    norms = [node for node in graph.node if node.op_type == "BatchNormalization"]
    assert len(norms) == 3  # of the pyramid, and of the head on each of two levels
    assert all(made_by[node.input[0]] != "Conv" for node in norms)


def test_file_does_not_tell_where_it_was_made(exported) -> None:
    content = exported[1].read_bytes()
    assert str(Path(exporter.__file__).parents[3]).encode() not in content
    assert b"networks.py" not in content
    assert b"site-packages" not in content


@pytest.mark.parametrize("precision", ["f32", "f16"])
def test_kernels_are_stored_as_asked(precision, tmp_path: Path) -> None:
    export_onnx(small_network(), SPEC, tmp_path / "small.onnx", precision=precision)
    tensors = onnx.load(tmp_path / "small.onnx").graph.initializer
    halves = [tensor for tensor in tensors if tensor.data_type == TensorProto.FLOAT16]
    large = [tensor for tensor in tensors if len(tensor.dims) == 4 and math.prod(tensor.dims) > MAX_F32_KERNEL_SIZE]
    assert halves == (large if precision == "f16" else [])
    assert len(large) > 3


def test_export_says_nothing_and_leaves_the_network_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    network = two_layer_network().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    deviation = export_onnx(network, SPEC, tmp_path / "quiet.onnx", precision="f16", images=list(noise(2, (90, 70))))
    assert capfd.readouterr() == ("", "")
    assert network.training
    assert all((value == before[name]).all() for name, value in network.state_dict().items())
    assert deviation.keypoint_px < 0.01
    assert [path.name for path in tmp_path.iterdir()] == ["quiet.onnx"]


def test_file_that_deviates_does_not_appear(exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = onnx.load(exported[1])
    for tensor in model.graph.initializer:
        if len(tensor.dims) == 4 and tensor.dims[0] > 1:
            kernel = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(1.01 * kernel, tensor.name))
    monkeypatch.setattr(exporter, "_to_graph", lambda network, spec, opset, batch: model)
    with pytest.raises(ModelError, match="the exported 'small' deviates from its network by"):
        export_onnx(two_layer_network(), SPEC, tmp_path / "bad.onnx", precision="f32")
    assert list(tmp_path.iterdir()) == []


def test_artifact_of_another_network_is_found_out(exported) -> None:
    precision, path = exported
    images = list(noise(10, (80, 80)))
    with halve_all_kernels():
        network = deployment_copy(two_layer_network(), precision)
    assert verify_artifact(path, TorchRuntime(network, SPEC), images, batches=(4,)).is_within(EXACT)
    network.head.output.bias.add_(0.05)
    with pytest.raises(ModelError, match=r"at most 0\.05 px and 0\.001, is accepted"):
        verify_artifact(path, TorchRuntime(network, SPEC), images, batches=(4,))


def test_canvas_must_fit_the_strides(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="multiples of 32"):
        export_onnx(two_layer_network(), replace(SPEC, input_size_hw=(64, 100)), tmp_path / "odd.onnx")


def test_schema_must_fit_the_network(tmp_path: Path) -> None:
    spec = replace(SPEC, schema=load_schema("crowdpose"))
    with pytest.raises(ModelError, match="the network has 17 keypoints, but the schema 'crowdpose' has 14"):
        export_onnx(two_layer_network(), spec, tmp_path / "never.onnx")


def test_an_export_never_has_the_name_of_weights(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"must end in \.onnx"):
        export_onnx(two_layer_network(), SPEC, tmp_path / "trained.safetensors")


def test_fixed_batch(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="at least one picture, not 0"):
        export_onnx(two_layer_network(), SPEC, tmp_path / "none.onnx", batch=0)
    export_onnx(two_layer_network(), SPEC, tmp_path / "three.onnx", batch=3)
    shape = onnx.load(tmp_path / "three.onnx").graph.input[0].type.tensor_type.shape
    assert [axis.dim_value for axis in shape.dim] == [3, 3, 64, 96]
    assert OnnxRuntime(tmp_path / "three.onnx")(np.zeros((5, 3, 64, 96), np.uint8)).scores.shape == (5, 8)


@pytest.mark.parametrize("part", ["scores", "keypoint_scores", "keypoints"])
def test_not_a_number_is_a_deviation(part: str) -> None:
    good = Candidates(np.ones((1, 2), "f4"), np.ones((1, 2, 3), "f4"), np.ones((1, 2, 3, 2), "f4"))
    bad = replace(good, **{part: np.full_like(getattr(good, part), np.nan)})
    assert compare_candidates(good, good, (64, 64)).is_within(EXACT)
    assert not compare_candidates(bad, good, (64, 64)).is_within(EXACT)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["f32", "f16"])
def test_mobilenet(tmp_path: Path, precision: str) -> None:
    deviation = export_onnx(small_network(), SPEC, tmp_path / "small.onnx", precision=precision)
    assert deviation.is_within(EXACT)
    assert deviation.candidates > 10
