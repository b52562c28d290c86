import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from e2pose.core.errors import ModelError, RuntimeChoiceError
from e2pose.core.spec import PRECISION_KEY
from e2pose.runtimes import onnxruntime as onnxruntime_runtime
from e2pose.runtimes.onnxruntime import PROVIDERS, OnnxRuntime
from e2pose.runtimes.options import RuntimeOptions
from helpers.synthetic import TINY_KEYPOINTS


@pytest.fixture
def modified(tiny_model: Path, tmp_path: Path) -> Callable[[Callable[[onnx.ModelProto], None]], Path]:
    """Returns a function that writes a modified copy of the tiny model."""

    def change(how: Callable[[onnx.ModelProto], None]) -> Path:
        model = onnx.load(tiny_model)
        how(model)
        onnx.save(model, tmp_path / "modified.onnx")
        return tmp_path / "modified.onnx"

    return change


def test_candidates_of_a_known_graph(tiny_model: Path) -> None:
    candidates = OnnxRuntime(tiny_model)(np.full((2, 3, 64, 64), 255, np.uint8))
    assert np.allclose(candidates.scores, 1)
    assert np.allclose(candidates.keypoints, TINY_KEYPOINTS)


def test_path_may_contain_unicode(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "ein Modell für カメラ.onnx"
    path.write_bytes(tiny_model.read_bytes())
    assert OnnxRuntime(path).spec.name == "tiny"


def test_default_is_one_thread_per_usable_core(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 5}, raising=False)
    runtime = OnnxRuntime(tiny_model)
    assert runtime.description.endswith("on cpu in f32, 3 threads")
    assert runtime._session.get_session_options().intra_op_num_threads == 3
    assert OnnxRuntime(tiny_model, RuntimeOptions(threads=1)).description.endswith("on cpu in f32, 1 thread")


@pytest.mark.parametrize("vnni", [True, False, None])
def test_int8_sums_are_exact_on_x86_without_vnni(vnni: bool | None, tiny_model: Path, monkeypatch) -> None:
    monkeypatch.setattr(onnxruntime_runtime, "has_vnni", lambda: vnni)
    entries = {}

    class Options(onnxruntime.SessionOptions):
        def add_session_config_entry(self, name: str, value: str) -> None:
            entries[name] = value
            super().add_session_config_entry(name, value)

    monkeypatch.setattr(onnxruntime, "SessionOptions", Options)
    OnnxRuntime(tiny_model)
    assert entries.get("session.x64quantprecision") == ("1" if vnni is False else None)


@pytest.mark.parametrize("content", [b"", b"not a model at all " * 50], ids=["empty", "foreign"])
def test_invalid_file_is_reported(tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"(onnxruntime cannot load|the model file) '.*model\.onnx'") as caught:
        OnnxRuntime(path)
    assert "download" in caught.value.hint
    assert capfd.readouterr() == ("", "")


def test_truncated_file_is_reported(tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(tiny_model.read_bytes()[:-400])
    with pytest.raises(ModelError):
        OnnxRuntime(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("name", "message"), [("", "is a folder"), ("none.onnx", "does not exist")])
def test_missing_file_and_folder_are_reported(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        OnnxRuntime(tmp_path / name)


def test_model_without_a_spec_is_rejected(modified) -> None:
    with pytest.raises(ModelError, match=r"no metadata entry 'e2pose\.spec'"):
        OnnxRuntime(modified(lambda model: model.metadata_props.pop()))


def test_graph_that_contradicts_its_spec_is_rejected(modified) -> None:
    def shrink(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.shape.dim[3].dim_value = 32

    with pytest.raises(ModelError, match=r"must have the input 'pixels' of shape \(B, 3, 64, 64\)"):
        OnnxRuntime(modified(shrink))


def test_unknown_operator_is_reported(modified, capfd: pytest.CaptureFixture[str]) -> None:
    def forge(model: onnx.ModelProto) -> None:
        model.graph.node[0].op_type = "Guess"

    with pytest.raises(ModelError, match="onnxruntime cannot load"):
        OnnxRuntime(modified(forge))
    assert capfd.readouterr() == ("", "")


def test_unavailable_device_lists_available_ones(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    for device in ("cuda", "cuda:1", "mps"):
        with pytest.raises(RuntimeChoiceError, match=f"cannot run on '{device}' here; available: cpu"):
            OnnxRuntime(tiny_model, RuntimeOptions(device=device))


def test_precision_is_that_of_the_file(tiny_model: Path, modified) -> None:
    assert " in f32" in OnnxRuntime(tiny_model, RuntimeOptions(precision="f32")).description
    with pytest.raises(RuntimeChoiceError, match="the precision of the file, f32, not in bf16"):
        OnnxRuntime(tiny_model, RuntimeOptions(precision="bf16"))
    quantised = modified(lambda model: model.metadata_props.add(key=PRECISION_KEY, value="int8"))
    assert " in int8" in OnnxRuntime(quantised).description
    with pytest.raises(RuntimeChoiceError, match="the precision of the file, int8, not in f32"):
        OnnxRuntime(quantised, RuntimeOptions(precision="f32"))


def test_cuda_is_loaded_silently_before_the_session(tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    calls = []

    def load() -> None:
        calls.append("CUDA")
        print("Failed to load this and that")  # noqa: T201

    def session(path, options, providers):
        calls.extend(providers)
        raise RuntimeError("no GPU")

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(PROVIDERS.values()))
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    monkeypatch.setattr(onnxruntime, "preload_dlls", load)
    with pytest.raises(ModelError, match="no GPU"):
        OnnxRuntime(tiny_model, RuntimeOptions(device="cuda:1"))
    assert calls == ["CUDA", ("CUDAExecutionProvider", {"device_id": 1})]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6, 7])
def test_fixed_batch_accepts_any_number_of_images(modified, count: int) -> None:
    def fix(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 3

    pixels = np.full((count, 3, 64, 64), 255, np.uint8)
    pixels[-1] = 51
    candidates = OnnxRuntime(modified(fix))(pixels)
    assert np.allclose(candidates.scores[:, 0], [1] * (count - 1) + [0.2])
    assert candidates.keypoints.shape == (count, 1, 17, 2)


def test_silent_fallback_of_onnxruntime_is_an_error(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(PROVIDERS.values()))
    monkeypatch.setattr(onnxruntime.InferenceSession, "get_providers", lambda session: ["CPUExecutionProvider"])
    with (
        pytest.warns(UserWarning, match="CUDAExecutionProvider"),
        pytest.raises(RuntimeChoiceError, match="would run on"),
    ):
        OnnxRuntime(tiny_model, RuntimeOptions(device="cuda"))
