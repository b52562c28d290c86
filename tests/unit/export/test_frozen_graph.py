from pathlib import Path

import numpy as np
import onnx
import pytest

from e2pose.cli.app import main
from e2pose.core.errors import ModelError, OptionError
from e2pose.runtimes.options import RuntimeOptions
from e2pose.runtimes.select import open_runtime
from helpers.frozen_graphs import write_frozen_graph
from helpers.synthetic import write_image

tensorflow = pytest.importorskip("tensorflow", reason="needs the extra 'upstream': tensorflow-cpu and tf2onnx")

pytestmark = pytest.mark.filterwarnings("default")  # these libraries emit warnings


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_frozen_graph(tmp_path_factory.mktemp("frozen") / "frozen_model.pb")


@pytest.fixture(scope="module")
def converted(frozen: Path) -> Path:
    from e2pose.export.frozen_graph import convert_frozen_graph

    path = frozen.with_name("converted.onnx")
    deviation = convert_frozen_graph(frozen, path)
    assert deviation.keypoint_px < 1e-3
    assert deviation.num_candidates > 8
    return path


def run_tensorflow(frozen: Path, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Runs a graph in TensorFlow by the names of the authors."""
    definition = tensorflow.compat.v1.GraphDef()
    definition.ParseFromString(frozen.read_bytes())
    with tensorflow.Graph().as_default() as graph:
        tensorflow.import_graph_def(definition, name="")
    with tensorflow.compat.v1.Session(graph=graph) as session:
        names = [f"E2Pose/E2Pose_pose_stage00_reshape_{part}/concat:0" for part in ("pv", "kvxy")]
        return session.run(names, {"e2pose/inputimg:0": image[None].astype(np.float32)})


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_converted_graph_takes_raw_rgb_and_returns_equal_candidates(
    frozen: Path, converted: Path, runtime: str
) -> None:
    images = np.random.default_rng(1).integers(0, 256, (3, 64, 96, 3), dtype=np.uint8)
    opened = open_runtime(converted, RuntimeOptions(runtime))
    candidates = opened(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    for index, image in enumerate(images):
        scores, kvxy = run_tensorflow(frozen, image)
        assert np.allclose(candidates.scores[index], scores[0, :, 0, 0], atol=1e-5)
        assert np.allclose(candidates.keypoint_scores[index], kvxy[0, ..., 0], atol=1e-5)
        assert np.allclose(candidates.keypoints[index], kvxy[0, ..., 1:], atol=1e-5)


def test_operators_are_standard_and_start_with_a_cast(converted: Path) -> None:
    model = onnx.load(converted)
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": 17}
    assert [node.op_type for node in model.graph.node if "pixels" in node.input] == ["Cast"]  # required by TensorRT


def test_spec_describes_the_properties_of_the_authors_models(converted: Path) -> None:
    spec = open_runtime(converted).spec
    assert (spec.name, spec.input_size_hw, spec.fit, spec.keypoint_score_scale) == (
        "converted",
        (64, 96),
        "stretch",
        2.0,
    )
    assert (spec.threshold, spec.keypoint_threshold, spec.licence) == (0.5, 0.5, "Apache-2.0")


@pytest.mark.parametrize("batch", [None, 2])
def test_batch_sizes_and_operation_prefixes_may_differ(tmp_path: Path, batch: int | None) -> None:
    from e2pose.export.frozen_graph import convert_frozen_graph

    prefix = "E2Pose_Inference/E2Pose_pose_stage00_"
    frozen = write_frozen_graph(tmp_path / "f.pb", (32, 32), batch, prefix)
    convert_frozen_graph(frozen, tmp_path / "f.onnx", name="other")
    runtime = open_runtime(tmp_path / "f.onnx")
    assert runtime.spec.name == "other"
    assert runtime(np.zeros((3, 3, 32, 32), np.uint8)).scores.shape[0] == 3


def test_converted_graph_predicts_from_the_command_line(
    frozen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "white.png", (100, 200))
    assert main(["convert", str(frozen), "ours.onnx", "--images", "white.png"]) == 0
    assert "deviates from TensorFlow by at most" in capfd.readouterr().err
    assert main(["predict", "white.png", "--model", "ours.onnx", "-o", "poses.json", "--threshold", "0.01"]) == 0
    assert (tmp_path / "poses.json").stat().st_size > 100


@pytest.mark.parametrize(
    ("pixels", "scores", "keypoints"),
    [
        (None, (1, 8, 1, 1), (1, 8, 17, 3)),
        ((1, None, 96, 3), (1, 8, 1, 1), (1, 8, 17, 3)),
        ((1, 3, 64, 96), (1, 8, 1, 1), (1, 8, 17, 3)),
        ((1, 64, 96, 3), (1, 9, 1, 1), (1, 8, 17, 3)),
        ((1, 64, 96, 3), (1, 8, 1, 1), (1, 8, 14, 3)),
    ],
)
def test_graph_of_other_shapes_is_rejected(tmp_path: Path, pixels, scores, keypoints) -> None:
    from e2pose.export.frozen_graph import convert_frozen_graph

    v1 = tensorflow.compat.v1
    with tensorflow.Graph().as_default() as graph:
        v1.placeholder(tensorflow.float32, pixels, name="e2pose/inputimg")
        for name, shape in (("pv", scores), ("kvxy", keypoints)):
            tensorflow.concat(
                [tensorflow.zeros(shape), tensorflow.zeros((1, 0, *shape[2:]))], 1, f"a_reshape_{name}/concat"
            )
    (tmp_path / "other.pb").write_bytes(graph.as_graph_def().SerializeToString())
    with pytest.raises(ModelError, match=r"must take \(B, H, W, 3\) and return .*, but it takes"):
        convert_frozen_graph(tmp_path / "other.pb", tmp_path / "other.onnx")
    assert not (tmp_path / "other.onnx").exists()


@pytest.mark.parametrize("content", [b"", b"not a graph " * 40])
def test_file_without_graph_is_rejected(tmp_path: Path, content: bytes) -> None:
    from e2pose.export.frozen_graph import convert_frozen_graph

    (tmp_path / "bad.pb").write_bytes(content)
    with pytest.raises(ModelError, match=r"bad\.pb' is not a"):
        convert_frozen_graph(tmp_path / "bad.pb", tmp_path / "bad.onnx")
    with pytest.raises(ModelError, match=r"none\.pb' is not a frozen"):
        convert_frozen_graph(tmp_path / "none.pb", tmp_path / "bad.onnx")
    with pytest.raises(OptionError, match=r"must end in \.onnx"):
        convert_frozen_graph(tmp_path / "bad.pb", tmp_path / "bad.pb")
    assert not (tmp_path / "bad.onnx").exists()
