import sys
from pathlib import Path

import pytest

from e2pose.core.errors import MissingExtraError, ModelError, RuntimeChoiceError
from e2pose.runtimes.onnxruntime import OnnxRuntime
from e2pose.runtimes.options import RuntimeOptions
from e2pose.runtimes.select import RUNTIMES, default_runtime, open_runtime, share_threads


def test_suffix_selects_the_runtime_in_any_case(tiny_model: Path, tmp_path: Path) -> None:
    upper_case = tmp_path / "TINY.ONNX"
    upper_case.write_bytes(tiny_model.read_bytes())
    assert isinstance(open_runtime(upper_case), OnnxRuntime)
    assert isinstance(open_runtime(str(tiny_model), RuntimeOptions("onnxruntime", threads=1)), OnnxRuntime)


@pytest.mark.parametrize(
    ("suffix", "runtime"),
    [(".onnx", "onnxruntime"), (".xml", "openvino"), (".engine", "tensorrt"), (".safetensors", "torch")],
)
def test_each_format_has_a_default_runtime(suffix: str, runtime: str) -> None:
    assert default_runtime(Path(f"m{suffix}")) == runtime
    assert set(RUNTIMES) == {"onnxruntime", "openvino", "tensorrt", "torch"}


@pytest.mark.parametrize("options", [RuntimeOptions(), RuntimeOptions("onnxruntime")])
def test_unknown_suffix_lists_accepted_ones(options: RuntimeOptions) -> None:
    with pytest.raises(ModelError, match=r"'model\.pth' .* suffixes are \.engine, \.onnx, \.safetensors, \.xml"):
        open_runtime(Path("model.pth"), options)


def test_tensorflow_graph_must_be_converted_first() -> None:
    with pytest.raises(ModelError, match=r"'frozen_model\.pb' is a TensorFlow graph") as caught:
        open_runtime("models/frozen_model.pb")
    assert "e2pose convert frozen_model.pb" in caught.value.hint


def test_runtime_rejects_files_in_other_formats(tiny_model: Path) -> None:
    with pytest.raises(RuntimeChoiceError, match=r"'torch' reads \.safetensors files, not 'tiny\.onnx'"):
        open_runtime(tiny_model, RuntimeOptions("torch"))


@pytest.mark.parametrize(
    ("package", "runtime", "suffix", "extra"),
    [
        ("torch", "torch", ".safetensors", "train"),
        ("openvino", "openvino", ".xml", "openvino"),
        ("tensorrt", "tensorrt", ".engine", "tensorrt"),
    ],
)
def test_runtime_that_is_not_installed_names_its_extra(
    monkeypatch: pytest.MonkeyPatch, package: str, runtime: str, suffix: str, extra: str
) -> None:
    monkeypatch.delitem(sys.modules, f"e2pose.runtimes.{runtime}", raising=False)
    monkeypatch.delitem(sys.modules, "e2pose.runtimes.engine", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=f"'{package}'") as caught:
        open_runtime(f"model{suffix}")
    assert f"e2pose[{extra}]" in caught.value.hint


MODEL = Path("model.onnx")


@pytest.mark.parametrize(("threads", "num_parallel", "each"), [(1, 1, 1), (2, 2, 1), (8, 8, 1), (20, 8, 13)])
def test_threads_are_shared_by_parallel_images(threads: int, num_parallel: int, each: int) -> None:
    assert share_threads(MODEL, RuntimeOptions(threads=threads), None) == (num_parallel, RuntimeOptions(threads=each))


@pytest.mark.parametrize("cores", [1, 3])
def test_all_usable_cores_are_shared_by_default(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("e2pose.runtimes.select.usable_cores", lambda: cores)
    assert share_threads(MODEL, RuntimeOptions(), None)[0] == cores


@pytest.mark.parametrize(
    "options",
    [
        RuntimeOptions("openvino", threads=4),
        RuntimeOptions(device="cuda", threads=4),
        RuntimeOptions("tensorrt", threads=4),
    ],
)
def test_one_image_at_a_time_keeps_all_threads(options: RuntimeOptions) -> None:
    assert share_threads(MODEL, options, None) == (1, options)


def test_no_more_parallel_images_than_images() -> None:
    options = RuntimeOptions(threads=8)
    assert [share_threads(MODEL, options, images)[0] for images in (0, 1, 2, 9)] == [1, 1, 2, 8]
    assert share_threads(MODEL, options, 2)[1].threads == 7  # 8 less the other caller's thread
