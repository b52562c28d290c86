import base64
import importlib
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from e2pose.bench.peer_script import PEERS

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (1, 5, 6, 3), np.uint8)
FLOAT_IMAGE = IMAGE.astype(np.float32)


@pytest.fixture
def tfjs_graph(monkeypatch):
    monkeypatch.syspath_prepend(str(PEERS))
    return importlib.import_module("tfjs_graph")


def text(word: str) -> dict:
    return {"s": base64.b64encode(word.encode()).decode()}


def integers(*numbers: int) -> dict:
    return {"list": {"i": [str(number) for number in numbers]}}


def masks(**given: int) -> dict:
    kinds = ("begin", "end", "new_axis", "shrink_axis", "ellipsis")
    return {f"{kind}_mask": {"i": str(given.get(kind, 0))} for kind in kinds}


def run(tfjs_graph, tmp_path: Path, nodes: list, constants: dict[str, np.ndarray], halved: tuple[str, ...] = ()):
    """Converts and runs a graph whose first node casts the image to float."""
    cast = {"SrcT": {"type": "DT_INT32"}, "DstT": {"type": "DT_FLOAT"}}
    first = [{"name": "input", "op": "Placeholder"}, {"name": "image", "op": "Cast", "input": ["input"], "attr": cast}]
    weights, data = [], b""
    for name, value in constants.items():
        stored = value.astype(np.float16) if name in halved else value
        quantization = {"quantization": {"dtype": "float16", "original_dtype": "float32"}} if name in halved else {}
        weights.append({"name": name, "shape": list(value.shape), "dtype": value.dtype.name, **quantization})
        data += stored.tobytes()
    named = [{"name": name, "op": op, "input": inputs, "attr": attr} for name, op, inputs, attr in nodes]
    model = {
        "modelTopology": {"node": [*first, *({"name": name, "op": "Const"} for name in constants), *named]},
        "weightsManifest": [{"paths": ["w.bin"], "weights": weights}],
    }
    (tmp_path / "model.json").write_text(json.dumps(model))
    (tmp_path / "w.bin").write_bytes(data)
    graph = tfjs_graph.convert(tmp_path / "model.json", tmp_path / "w.bin")
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["output"], {"input": IMAGE})[0]


def convolve(image: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """Convolution by definition, with the SAME padding of TensorFlow: the larger part at the end."""
    sizes = [-(-length // stride) for length in image.shape[1:3]]
    gaps = [
        max((size - 1) * stride + kernel.shape[0] - length, 0)
        for size, length in zip(sizes, image.shape[1:3], strict=True)
    ]
    padded = np.pad(image, [(0, 0), *((gap // 2, gap - gap // 2) for gap in gaps), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape[:2], axis=(1, 2))[:, ::stride, ::stride]
    return np.einsum("byxchw,hwcd->byxd", windows, kernel)


def attributes(stride: int, *fused: str) -> dict:
    return {
        "strides": integers(1, stride, stride, 1),
        "padding": text("SAME"),
        "fused_ops": {"list": {"s": [text(one)["s"] for one in fused]}},
    }


def test_fused_convolution(tfjs_graph, tmp_path: Path) -> None:
    constants = {
        "kernel": RNG.normal(0, 0.01, (3, 3, 3, 4)).astype(np.float32),
        "bias": RNG.normal(0, 1, 4).astype(np.float32),
    }
    nodes = [("out", "_FusedConv2D", ["image", "kernel", "bias"], attributes(2, "BiasAdd", "Relu6"))]
    expected = np.clip(convolve(FLOAT_IMAGE, constants["kernel"], 2) + constants["bias"], 0, 6)
    assert 0 in expected
    assert 6 in expected
    assert np.allclose(run(tfjs_graph, tmp_path, nodes, constants), expected, atol=1e-4)


def test_depthwise_convolution_with_float16_weights(tfjs_graph, tmp_path: Path) -> None:
    kernel = RNG.normal(0, 0.01, (3, 3, 3, 1)).astype(np.float16).astype(np.float32)
    nodes = [("out", "DepthwiseConv2dNative", ["image", "kernel"], attributes(1))]
    full = np.zeros((3, 3, 3, 3), np.float32)
    full[:, :, range(3), range(3)] = kernel[..., 0]
    output = run(tfjs_graph, tmp_path, nodes, {"kernel": kernel}, halved=("kernel",))
    assert np.allclose(output, convolve(FLOAT_IMAGE, full, 1), atol=1e-4)


def test_feature_pyramid_keeps_the_channel_order(tfjs_graph, tmp_path: Path) -> None:
    """Pooling, shape, resizing to twice the size, addition, and a slice in NHWC."""
    bilinear = {"align_corners": {"b": False}, "half_pixel_centers": {"b": True}}
    pooled = {"ksize": integers(1, 2, 2, 1), "strides": integers(1, 2, 2, 1), "padding": text("SAME")}
    nodes = [
        ("pooled", "MaxPool", ["image"], pooled),
        ("shape", "Shape", ["pooled"], {}),
        ("size", "StridedSlice", ["shape", "one", "three", "step"], masks()),
        ("doubled", "Mul", ["size", "two"], {}),
        ("resized", "ResizeBilinear", ["pooled", "doubled"], bilinear),
        ("sum", "AddV2", ["resized", "resized"], {}),
        ("rows", "StridedSlice", ["sum", "zeros", "most", "steps"], masks(begin=9, end=9)),
    ]
    constants = {"one": [1], "three": [3], "step": [1], "two": [2, 2], "zeros": [0, 0, 0, 0], "most": [1, 2, 2, 3]}
    constants["steps"] = [1, 1, 1, 1]
    output = run(tfjs_graph, tmp_path, nodes, {name: np.array(value, np.int32) for name, value in constants.items()})
    pooled_image = FLOAT_IMAGE[0, :4].reshape(2, 2, 3, 2, 3).max(axis=(1, 3))
    assert output.shape == (1, 2, 2, 3)
    assert np.allclose(output[0, 0, 0], 2 * pooled_image[0, 0])
    assert np.allclose(output[0, 0, 1], 1.5 * pooled_image[0, 0] + 0.5 * pooled_image[0, 1])
    assert np.allclose(output[0, 1, 0], 1.5 * pooled_image[0, 0] + 0.5 * pooled_image[1, 0])


@pytest.mark.parametrize(
    ("begin", "end", "given", "expected"),
    [
        ([0, 1, 2, 0], [0, 3, 5, 2], {"begin": 1, "end": 1}, FLOAT_IMAGE[:, 1:3, 2:5, :2]),
        ([0, 3, 0, 0], [0, 4, 0, 0], {"begin": 13, "end": 13, "shrink_axis": 2}, FLOAT_IMAGE[:, 3]),
        ([0] * 5, [0] * 5, {"begin": 29, "end": 29, "new_axis": 2}, FLOAT_IMAGE[:, None]),
        ([0] * 6, [0] * 6, {"begin": 15, "end": 15, "new_axis": 48}, FLOAT_IMAGE[..., None, None]),
        ([0, 0, 2], [0, 0, 4], {"begin": 1, "end": 1, "new_axis": 2}, FLOAT_IMAGE[:, None, 2:4]),
    ],
)
def test_strided_slice_equals_numpy(tfjs_graph, tmp_path: Path, *, begin, end, given, expected) -> None:
    constants = {"begin": np.array(begin, np.int32), "end": np.array(end, np.int32)}
    constants["step"] = np.ones(len(begin), np.int32)
    nodes = [("out", "StridedSlice", ["image", "begin", "end", "step"], masks(**given))]
    output = run(tfjs_graph, tmp_path, nodes, constants)
    assert output.shape == expected.shape
    assert (output == expected).all()


def test_top_k_and_gather_select_by_score(tfjs_graph, tmp_path: Path) -> None:
    """Operations at the end of the network: indices with the highest scores, their values, concatenation."""
    nodes = [
        ("flat", "Reshape", ["image", "all"], {}),
        ("best", "TopKV2", ["flat", "count"], {"sorted": {"b": True}}),
        ("places", "Squeeze", ["best:1"], {"squeeze_dims": integers(0)}),
        ("index", "Pack", ["nothing", "places"], {"axis": {"i": "1"}}),
        ("picked", "GatherNd", ["flat", "index"], {}),
        ("halves", "Unpack", ["pairs"], {"axis": {"i": "1"}, "num": {"i": "2"}}),
        ("larger", "Greater", ["picked", "halves:1"], {}),
        ("chosen", "Select", ["larger", "picked", "halves"], {}),
        ("column", "ExpandDims", ["chosen", "last"], {}),
        ("squares", "SquaredDifference", ["column", "pairs"], {}),
        ("both", "ConcatV2", ["squares", "column", "last"], {}),
        ("sum", "Sum", ["both", "last"], {"keep_dims": {"b": False}}),
    ]
    pairs = np.array([[1, 0], [2, 1e6], [3, 0]], np.float32)
    constants = {"all": [1, -1], "nothing": [0, 0, 0]}
    constants = {name: np.array(value, np.int32) for name, value in constants.items()}
    constants |= {"count": np.array(3, np.int32), "last": np.array(-1, np.int32), "pairs": pairs}
    best = np.sort(FLOAT_IMAGE.ravel())[::-1][:3]
    chosen = np.where(best > pairs[:, 1], best, pairs[:, 0])
    expected = ((chosen[:, None] - pairs) ** 2).sum(axis=1) + chosen
    assert run(tfjs_graph, tmp_path, nodes, constants) == pytest.approx(expected, rel=1e-6)


def test_unsupported_operation_is_rejected(tfjs_graph, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unsupported TensorFlow\.js operation Einsum"):
        run(tfjs_graph, tmp_path, [("out", "Einsum", ["image"], {})], {})
