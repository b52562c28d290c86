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
def tampered(tiny_model: Path, tmp_path: Path) -> Callable[[Callable[[onnx.ModelProto], None]], Path]:
    """Makes a copy of the tiny model in which something was changed."""

    def change(how: Callable[[onnx.ModelProto], None]) -> Path:
        model = onnx.load(tiny_model)
        how(model)
        onnx.save(model, tmp_path / "tampered.onnx")
        return tmp_path / "tampered.onnx"

    return change


def test_candidates_of_a_known_graph(tiny_model: Path) -> None:
    candidates = OnnxRuntime(tiny_model)(np.full((2, 3, 64, 64), 255, np.uint8))
    assert np.allclose(candidates.scores, 1)
    assert np.allclose(candidates.keypoints, TINY_KEYPOINTS)


def test_unicode_path(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "ein Modell für カメラ.onnx"
    path.write_bytes(tiny_model.read_bytes())
    assert OnnxRuntime(path).spec.name == "tiny"


def test_one_thread_for_each_usable_core(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 5}, raising=False)
    assert OnnxRuntime(tiny_model).description.endswith("on cpu in f32, 3 threads")
    assert OnnxRuntime(tiny_model, RuntimeOptions(threads=1)).description.endswith("on cpu in f32, 1 thread")


@pytest.mark.parametrize("vnni", [True, False, None])
def test_int8_sums_are_exact_on_x86_without_vnni(vnni: bool | None, tiny_model: Path, monkeypatch) -> None:
    monkeypatch.setattr(onnxruntime_runtime, "has_vnni", lambda: vnni)
    said = {}

    class Options(onnxruntime.SessionOptions):
        def add_session_config_entry(self, name: str, value: str) -> None:
            said[name] = value
            super().add_session_config_entry(name, value)

    monkeypatch.setattr(onnxruntime, "SessionOptions", Options)
    OnnxRuntime(tiny_model)
    assert said.get("session.x64quantprecision") == ("1" if vnni is False else None)


@pytest.mark.parametrize("content", [b"", b"not a model at all " * 50], ids=["empty", "foreign"])
def test_file_that_is_no_model(tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.onnx' is not a model that onnxruntime can run") as caught:
        OnnxRuntime(path)
    assert "download or export it again" in caught.value.hint
    assert capfd.readouterr() == ("", "")


def test_truncated_file(tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(tiny_model.read_bytes()[:-400])
    with pytest.raises(ModelError):
        OnnxRuntime(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["", "none.onnx"])
def test_missing_file_and_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match="there is no model file"):
        OnnxRuntime(tmp_path / name)


def test_model_without_a_spec(tampered) -> None:
    with pytest.raises(ModelError, match=r"no entry 'e2pose\.spec'"):
        OnnxRuntime(tampered(lambda model: model.metadata_props.pop()))


def test_graph_that_contradicts_its_spec(tampered) -> None:
    def shrink(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.shape.dim[3].dim_value = 32

    with pytest.raises(ModelError, match=r"must take 'pixels' of \(B, 3, 64, 64\)"):
        OnnxRuntime(tampered(shrink))


def test_graph_with_an_unknown_operator(tampered, capfd: pytest.CaptureFixture[str]) -> None:
    def forge(model: onnx.ModelProto) -> None:
        model.graph.node[0].op_type = "Guess"

    with pytest.raises(ModelError, match="is not a model"):
        OnnxRuntime(tampered(forge))
    assert capfd.readouterr() == ("", "")


def test_device_that_is_not_there(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    for device in ("cuda", "cuda:1", "mps"):
        with pytest.raises(RuntimeChoiceError, match=f"cannot run on '{device}' here; it can on: cpu"):
            OnnxRuntime(tiny_model, RuntimeOptions(device=device))


def test_precision_is_that_of_the_file(tiny_model: Path, tampered) -> None:
    assert " in f32" in OnnxRuntime(tiny_model, RuntimeOptions(precision="f32")).description
    with pytest.raises(RuntimeChoiceError, match="which is in f32, not in bf16"):
        OnnxRuntime(tiny_model, RuntimeOptions(precision="bf16"))
    quantised = tampered(lambda model: model.metadata_props.add(key=PRECISION_KEY, value="int8"))
    assert " in int8" in OnnxRuntime(quantised).description
    with pytest.raises(RuntimeChoiceError, match="which is in int8, not in f32"):
        OnnxRuntime(quantised, RuntimeOptions(precision="f32"))


def test_second_gpu_is_asked_for_when_cuda_is_loaded(tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    asked = []

    def load() -> None:
        asked.append("CUDA")
        print("Failed to load this and that")  # noqa: T201

    def session(path, options, providers):
        asked.extend(providers)
        raise RuntimeError("no GPU")

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(PROVIDERS.values()))
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    monkeypatch.setattr(onnxruntime, "preload_dlls", load)
    with pytest.raises(ModelError, match="no GPU"):
        OnnxRuntime(tiny_model, RuntimeOptions(device="cuda:1"))
    assert asked == ["CUDA", ("CUDAExecutionProvider", {"device_id": 1})]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_fixed_batch_takes_any_number_of_canvases(tampered, count: int) -> None:
    def fix(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2

    pixels = np.full((count, 3, 64, 64), 255, np.uint8)
    pixels[-1] = 51
    candidates = OnnxRuntime(tampered(fix))(pixels)
    assert np.allclose(candidates.scores[:, 0], [1] * (count - 1) + [0.2])
    assert candidates.keypoints.shape == (count, 1, 17, 2)


def test_no_silent_fallback(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(PROVIDERS.values()))
    monkeypatch.setattr(onnxruntime.InferenceSession, "get_providers", lambda session: ["CPUExecutionProvider"])
    with (
        pytest.warns(UserWarning, match="CUDAExecutionProvider"),
        pytest.raises(RuntimeChoiceError, match="would run on"),
    ):
        OnnxRuntime(tiny_model, RuntimeOptions(device="cuda"))
