import json
import sys
from pathlib import Path

import pytest

from e2pose.zoo import catalogue as catalog
from helpers.fake_gpu import tensorrt_installed


def test_doctor_reports_the_default_model_and_all_runtimes(e2pose, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("E2POSE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("E2POSE_OFFLINE", "1")
    done = e2pose("doctor", "--json", "report.json")
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert done.code == 0, done.err
    assert "default      mobilenetv2-320, onnxruntime " in done.out
    assert "E2POSE_OFFLINE=1" in done.out
    states = {state["name"]: state for state in report["runtimes"]}
    assert list(states) == ["onnxruntime", "openvino", "tensorrt", "torch"]
    assert " on cpu in f32" in states["onnxruntime"]["works"][0]
    assert report["cache"] == str(tmp_path / "home" / "models")
    assert not (tmp_path / "home").exists()


def test_doctor_reports_a_gpu(e2pose, monkeypatch) -> None:
    monkeypatch.setattr("e2pose.runtimes.probe.find_spec", lambda name: object())
    with tensorrt_installed():
        done = e2pose("doctor")
    assert "tensorrt     10.7.0" in done.out
    assert "works: on cuda:0 (Fake GPU 9000" in done.out


def test_doctor_reports_a_broken_library(e2pose, monkeypatch) -> None:
    monkeypatch.setattr("e2pose.runtimes.probe.find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "openvino", None)
    done = e2pose("doctor")
    assert done.code == 0
    assert "unavailable: installed, but cannot be used: " in done.out


@pytest.mark.parametrize("content", [None, b"damaged"])
def test_doctor_exits_with_1_if_the_default_model_cannot_run(e2pose, tmp_path: Path, monkeypatch, content) -> None:
    monkeypatch.setattr(catalog, "_WEIGHTS", tmp_path)
    if content is not None:
        models, default = catalog.read_catalogue()
        (tmp_path / models[default].files[0].name).write_bytes(content)
    done = e2pose("doctor")
    assert done.code == 1
    assert "cannot run the default model " in done.out


def test_doctor_reports_an_unwritable_cache(e2pose, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "home").write_text("a file where the folder should be")
    monkeypatch.setenv("E2POSE_HOME", str(tmp_path / "home"))
    done = e2pose("doctor")
    assert done.code == 0
    assert "cannot write into" in done.out
