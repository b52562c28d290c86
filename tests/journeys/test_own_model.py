"""A model from annotated images to predicted poses, with the command line only."""

import json

import pytest

from e2pose.cli.app import main
from e2pose.runtimes.onnxruntime import OnnxRuntime
from e2pose.runtimes.select import open_runtime
from helpers.training_runs import write_recipe, write_set


@pytest.mark.slow
def test_trained_model_predicts_the_persons_of_its_training_image(tmp_path, monkeypatch, capfd):
    root = write_set(tmp_path / "data")
    image, annotations = root / "synthetic" / "images" / "1.png", root / "synthetic" / "annotations.json"
    monkeypatch.chdir(tmp_path)
    assert main(["train", str(write_recipe(tmp_path, root, steps=80)), "--set", "optim.batch_size=2", "-o", "run"]) == 0
    weights = "run/weights.safetensors"
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in log] == list(range(4, 81, 4))
    assert log[-1]["total"] < 0.2 * log[0]["total"]
    assert main(["evaluate", weights, str(annotations), str(image.parent), "--json", "numbers.json"]) == 0
    assert json.loads((tmp_path / "numbers.json").read_text(encoding="utf-8"))["ap"] == pytest.approx(1.0)
    options = "--precision f16 --threshold 0.5 --name own --input-size 96 96 --fixed-input-size --batch-size 1 --images"
    assert main(["export", weights, "own.onnx", *options.split(), str(image)]) == 0
    assert main(["predict", str(image), "--model", "own.onnx", "-o", "drawn.png", "-o", "poses.json"]) == 0
    assert (tmp_path / "drawn.png").stat().st_size > 0
    results = json.loads((tmp_path / "poses.json").read_text(encoding="utf-8"))
    assert [entry["image_id"] for entry in results] == [1, 1]
    assert main(["train", "recipe.toml", "-o", "run"]) == 1
    assert "--resume" in capfd.readouterr().err


@pytest.mark.slow
def test_default_model_is_exported_with_another_input_size_and_threshold(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    # Tracing a variable input size takes three times as long; the tests of export_onnx cover it.
    size = ["--input-size", "64", "96", "--fixed-input-size", "--batch-size", "1"]
    assert main(["export", "default", "small.onnx", *size, "--precision", "f16"]) == 0
    assert OnnxRuntime(tmp_path / "small.onnx").spec.input_size_hw == (64, 96)
    assert main(["export", "default", "a.xml", *size, "--threshold", "0.3"]) == 0
    assert open_runtime(tmp_path / "a.xml").spec.threshold == 0.3
