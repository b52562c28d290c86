"""Models on their way to other runtimes, and what is said of them."""

import sys
from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest

from e2pose.cli.app import main
from e2pose.core.candidates import Candidates
from e2pose.core.errors import ModelError, OptionError
from e2pose.core.spec import PRECISION_KEY
from e2pose.export import quantize
from e2pose.export.agreement import mean_agreement
from e2pose.export.onnx import export_onnx
from e2pose.export.openvino import export_openvino
from e2pose.export.quantize import export_int8
from e2pose.export.sensitivity import ENOUGH, choose_layers
from e2pose.export.source import ExportSource, SpecChanges, export_source
from e2pose.runtimes.onnxruntime import OnnxRuntime
from e2pose.runtimes.openvino import OpenVinoRuntime
from e2pose.runtimes.options import RuntimeOptions
from e2pose.runtimes.torch import TorchRuntime
from helpers.fake_gpu import tensorrt_installed
from helpers.networks import SPEC, noise, two_layer_network, two_layer_onnx

IMAGES = list(noise(12, (80, 70)))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "small.onnx"
    path.write_bytes(two_layer_onnx("f32"))
    return path


@pytest.fixture
def source(small: Path) -> ExportSource:
    return ExportSource(small, TorchRuntime(two_layer_network(), SPEC))


def test_weights_become_a_source_with_changes(tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with export_source(small) as plain:
        assert plain.onnx == small
        assert plain.reference.description.startswith("onnxruntime")
    with pytest.raises(OptionError, match="of an ONNX file cannot be changed"), export_source(small, batch=1):
        pass
    with (
        pytest.raises(OptionError, match="of an ONNX file cannot be changed"),
        export_source(small, changes=SpecChanges(name="other")),
    ):
        pass
    with pytest.raises(ModelError, match=r"not from 'small\.xml'"), export_source(tmp_path / "small.xml"):
        pass


@pytest.mark.parametrize("precision", ["f32", "f16"])
def test_openvino(source: ExportSource, tmp_path: Path, precision: str) -> None:
    deviation = export_openvino(source, tmp_path / "small.xml", precision=precision, images=IMAGES)
    assert deviation.agreement > (0.9999 if precision == "f32" else 0.97)
    assert deviation.candidates > len(IMAGES)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.bin", "small.xml"]
    runtime = OpenVinoRuntime(tmp_path / "small.xml")
    assert runtime.spec == SPEC
    assert " in f32" in runtime.description


def test_f16_halves_an_openvino_file(source: ExportSource, tmp_path: Path) -> None:
    for precision in ("f32", "f16"):
        export_openvino(source, tmp_path / f"{precision}.xml", precision=precision)
    assert (tmp_path / "f16.bin").stat().st_size < 0.6 * (tmp_path / "f32.bin").stat().st_size


@pytest.mark.skipif(
    "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"), reason="the CPU has no bf16"
)
def test_openvino_made_for_bf16_runs_in_it(source: ExportSource, tmp_path: Path) -> None:
    export_openvino(source, tmp_path / "fast.xml", precision="bf16", images=IMAGES)
    assert " in bf16" in OpenVinoRuntime(tmp_path / "fast.xml").description


def test_openvino_file_that_deviates_does_not_appear(small: Path, tmp_path: Path) -> None:
    network = two_layer_network()
    network.head.output.bias.data += 0.5
    with pytest.raises(ModelError, match="deviates from its network"):
        export_openvino(ExportSource(small, TorchRuntime(network, SPEC)), tmp_path / "bad.xml", images=IMAGES)
    assert list(tmp_path.iterdir()) == []


def test_tensorrt(source: ExportSource, tmp_path: Path) -> None:
    with tensorrt_installed() as tensorrt:
        from e2pose.export import tensorrt as room
        from e2pose.runtimes.tensorrt import TensorRtRuntime

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(room, "tensorrt", tensorrt)
            room.export_tensorrt(source, tmp_path / "small.engine", images=IMAGES)
            assert TensorRtRuntime(tmp_path / "small.engine").spec == SPEC
            network = two_layer_network()
            network.head.output.bias.data += 1
            other = ExportSource(source.onnx, TorchRuntime(network, SPEC))
            with pytest.raises(ModelError, match="deviates from its network"):
                room.export_tensorrt(other, tmp_path / "bad.engine", images=IMAGES)
            with pytest.raises(OptionError, match=r"must end in \.engine"):
                room.export_tensorrt(source, tmp_path / "small.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["small.engine"]


@pytest.mark.filterwarnings("ignore::e2pose.core.errors.AccuracyWarning")  # of OpenVINO on a CPU without VNNI
def test_int8_keeps_the_last_convolutions_in_float(source: ExportSource, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(quantize, "MIN_AGREEMENT", 0.5)  # of weights that nobody has trained no more can be expected
    steps = []
    done = export_int8(source, tmp_path / "small.onnx", IMAGES, progress=steps.append)
    assert done.layers.agreement >= quantize.MIN_AGREEMENT
    assert len(set(steps)) == 1
    assert len(steps) <= steps[0]
    model = onnx.load(tmp_path / "small.onnx")
    makers = {name: node.op_type for node in model.graph.node for name in node.output}
    kernels = {node.input[1]: makers.get(node.input[1]) for node in model.graph.node if node.op_type == "Conv"}
    assert sum(maker == "DequantizeLinear" for maker in kernels.values()) == len(done.layers.quantised)
    assert all(maker is None for name, maker in kernels.items() if "head.output" in name)
    scales = {tensor.name: tensor.dims for tensor in model.graph.initializer if tensor.name.endswith("_scale")}
    assert any(list(dims) == [8] for dims in scales.values())  # one for each channel
    assert {entry.key: entry.value for entry in model.metadata_props}[PRECISION_KEY] == "int8"
    runtime = OnnxRuntime(tmp_path / "small.onnx")
    assert runtime.spec == SPEC
    assert " in int8" in runtime.description
    assert " in int8 and f32" in OpenVinoRuntime(tmp_path / "small.onnx").description
    assert {entry.domain for entry in model.opset_import} <= {"", "ai.onnx"}


def test_int8_of_a_model_that_takes_two_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantize, "MIN_AGREEMENT", 0.5)
    network = two_layer_network()
    export_onnx(network, SPEC, tmp_path / "two.onnx", batch=2)
    source = ExportSource(tmp_path / "two.onnx", TorchRuntime(network, SPEC))
    assert export_int8(source, tmp_path / "int8.onnx", IMAGES).layers.agreement >= quantize.MIN_AGREEMENT
    assert onnx.load(tmp_path / "int8.onnx").graph.input[0].type.tensor_type.shape.dim[0].dim_value == 2


def test_int8_that_is_not_accepted_does_not_appear(source: ExportSource, tmp_path: Path, monkeypatch) -> None:
    def refuse(path: Path) -> None:
        assert path.stat().st_size > 0
        raise ModelError("too bad")

    monkeypatch.setattr(quantize, "MIN_AGREEMENT", 0.5)
    with pytest.raises(ModelError, match="too bad"):
        export_int8(source, tmp_path / "small.onnx", IMAGES, accept=refuse)
    monkeypatch.setattr(quantize, "MIN_AGREEMENT", 1.01)
    with pytest.raises(ModelError, match=r"agrees with itself by .* only; at least 1\.01"):
        export_int8(source, tmp_path / "small.onnx", IMAGES)
    with pytest.raises(OptionError, match="at least 2 pictures to see what values occur, not 1"):
        export_int8(source, tmp_path / "small.onnx", IMAGES[:1])
    assert list(tmp_path.iterdir()) == []


def candidates(shift: float, scores=(0.9, 0.02)) -> Candidates:
    row = np.linspace(0.2, 0.8, 17, dtype=np.float32)
    keypoints = np.stack([np.stack([row, row], axis=-1)] * 2)[None] + np.float32(shift)
    return Candidates(np.array([scores], np.float32), np.ones((1, 2, 17), np.float32), keypoints)


def test_agreement() -> None:
    truth = [candidates(0)]
    assert mean_agreement(truth, truth, SPEC.schema, SPEC.input_size_hw) == pytest.approx(1)
    assert mean_agreement([candidates(0, scores=(0.6, 0.5))], truth, SPEC.schema, SPEC.input_size_hw) == pytest.approx(
        0.7
    )
    near, far = (mean_agreement([candidates(shift)], truth, SPEC.schema, SPEC.input_size_hw) for shift in (0.005, 0.05))
    assert 0.9 < near < 1
    assert far < 0.5


def test_worst_layers_stay_in_float_and_no_more_than_needed() -> None:
    harm = {"a": 0.001, "b": 0.4, "c": 0.0, "d": 0.002, "e": 0.0, "f": 0.35, "g": 0.0, "h": 0.0, "i": 0.0, "j": 0.0}
    harm |= {"k": 0.0, "l": 0.0}
    tried = []

    def quantise(names):
        tried.append(tuple(names))
        return [candidates(0, scores=(0.9 - sum(harm[name] for name in names), 0.02))]

    choice = choose_layers(dict.fromkeys(harm, 1.0), quantise, [candidates(0)], SPEC)
    assert choice.in_float == ("b", "f")
    assert set(choice.quantised) == set(harm) - {"b", "f"}
    assert choice.agreement >= ENOUGH
    assert len(tried) == 1 + 12 + 2
    harmless = choose_layers({"a": 1.0, "c": 1.0}, quantise, [candidates(0)], SPEC)
    assert harmless.in_float == ()


def test_a_layer_that_is_dear_in_float_goes_last() -> None:
    harm = {"dear": 0.25, "cheap": 0.2, "b": 0.0, "c": 0.0}

    def quantise(names):
        return [candidates(0, scores=(0.9 - sum(harm[name] for name in names), 0.02))]

    prices = {"dear": 10.0, "cheap": 1.0, "b": 1.0, "c": 1.0}
    assert choose_layers(prices, quantise, [candidates(0)], SPEC).in_float == ("cheap",)
    prices["dear"] = 1.0
    assert choose_layers(prices, quantise, [candidates(0)], SPEC).in_float == ("dear",)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["small.onnx", "a.onnx"], "is an ONNX file already"),
        (["small.onnx", "a.txt"], "must end in one of .engine, .onnx, .xml"),
        (["small.onnx", "--to", "onnx"], "is the model itself"),
        (["small.onnx", "a.xml", "--batch", "2"], "cannot be changed any more"),
        (["small.onnx", "a.onnx", "--to", "int8"], "at least 2 pictures"),
        (["small.onnx", "a.onnx", "--to", "int8", "--precision", "f16"], "precision of int8"),
        (["small.onnx", "a.xml", "--images", "."], "belong together"),
        (["small.onnx", "a.engine"], "'tensorrt', which is not installed"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_command_is_one_error(  # noqa: PLR0917
    tmp_path, small: Path, monkeypatch: pytest.MonkeyPatch, capfd, words: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "e2pose.export.tensorrt", raising=False)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    (tmp_path / "small.onnx").write_bytes(small.read_bytes())
    assert main(["export", *words]) == 1
    assert says in capfd.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["small.onnx"]


def test_command_line_to_openvino(
    tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(small), "--to", "openvino"]) == 0
    assert "written to small.xml; it deviates from small.onnx by at most" in capfd.readouterr().err
    assert OpenVinoRuntime("small.xml", RuntimeOptions(threads=1)).spec == SPEC
