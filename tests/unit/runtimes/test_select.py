import sys
import warnings
from dataclasses import replace
from pathlib import Path

import onnxruntime
import pytest

from e2pose.core.errors import FallbackWarning, MissingExtraError, ModelError, RuntimeChoiceError
from e2pose.runtimes.onnxruntime import OnnxRuntime
from e2pose.runtimes.options import RuntimeOptions
from e2pose.runtimes.select import RUNTIMES, default_runtime, divided, open_runtime


def test_suffix_chooses(tiny_model: Path, tmp_path: Path) -> None:
    shouting = tmp_path / "TINY.ONNX"
    shouting.write_bytes(tiny_model.read_bytes())
    assert isinstance(open_runtime(shouting), OnnxRuntime)
    assert isinstance(open_runtime(str(tiny_model), RuntimeOptions("onnxruntime", threads=1)), OnnxRuntime)


@pytest.mark.parametrize(
    ("suffix", "runtime"),
    [(".onnx", "onnxruntime"), (".xml", "openvino"), (".engine", "tensorrt"), (".safetensors", "torch")],
)
def test_each_runtime_has_files_of_its_own(suffix: str, runtime: str) -> None:
    assert default_runtime(Path(f"m{suffix}")) == runtime
    assert set(RUNTIMES) == {"onnxruntime", "openvino", "tensorrt", "torch"}


def test_unknown_suffix() -> None:
    with pytest.raises(ModelError, match=r"end in \.engine or \.onnx or \.safetensors or \.xml, but 'model\.pth'"):
        open_runtime(Path("model.pth"))


def test_graph_of_the_authors_must_be_converted_first() -> None:
    with pytest.raises(ModelError, match=r"'frozen_model\.pb' is a TensorFlow graph") as caught:
        open_runtime("models/frozen_model.pb")
    assert "e2pose convert frozen_model.pb" in caught.value.hint


def test_runtime_that_reads_other_files(tiny_model: Path) -> None:
    with pytest.raises(RuntimeChoiceError, match=r"'torch' reads \.safetensors files, not 'tiny\.onnx'"):
        open_runtime(tiny_model, RuntimeOptions("torch"))


def test_of_a_named_model_the_file_of_the_runtime_is_opened() -> None:
    usual, torch = open_runtime("default"), open_runtime("default", RuntimeOptions("torch"))
    assert usual.description.startswith("onnxruntime ")
    assert torch.description.startswith("torch ")
    assert torch.spec == usual.spec


def test_named_model_falls_back_to_the_file_of_the_usual_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "e2pose.runtimes.torch", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.warns(FallbackWarning, match="'torch', which is not installed; using onnxruntime "):
        assert open_runtime("default", RuntimeOptions("torch", allow_fallback=True)).spec.name


@pytest.mark.parametrize(
    ("package", "runtime", "suffix", "extra"),
    [
        ("torch", "torch", ".safetensors", "train"),
        ("openvino", "openvino", ".xml", "openvino"),
        ("tensorrt", "tensorrt", ".engine", "tensorrt"),
    ],
)
def test_runtime_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, package: str, runtime: str, suffix: str, extra: str
) -> None:
    monkeypatch.delitem(sys.modules, f"e2pose.runtimes.{runtime}", raising=False)
    monkeypatch.delitem(sys.modules, "e2pose.runtimes.engine", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=f"'{package}'") as caught:
        open_runtime(f"model{suffix}")
    assert f"e2pose[{extra}]" in caught.value.hint


ASKED = [RuntimeOptions(device="cuda"), RuntimeOptions(precision="bf16"), RuntimeOptions("openvino", threads=1)]


@pytest.fixture
def nothing_special(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a GPU nor OpenVINO is there."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    monkeypatch.delitem(sys.modules, "e2pose.runtimes.openvino", raising=False)
    monkeypatch.setitem(sys.modules, "openvino", None)


@pytest.mark.parametrize("options", ASKED, ids=["device", "precision", "runtime"])
def test_fallback_only_if_allowed_and_never_silent(nothing_special, tiny_model: Path, options: RuntimeOptions) -> None:
    with pytest.raises((RuntimeChoiceError, MissingExtraError)):
        open_runtime(tiny_model, options)
    allowed = replace(options, allow_fallback=True)
    with pytest.warns(FallbackWarning, match="; using onnxruntime .* on cpu in f32, .* instead"):
        runtime = open_runtime(tiny_model, allowed)
    assert isinstance(runtime, OnnxRuntime)
    assert options.threads is None or runtime.description.endswith("1 thread")


def test_fallback_does_not_hide_a_bad_file(nothing_special, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no model file"):
        open_runtime(tmp_path / "none.onnx", RuntimeOptions(precision="bf16", allow_fallback=True))


def test_no_warning_without_need(tiny_model: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_runtime(tiny_model, RuntimeOptions(device="cpu", allow_fallback=True))


@pytest.mark.parametrize(("threads", "num_parallel", "each"), [(1, 1, 1), (2, 2, 1), (8, 8, 1), (20, 8, 13)])
def test_threads_are_divided_among_pictures(tiny_model: Path, threads: int, num_parallel: int, each: int) -> None:
    assert divided(tiny_model, RuntimeOptions(threads=threads)) == (num_parallel, RuntimeOptions(threads=each))
    assert divided("default", RuntimeOptions("onnxruntime", "cpu", threads=threads))[0] == num_parallel


def test_threads_are_not_divided_where_one_picture_runs_at_a_time(tiny_model: Path) -> None:
    for options in (RuntimeOptions("openvino", threads=4), RuntimeOptions(device="cuda"), RuntimeOptions("tensorrt")):
        assert divided(tiny_model, options) == (1, options)


def test_threads_are_not_divided_among_more_pictures_than_there_are(tiny_model: Path) -> None:
    options = RuntimeOptions(threads=8)
    assert [divided(tiny_model, options, pictures)[0] for pictures in (0, 1, 2, 9)] == [1, 1, 2, 8]
    assert divided(tiny_model, options, 2)[1].threads == 7  # one for the other picture, and seven that help both


def test_threads_are_not_divided_if_another_runtime_will_be_used_instead(tmp_path: Path) -> None:
    options = RuntimeOptions("onnxruntime", threads=2, allow_fallback=True)
    assert divided(tmp_path / "m.safetensors", options) == (1, options)
