import signal
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import openvino
import pytest

from e2pose.core.errors import AccuracyWarning, ModelError, RuntimeChoiceError
from e2pose.core.spec import PRECISION_KEY
from e2pose.runtimes import openvino as openvino_runtime
from e2pose.runtimes.openvino import OpenVinoRuntime, rt_info_path
from e2pose.runtimes.options import RuntimeOptions
from helpers.synthetic import TINY_KEYPOINTS


@pytest.fixture(scope="module")
def tiny_xml(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("openvino") / "tiny.xml"
    openvino.save_model(openvino.Core().read_model(tiny_model), path, compress_to_fp16=False)
    return path


def test_candidates_of_a_known_graph(tiny_model: Path, tiny_xml: Path) -> None:
    for path in (tiny_model, tiny_xml):
        runtime = OpenVinoRuntime(path, RuntimeOptions(threads=1))
        candidates = runtime(np.full((2, 3, 64, 64), 255, np.uint8))
        assert np.allclose(candidates.scores, 1)
        assert np.allclose(candidates.keypoints, TINY_KEYPOINTS, atol=1e-6)
        assert runtime.spec.name == "tiny"
        assert runtime.description.endswith(" on cpu in f32, 1 thread")


def test_silently_changed_precision_is_an_error(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for requested, used in {"f32": "bf16", "bf16": "f32"}.items():
        value = SimpleNamespace(to_string=lambda used=used: used)
        monkeypatch.setattr(openvino.CompiledModel, "get_property", lambda model, name, value=value: value)
        with pytest.raises(RuntimeChoiceError, match=f"cannot run in {requested} on this CPU; it would run in {used}"):
            OpenVinoRuntime(tiny_model, RuntimeOptions(precision=requested))


@pytest.mark.skipif(
    "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"), reason="the CPU has no bf16"
)
def test_bf16_follows_the_options_or_the_file(tiny_model: Path, tmp_path: Path) -> None:
    assert " in bf16" in OpenVinoRuntime(tiny_model, RuntimeOptions(precision="bf16")).description
    model = openvino.Core().read_model(tiny_model)
    model.set_rt_info("bf16", rt_info_path(PRECISION_KEY))
    openvino.save_model(model, tmp_path / "fast.xml", compress_to_fp16=False)
    assert " in bf16" in OpenVinoRuntime(tmp_path / "fast.xml").description
    assert " in f32" in OpenVinoRuntime(tmp_path / "fast.xml", RuntimeOptions(precision="f32")).description


@pytest.mark.parametrize("vnni", [True, False, None])
def test_int8_warns_on_x86_without_vnni(vnni: bool | None, tiny_model: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(openvino_runtime, "has_vnni", lambda: vnni)
    model = onnx.load(tiny_model)
    model.metadata_props.add(key=PRECISION_KEY, value="int8")
    onnx.save(model, tmp_path / "int8.onnx")
    for path, warns in ((tmp_path / "int8.onnx", vnni is False), (tiny_model, False)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            OpenVinoRuntime(path)
        assert [warning.category for warning in caught] == [AccuracyWarning] * warns


def test_cpu_is_the_only_device(tiny_model: Path) -> None:
    with pytest.raises(RuntimeChoiceError, match="cannot run on 'cuda' here; available: cpu"):
        OpenVinoRuntime(tiny_model, RuntimeOptions(device="cuda"))


def test_missing_files_are_reported(tiny_xml: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.xml"
    alone.write_bytes(tiny_xml.read_bytes())
    with pytest.raises(ModelError, match=r"weights 'alone\.bin' are not beside it"):
        OpenVinoRuntime(alone)
    with pytest.raises(ModelError, match=r"'.*none\.onnx' does not exist"):
        OpenVinoRuntime(tmp_path / "none.onnx")


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
@pytest.mark.parametrize("content", [b"", b"not a model at all " * 50], ids=["empty", "foreign"])
def test_invalid_file_is_reported(
    tmp_path: Path, content: bytes, suffix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    path.with_suffix(".bin").touch()
    with pytest.raises(ModelError, match=rf"(openvino cannot load|the model file) '.*model\{suffix}'"):
        OpenVinoRuntime(path)
    assert capfd.readouterr().out == ""


def test_model_without_a_spec_is_rejected(tiny_model: Path, tmp_path: Path) -> None:
    model = openvino.Core().read_model(tiny_model)
    model.set_rt_info({}, ["framework"])
    openvino.save_model(model, tmp_path / "bare.xml")
    with pytest.raises(ModelError, match=r"no metadata entry 'e2pose\.spec'"):
        OpenVinoRuntime(tmp_path / "bare.xml")


INTERRUPT_AFTER_TWO_MODELS = """
import os, signal, sys
from e2pose.runtimes.openvino import OpenVinoRuntime
signal.signal(signal.SIGINT, lambda *_: print("handled"))
first = OpenVinoRuntime(sys.argv[1])
second = OpenVinoRuntime(sys.argv[1])
del first
del second
os.kill(os.getpid(), signal.SIGINT)
"""


def test_interrupt_after_two_models_are_freed_is_handled(tiny_model: Path) -> None:
    command = [sys.executable, "-c", INTERRUPT_AFTER_TWO_MODELS, str(tiny_model)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != -signal.SIGSEGV
    assert done.stdout == "handled\n"
