from pathlib import Path

import openvino
import pytest

from e2pose.core.errors import ModelError, OptionError
from e2pose.export.openvino import export_openvino
from e2pose.export.source import ExportSource
from e2pose.runtimes.openvino import OpenVinoRuntime
from e2pose.runtimes.torch import TorchRuntime
from helpers.networks import SPEC, noise, two_layer_network

IMAGES = list(noise(12, (80, 70)))
HAS_BF16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@pytest.mark.parametrize(("precision", "similarity"), [("f32", 0.9999), ("f16", 0.97)])
def test_exported_model_runs_like_its_source(
    source: ExportSource, tmp_path: Path, precision: str, similarity: float
) -> None:
    deviation = export_openvino(source, tmp_path / "small.xml", precision=precision, images=IMAGES)
    assert deviation.similarity > similarity
    assert deviation.num_candidates > 8 * len(IMAGES)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.bin", "small.xml"]
    runtime = OpenVinoRuntime(tmp_path / "small.xml")
    assert runtime.spec == SPEC
    assert " in f32" in runtime.description


def test_f16_halves_the_file(source: ExportSource, tmp_path: Path) -> None:
    for precision in ("f32", "f16"):
        export_openvino(source, tmp_path / f"{precision}.xml", precision=precision)
    assert (tmp_path / "f16.bin").stat().st_size < 0.6 * (tmp_path / "f32.bin").stat().st_size


@pytest.mark.skipif(not HAS_BF16, reason="the CPU has no bf16")
def test_bf16_model_runs_in_bf16(source: ExportSource, tmp_path: Path) -> None:
    export_openvino(source, tmp_path / "fast.xml", precision="bf16", images=IMAGES)
    assert " in bf16" in OpenVinoRuntime(tmp_path / "fast.xml").description


def test_deviating_model_is_not_written(onnx_path: Path, tmp_path: Path) -> None:
    network = two_layer_network()
    network.head.output.bias.data += 0.5
    with pytest.raises(ModelError, match=r"deviates from its network .* at least 0\.999, "):
        export_openvino(ExportSource(onnx_path, TorchRuntime(network, SPEC)), tmp_path / "bad.xml", images=IMAGES)
    assert list(tmp_path.iterdir()) == []


def test_other_suffixes_are_rejected(source: ExportSource, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"must end in \.xml"):
        export_openvino(source, tmp_path / "small.onnx")
