"""A user's own model, from labelled pictures to poses on a picture, by the command line alone."""

import json

import pytest

from e2pose.cli.app import main
from e2pose.runtimes.onnxruntime import OnnxRuntime
from e2pose.runtimes.select import open_runtime
from helpers.training_runs import write_recipe, write_set


@pytest.mark.slow
def test_one_picture_is_learned_by_heart_and_found_again(tmp_path, monkeypatch, capfd):
    root = write_set(tmp_path / "data")
    picture, annotations = root / "synthetic" / "images" / "1.png", root / "synthetic" / "annotations.json"
    monkeypatch.chdir(tmp_path)
    assert main(["train", str(write_recipe(tmp_path, root, steps=120)), "-o", "run"]) == 0
    weights = "run/weights.safetensors"
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in log] == list(range(4, 121, 4))
    assert log[-1]["total"] < 0.2 * log[0]["total"]
    assert main(["evaluate", weights, str(annotations), str(picture.parent), "--json", "numbers.json"]) == 0
    assert json.loads((tmp_path / "numbers.json").read_text(encoding="utf-8"))["ap"] == pytest.approx(1.0)
    options = "--precision f16 --threshold 0.5 --name own --input-size 96 96 --images"
    assert main(["export", weights, "own.onnx", *options.split(), str(picture)]) == 0
    assert main(["predict", str(picture), "--model", "own.onnx", "-o", "drawn.png", "-o", "poses.json"]) == 0
    assert (tmp_path / "drawn.png").stat().st_size > 0
    results = json.loads((tmp_path / "poses.json").read_text(encoding="utf-8"))
    assert [entry["image_id"] for entry in results] == [1, 1]
    assert main(["train", "recipe.toml", "-o", "run"]) == 1
    assert "--resume" in capfd.readouterr().err


def test_the_default_model_is_exported_for_another_canvas(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert main(["export", "default", "small.onnx", "--input-size", "96", "128", "--precision", "f16"]) == 0
    assert OnnxRuntime(tmp_path / "small.onnx").spec.input_size_hw == (96, 128)
    assert main(["export", "default", "a.xml", "--threshold", "0.3"]) == 0
    assert open_runtime(tmp_path / "a.xml").spec.threshold == 0.3
