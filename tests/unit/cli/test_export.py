import sys
from pathlib import Path

import pytest

from e2pose.cli.app import main
from e2pose.runtimes.openvino import OpenVinoRuntime
from e2pose.runtimes.options import RuntimeOptions
from helpers.networks import SPEC, two_layer_onnx


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ONNX file, alone in the current folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small.onnx"
    path.write_bytes(two_layer_onnx("f32"))
    return path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["small.onnx", "a.onnx"], "is an ONNX file already"),
        (["small.onnx", "a.txt"], "must end in one of .engine, .onnx, .xml, not '.txt'"),
        (["small.onnx", "--to", "onnx"], "is the model itself"),
        (["small.onnx", "small.onnx/a.xml"], "'small.onnx' is a file"),
        (["small.onnx", "a.xml", "--batch-size", "2"], "cannot be changed"),
        (["small.onnx", "a.onnx", "--to", "int8"], "at least 2 images"),
        (["small.onnx", "a.onnx", "--to", "int8", "--precision", "f16"], "cannot be combined with --to int8"),
        (["small.onnx", "a.xml", "--annotated-images", "."], "can only be used together"),
        (["small.onnx", "a.engine"], "'tensorrt' is required but not installed"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_arguments_are_one_error(
    model: Path, monkeypatch: pytest.MonkeyPatch, capfd, arguments: list[str], message: str
) -> None:
    monkeypatch.delitem(sys.modules, "e2pose.export.tensorrt", raising=False)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert main(["export", *arguments]) in (1, 2)
    assert message in capfd.readouterr().err
    assert list(model.parent.iterdir()) == [model]


def test_openvino_model_is_written_and_its_deviation_printed(model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["export", model.name, "--to", "openvino"]) == 0
    assert "written to small.xml; it deviates from small.onnx by at most" in capfd.readouterr().err
    assert OpenVinoRuntime("small.xml", RuntimeOptions(threads=1)).spec == SPEC
