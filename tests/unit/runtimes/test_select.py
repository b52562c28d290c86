import sys
from pathlib import Path

import pytest

from e2pose.core.errors import MissingExtraError, ModelError, OptionError, RuntimeChoiceError
from e2pose.runtimes.onnxruntime import OnnxRuntime
from e2pose.runtimes.select import open_runtime


def test_suffix_chooses(tiny_model: Path, tmp_path: Path) -> None:
    shouting = tmp_path / "TINY.ONNX"
    shouting.write_bytes(tiny_model.read_bytes())
    assert isinstance(open_runtime(shouting), OnnxRuntime)
    assert isinstance(open_runtime(str(tiny_model), runtime="onnxruntime", threads=1), OnnxRuntime)


def test_unknown_suffix() -> None:
    with pytest.raises(ModelError, match=r"must end in \.onnx or \.safetensors, but 'model\.pth' does not"):
        open_runtime("model.pth")


def test_unknown_runtime(tiny_model: Path) -> None:
    with pytest.raises(RuntimeChoiceError, match="there is no runtime 'caffe'; there is: onnxruntime, torch"):
        open_runtime(tiny_model, runtime="caffe")


def test_runtime_that_reads_other_files(tiny_model: Path) -> None:
    with pytest.raises(RuntimeChoiceError, match=r"'torch' reads \.safetensors files, not 'tiny\.onnx'"):
        open_runtime(tiny_model, runtime="torch")


def test_torch_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "e2pose.runtimes.torch", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match="'torch'") as caught:
        open_runtime(tmp_path / "model.safetensors")
    assert "e2pose[train]" in caught.value.hint


def test_torch_has_no_threads_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="threads cannot be set for the torch runtime"):
        open_runtime(tmp_path / "model.safetensors", threads=2)
