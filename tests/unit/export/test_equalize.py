import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from e2pose.export.equalize import GraphWeights, correct_biases, equalize, measure_activations

BATCHES = list(np.random.default_rng(1).integers(0, 256, (4, 1, 3, 8, 8), dtype=np.uint8))
SIZES = np.array([1e-3, 0.05, 0.3, 1.0], np.float32)  # ranges of channels as different as in MobileNetV2


@pytest.fixture
def model() -> onnx.ModelProto:
    """Normalisation, then a full, a depthwise and a pointwise convolution with clipping in between."""
    draw = np.random.default_rng(0)
    kernels = {"a": (4, 3, 3, 3), "b": (4, 1, 3, 3), "c": (2, 4, 1, 1)}
    weights = {"mean": np.array([120, 110, 100]).reshape(1, 3, 1, 1), "deviation": np.full((1, 3, 1, 1), 60)}
    weights |= {f"w{name}": draw.normal(size=shape) for name, shape in kernels.items()}
    weights |= {f"b{name}": np.abs(draw.normal(size=shape[0])) for name, shape in kernels.items()}
    weights["wa"], weights["ba"] = weights["wa"] * SIZES[:, None, None, None], weights["ba"] * SIZES
    weights |= {"low": np.array(0), "high": np.array(6)}
    nodes = [
        helper.make_node("Cast", ["pixels"], ["cast"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Sub", ["cast", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "deviation"], ["normal"]),
        helper.make_node("Conv", ["normal", "wa", "ba"], ["a"], "conv_a", pads=[1, 1, 1, 1]),
        helper.make_node("Clip", ["a", "low", "high"], ["a6"]),
        helper.make_node("Conv", ["a6", "wb", "bb"], ["b"], "conv_b", pads=[1, 1, 1, 1], group=4),
        helper.make_node("Clip", ["b", "low", "high"], ["b6"]),
        helper.make_node("Conv", ["b6", "wc", "bc"], ["c"], "conv_c"),
    ]
    pixels = helper.make_tensor_value_info("pixels", onnx.TensorProto.UINT8, ["batch", 3, 8, 8])
    output = helper.make_tensor_value_info("c", onnx.TensorProto.FLOAT, ["batch", 2, 8, 8])
    tensors = [numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()]
    graph = helper.make_graph(nodes, "small", [pixels], [output], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def run(model: onnx.ModelProto) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"pixels": batch})[0] for batch in BATCHES])


def test_channels_get_similar_ranges_and_outputs_stay(model: onnx.ModelProto) -> None:
    before, stats = run(model), measure_activations(model, ["a6", "b6"], BATCHES)
    peaks, next_peaks = stats["a6"].peak, stats["b6"].peak
    assert peaks.max() > 50 * peaks.min()
    equalize(model, BATCHES)
    np.testing.assert_allclose(run(model), before, rtol=1e-4, atol=1e-5)
    stats = measure_activations(model, ["a6", "b6"], BATCHES)
    np.testing.assert_allclose(stats["a6"].peak, 6, rtol=1e-4)  # the full range of eight bits
    np.testing.assert_allclose(stats["b6"].peak, np.sqrt(6 * next_peaks), rtol=1e-4)  # half of the way


def test_statistics_cover_all_values_of_all_batches(model: onnx.ModelProto) -> None:
    values = run(model)
    stats = measure_activations(model, ["c"], [np.concatenate(BATCHES[:2]), np.concatenate(BATCHES[2:])])["c"]
    np.testing.assert_allclose(stats.mean, values.mean(axis=(0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(stats.peak, np.abs(values).max(axis=(0, 2, 3)), rtol=1e-5)
    assert stats.size == 2 * 8 * 8


def test_magnitudes_of_negative_values_are_peaks(model: onnx.ModelProto) -> None:
    GraphWeights(model.graph)["bc"] = np.array([-1000.0, 1000.0])
    stats = measure_activations(model, ["c"], BATCHES)["c"]
    np.testing.assert_allclose(stats.peak, np.abs(run(model)).max(axis=(0, 2, 3)), rtol=1e-5)


def test_channels_below_the_upper_limit_are_scaled_up_to_it(model: onnx.ModelProto) -> None:
    weights = GraphWeights(model.graph)
    weights["wa"], weights["ba"] = 0.1 * weights["wa"], 0.1 * weights["ba"]
    assert measure_activations(model, ["a6"], BATCHES)["a6"].peak.max() < 3
    equalize(model, BATCHES)
    assert measure_activations(model, ["a6"], BATCHES)["a6"].peak.max() == pytest.approx(6)


def test_without_an_upper_limit_channels_get_the_largest_range(model: onnx.ModelProto) -> None:
    first = next(node for node in model.graph.node if node.op_type == "Clip")
    first.op_type = "Relu"
    del first.input[1:]
    before, peaks = run(model), measure_activations(model, ["a6"], BATCHES)["a6"].peak
    equalize(model, BATCHES)
    np.testing.assert_allclose(run(model), before, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        measure_activations(model, ["a6"], BATCHES)["a6"].peak, [1000 * peaks[0], *[peaks.max()] * 3], rtol=1e-4
    )


def test_channels_that_are_nearly_always_0_are_scaled_by_a_limited_factor(model: onnx.ModelProto) -> None:
    weights = GraphWeights(model.graph)
    weights["wa"] = weights["wa"] * np.array([0, 0, 1, 1])[:, None, None, None]
    weights["ba"] = np.array([0, 1e-5, 1, 1])
    equalize(model, BATCHES)
    np.testing.assert_allclose(weights["ba"][:2], [0, 1e-5 * 1e3], rtol=1e-5)


def test_map_of_zeros_is_not_scaled(model: onnx.ModelProto) -> None:
    first = next(node for node in model.graph.node if node.op_type == "Clip")
    first.op_type = "Relu"
    del first.input[1:]
    weights = GraphWeights(model.graph)
    weights["wa"], weights["ba"] = 0 * weights["wa"], 0 * weights["ba"]
    before = run(model)
    equalize(model, BATCHES)
    np.testing.assert_allclose(run(model), before, rtol=1e-4, atol=1e-5)


def test_shared_kernels_are_not_changed(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Conv", ["a6", "wc", "bc"], ["d"], "conv_d"))
    before = model.SerializeToString(deterministic=True)
    equalize(model, BATCHES)
    assert model.SerializeToString(deterministic=True) == before


def test_maps_with_other_readers_are_not_changed(model: onnx.ModelProto) -> None:
    weights = GraphWeights(model.graph)
    for name, values in (("wd", weights["wc"]), ("bd", weights["bc"])):
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    model.graph.node.append(helper.make_node("Conv", ["b6", "wd", "bd"], ["d"], "conv_d"))
    model.graph.output.append(helper.make_tensor_value_info("a6", onnx.TensorProto.FLOAT, [1, 4, 8, 8]))
    before = model.SerializeToString(deterministic=True)
    equalize(model, BATCHES)
    assert model.SerializeToString(deterministic=True) == before


def test_clipping_at_other_values_than_0_prevents_equalisation(model: onnx.ModelProto) -> None:
    GraphWeights(model.graph)["low"] = np.array(-1.0)
    before = model.SerializeToString(deterministic=True)
    equalize(model, BATCHES)
    assert model.SerializeToString(deterministic=True) == before


def test_corrected_biases_keep_the_mean_output_of_rounded_kernels(model: onnx.ModelProto) -> None:
    stats = measure_activations(model, ["b6"], BATCHES)
    weights = GraphWeights(model.graph)
    weights["wc"] = np.array([[0.5, 1.49, 0.49, 127], [1.4, 0.3, -2.4, -127]]).reshape(2, 4, 1, 1)
    exact = run(model).mean(axis=(0, 2, 3))
    rounded = np.array([[0.0, 1, 0, 127], [1, 0, -2, -127]]).reshape(2, 4, 1, 1)
    correct_biases(model, {"conv_c"}, stats)
    weights["wc"] = rounded
    np.testing.assert_allclose(run(model).mean(axis=(0, 2, 3)), exact, rtol=1e-4)
    before = model.SerializeToString(deterministic=True)
    correct_biases(model, set(), stats | {"a6": stats["b6"]})  # no layer is quantised
    correct_biases(model, {"conv_c"}, stats)  # nothing left to round
    correct_biases(model, {"conv_a"}, stats)  # no statistics of its input
    assert model.SerializeToString(deterministic=True) == before


def test_biases_of_depthwise_kernels_are_corrected(model: onnx.ModelProto) -> None:
    stats = measure_activations(model, ["a6"], BATCHES)
    weights = GraphWeights(model.graph)
    kernel, bias = weights["wb"].copy(), weights["bb"].copy()
    correct_biases(model, {"conv_b"}, stats)
    step = np.abs(kernel).max(axis=(1, 2, 3), keepdims=True) / 127
    error = (np.round(kernel / step) * step - kernel).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(weights["bb"], bias - error * stats["a6"].mean, rtol=1e-5)
    assert np.abs(weights["bb"] - bias).max() > 0


def test_bias_of_a_kernel_of_zeros_stays(model: onnx.ModelProto) -> None:
    weights = GraphWeights(model.graph)
    weights["wc"] = weights["wc"] * np.array([0, 1])[:, None, None, None]
    before = weights["bc"].copy()
    correct_biases(model, {"conv_c"}, measure_activations(model, ["b6"], BATCHES))
    assert weights["bc"][0] == before[0]
    assert np.isfinite(weights["bc"][1])
