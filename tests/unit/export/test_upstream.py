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

pytestmark = pytest.mark.filterwarnings("default")  # these libraries warn about themselves


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_frozen_graph(tmp_path_factory.mktemp("frozen") / "frozen_model.pb")


@pytest.fixture(scope="module")
def converted(frozen: Path) -> Path:
    from e2pose.export.upstream import convert_upstream

    path = frozen.with_name("converted.onnx")
    deviation = convert_upstream(frozen, path)
    assert deviation.keypoint_px < 1e-3
    assert deviation.candidates > 8
    return path


def reference(frozen: Path, canvas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What TensorFlow says, by the names that the authors use."""
    definition = tensorflow.compat.v1.GraphDef()
    definition.ParseFromString(frozen.read_bytes())
    with tensorflow.Graph().as_default() as graph:
        tensorflow.import_graph_def(definition, name="")
    with tensorflow.compat.v1.Session(graph=graph) as session:
        names = [f"E2Pose/E2Pose_pose_stage00_reshape_{part}/concat:0" for part in ("pv", "kvxy")]
        return session.run(names, {"e2pose/inputimg:0": canvas[None].astype(np.float32)})


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_pixels_are_raw_rgb_and_answers_are_in_place(frozen: Path, converted: Path, runtime: str) -> None:
    canvases = np.random.default_rng(1).integers(0, 256, (3, 64, 96, 3), dtype=np.uint8)
    opened = open_runtime(converted, RuntimeOptions(runtime))
    candidates = opened(np.ascontiguousarray(canvases.transpose(0, 3, 1, 2)))
    for index, canvas in enumerate(canvases):
        scores, kvxy = reference(frozen, canvas)
        assert np.allclose(candidates.scores[index], scores[0, :, 0, 0], atol=1e-5)
        assert np.allclose(candidates.keypoint_scores[index], kvxy[0, ..., 0], atol=1e-5)
        assert np.allclose(candidates.keypoints[index], kvxy[0, ..., 1:], atol=1e-5)


def test_operators_are_standard_and_begin_with_a_cast(converted: Path) -> None:
    model = onnx.load(converted)
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": 17}
    assert [node.op_type for node in model.graph.node if "pixels" in node.input] == ["Cast"]  # TensorRT takes no other


def test_peculiarities_are_values_of_the_spec(converted: Path) -> None:
    spec = open_runtime(converted).spec
    assert (spec.name, spec.input_size_hw, spec.fit, spec.keypoint_score_scale) == (
        "converted",
        (64, 96),
        "stretch",
        2.0,
    )
    assert (spec.threshold, spec.keypoint_threshold, spec.licence) == (0.5, 0.5, "Apache-2.0")


@pytest.mark.parametrize("batch", [None, 2])
def test_other_batches_and_names(tmp_path: Path, batch: int | None) -> None:
    from e2pose.export.upstream import convert_upstream

    prefix = "E2Pose_Inference/E2Pose_pose_stage00_"
    frozen = write_frozen_graph(tmp_path / "f.pb", (32, 32), batch, prefix)
    convert_upstream(frozen, tmp_path / "f.onnx", name="other")
    runtime = open_runtime(tmp_path / "f.onnx")
    assert runtime.spec.name == "other"
    assert runtime(np.zeros((3, 3, 32, 32), np.uint8)).scores.shape[0] == 3


def test_command_line_from_graph_to_poses(
    frozen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "white.png", (100, 200))
    assert main(["convert", str(frozen), "ours.onnx", "--pictures", "white.png"]) == 0
    assert "deviates from TensorFlow by at most" in capfd.readouterr().err
    assert main(["predict", "white.png", "--model", "ours.onnx", "-o", "poses.json", "--threshold", "0.01"]) == 0
    assert (tmp_path / "poses.json").stat().st_size > 100


@pytest.mark.parametrize(
    ("canvas", "people", "points"),
    [
        (None, (1, 8, 1, 1), (1, 8, 17, 3)),
        ((1, None, 96, 3), (1, 8, 1, 1), (1, 8, 17, 3)),
        ((1, 3, 64, 96), (1, 8, 1, 1), (1, 8, 17, 3)),
        ((1, 64, 96, 3), (1, 9, 1, 1), (1, 8, 17, 3)),
        ((1, 64, 96, 3), (1, 8, 1, 1), (1, 8, 14, 3)),
    ],
)
def test_graph_of_other_shapes_is_one_error(tmp_path: Path, canvas, people, points) -> None:
    from e2pose.export.upstream import convert_upstream

    v1 = tensorflow.compat.v1
    with tensorflow.Graph().as_default() as graph:
        v1.placeholder(tensorflow.float32, canvas, name="e2pose/inputimg")
        for name, shape in (("pv", people), ("kvxy", points)):
            tensorflow.concat(
                [tensorflow.zeros(shape), tensorflow.zeros((1, 0, *shape[2:]))], 1, f"a_reshape_{name}/concat"
            )
    (tmp_path / "other.pb").write_bytes(graph.as_graph_def().SerializeToString())
    with pytest.raises(ModelError, match=r"must take \(B, H, W, 3\) and give .*, but it takes"):
        convert_upstream(tmp_path / "other.pb", tmp_path / "other.onnx")
    assert not (tmp_path / "other.onnx").exists()


@pytest.mark.parametrize("content", [b"", b"not a graph " * 40])
def test_file_that_is_no_graph(tmp_path: Path, content: bytes) -> None:
    from e2pose.export.upstream import convert_upstream

    (tmp_path / "bad.pb").write_bytes(content)
    with pytest.raises(ModelError, match=r"bad\.pb' is not a"):
        convert_upstream(tmp_path / "bad.pb", tmp_path / "bad.onnx")
    with pytest.raises(ModelError, match=r"none\.pb' is not a frozen"):
        convert_upstream(tmp_path / "none.pb", tmp_path / "bad.onnx")
    with pytest.raises(OptionError, match=r"must end in \.onnx"):
        convert_upstream(tmp_path / "bad.pb", tmp_path / "bad.pb")
    assert not (tmp_path / "bad.onnx").exists()
