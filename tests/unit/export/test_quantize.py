from pathlib import Path

import onnx
import pytest

from e2pose.core.errors import ModelError, OptionError
from e2pose.core.spec import PRECISION_KEY
from e2pose.export import quantize
from e2pose.export.onnx import export_onnx
from e2pose.export.quantize import export_int8
from e2pose.export.source import ExportSource
from e2pose.runtimes.onnxruntime import OnnxRuntime
from e2pose.runtimes.openvino import OpenVinoRuntime
from e2pose.runtimes.torch import TorchRuntime
from helpers.networks import SPEC, noise, two_layer_network

IMAGES = list(noise(12, (80, 70)))


@pytest.fixture(autouse=True)
def lower_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantize, "MIN_SIMILARITY", 0.5)  # networks with random weights do not reach more


@pytest.mark.filterwarnings("ignore::e2pose.core.errors.AccuracyWarning")  # of OpenVINO on a CPU without VNNI
def test_last_convolutions_stay_in_float(source: ExportSource, tmp_path: Path) -> None:
    trials = []
    result = export_int8(source, tmp_path / "small.onnx", IMAGES, on_trial=trials.append)
    assert result.layers.similarity >= quantize.MIN_SIMILARITY
    assert len(set(trials)) == 1
    assert len(trials) <= trials[0]
    model = onnx.load(tmp_path / "small.onnx")
    producers = {name: node.op_type for node in model.graph.node for name in node.output}
    kernels = {node.input[1]: producers.get(node.input[1]) for node in model.graph.node if node.op_type == "Conv"}
    assert sum(producer == "DequantizeLinear" for producer in kernels.values()) == len(result.layers.quantised)
    assert all(producer is None for name, producer in kernels.items() if "head.output" in name)
    scales = {tensor.name: tensor.dims for tensor in model.graph.initializer if tensor.name.endswith("_scale")}
    assert any(list(dims) == [8] for dims in scales.values()), "one scale per channel"
    assert {entry.key: entry.value for entry in model.metadata_props}[PRECISION_KEY] == "int8"
    assert {entry.domain for entry in model.opset_import} <= {"", "ai.onnx"}
    runtime = OnnxRuntime(tmp_path / "small.onnx")
    assert runtime.spec == SPEC
    assert " in int8" in runtime.description
    assert " in int8 and f32" in OpenVinoRuntime(tmp_path / "small.onnx").description


def test_fixed_batch_size_is_kept(tmp_path: Path) -> None:
    network = two_layer_network()
    export_onnx(network, SPEC, tmp_path / "two.onnx", batch_size=2)
    source = ExportSource(tmp_path / "two.onnx", TorchRuntime(network, SPEC))
    assert export_int8(source, tmp_path / "int8.onnx", IMAGES).layers.similarity >= quantize.MIN_SIMILARITY
    assert onnx.load(tmp_path / "int8.onnx").graph.input[0].type.tensor_type.shape.dim[0].dim_value == 2


def test_rejected_model_is_not_written(source: ExportSource, tmp_path: Path) -> None:
    def reject(path: Path) -> None:
        assert path.stat().st_size > 0
        raise ModelError("too bad")

    with pytest.raises(ModelError, match="too bad"):
        export_int8(source, tmp_path / "small.onnx", IMAGES, check=reject)
    assert list(tmp_path.iterdir()) == []


def test_dissimilar_model_is_not_written(source: ExportSource, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(quantize, "MIN_SIMILARITY", 1.01)
    with pytest.raises(ModelError, match=r"the original is 0\.\d+; at least 1\.01 is accepted"):
        export_int8(source, tmp_path / "small.onnx", IMAGES)
    assert list(tmp_path.iterdir()) == []


def test_too_few_images_and_other_suffixes_are_rejected(source: ExportSource, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="at least 2 images for calibration, not 1"):
        export_int8(source, tmp_path / "small.onnx", IMAGES[:1])
    with pytest.raises(OptionError, match=r"must end in \.onnx"):
        export_int8(source, tmp_path / "small.xml", IMAGES)
