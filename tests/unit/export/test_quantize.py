import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from e2pose.core.errors import ModelError, OptionError
from e2pose.core.spec import PRECISION_KEY
from e2pose.export import quantize
from e2pose.export.onnx import export_onnx
from e2pose.export.quantize import export_int8
from e2pose.export.sensitivity import LayerSelection
from e2pose.export.source import ExportSource
from e2pose.runtimes.onnxruntime import OnnxRuntime
from e2pose.runtimes.openvino import OpenVinoRuntime
from e2pose.runtimes.torch import TorchRuntime
from helpers.networks import SPEC, noise, two_layer_network

IMAGES = list(noise(12, (80, 70)))
MIN_SIMILARITY = quantize.MIN_SIMILARITY


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


@pytest.mark.parametrize("similarity", [0.69, math.nan])
def test_similarity_of_at_least_70_percent_is_required(
    source: ExportSource, tmp_path: Path, monkeypatch, similarity: float
) -> None:
    monkeypatch.setattr(quantize, "MIN_SIMILARITY", MIN_SIMILARITY)
    monkeypatch.setattr(quantize, "select_layers", lambda *args: LayerSelection((), (), similarity))
    with pytest.raises(ModelError, match=r"at least 0\.7 is accepted"):
        export_int8(source, tmp_path / "small.onnx", IMAGES)


def test_ranges_and_layers_are_determined_on_different_images(
    source: ExportSource, tmp_path: Path, monkeypatch
) -> None:
    images = [np.full((64, 96, 3), index, np.uint8) for index in range(100)]
    calibrated, calibrate = [], quantize._calibrate

    def record(model, folder, batches):
        calibrated.extend(int(batch[0, 0, 0, 0]) for batch in batches)
        return calibrate(model, folder, batches)

    def compare(float_costs, quantise, reference, spec, on_trial):
        for candidates, image in zip(reference, images[1:49:2], strict=True):
            expected = source.reference(np.ascontiguousarray(image[None].transpose(0, 3, 1, 2)))
            np.testing.assert_allclose(candidates.scores, expected.scores, rtol=1e-5)
        return LayerSelection(tuple(float_costs), (), 1.0)

    monkeypatch.setattr(quantize, "_calibrate", record)
    monkeypatch.setattr(quantize, "select_layers", compare)
    export_int8(source, tmp_path / "small.onnx", images)
    assert calibrated == list(range(0, 100, 2))


def test_model_is_equalised_and_biases_of_quantised_layers_are_corrected(
    source: ExportSource, tmp_path: Path, monkeypatch
) -> None:
    equalised, corrected = [], []
    equalize, correct_biases = quantize.equalize, quantize.correct_biases
    monkeypatch.setattr(quantize, "equalize", lambda *args: (equalised.append(args), equalize(*args)))
    monkeypatch.setattr(quantize, "correct_biases", lambda *args: (corrected.append(args), correct_biases(*args)))
    result = export_int8(source, tmp_path / "small.onnx", IMAGES)
    assert [len(batches) for _, batches in equalised] == [6]
    assert corrected[-1][1] == set(result.layers.quantised)


def test_one_layer_is_quantised_without_the_operators_around_it(source: ExportSource, tmp_path: Path) -> None:
    quantizer = quantize._Quantizer(source, tmp_path, IMAGES)
    name = next(iter(quantizer.float_costs))
    quantizer.write([name], tmp_path / "one.onnx")
    nodes = onnx.load(tmp_path / "one.onnx").graph.node
    quantised = {node.input[0] for node in nodes if node.op_type == "QuantizeLinear"}
    (layer,) = [node for node in quantizer._model.graph.node if node.name == name]
    assert quantised == {layer.input[0], layer.output[0]}


def test_cost_in_float_counts_conversions_and_products(source: ExportSource, tmp_path: Path) -> None:
    costs = quantize._Quantizer(source, tmp_path, IMAGES[:2]).float_costs
    inputs, outputs, kernel = 3 * 64 * 96, 8 * 8 * 12, 3 * 8 * 8  # of the first convolution
    assert max(costs.values()) == pytest.approx(inputs + outputs + outputs * kernel / 300)


def test_ranges_are_the_means_over_the_images(onnx_path: Path, tmp_path: Path) -> None:
    dark, bright = (np.full((1, 3, 64, 96), value, np.uint8) for value in (100, 255))

    def upper_ends(batches):
        ranges = quantize._calibrate(onnx_path, tmp_path, batches)
        return np.array([np.max(ranges[name].range_value[1]) for name in ranges])

    expected = 0.9 * upper_ends([dark]) + 0.1 * upper_ends([bright])
    np.testing.assert_allclose(upper_ends([dark] * 9 + [bright]), expected, rtol=1e-3, atol=1e-3)


def test_calibration_images_are_never_cropped() -> None:
    cropped = replace(SPEC, multiple_of=32)
    assert quantize._preprocess(np.zeros((20, 96, 3), np.uint8), cropped).shape == (1, 3, 64, 96)


def test_too_few_images_and_other_suffixes_are_rejected(source: ExportSource, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="at least 2 images for calibration, not 1"):
        export_int8(source, tmp_path / "small.onnx", IMAGES[:1])
    with pytest.raises(OptionError, match=r"must end in \.onnx"):
        export_int8(source, tmp_path / "small.xml", IMAGES)
