import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from e2pose.core.errors import (
    E2PoseError,
    FallbackWarning,
    InputError,
    MissingExtraError,
    ModelError,
    OptionError,
    RuntimeChoiceError,
)
from e2pose.inference.estimator import Estimator, load
from e2pose.runtimes.onnxruntime import OnnxRuntime
from e2pose.runtimes.options import RuntimeOptions
from helpers.synthetic import TINY_KEYPOINTS, write_image


def test_batch_of_three_equals_three_single_images(runtime, make_image) -> None:
    estimator = Estimator(runtime)
    images = [make_image(2), make_image(0, (300, 200)), make_image(4, (31, 77))]
    together, alone = estimator.batch(images), [estimator(image) for image in images]
    assert runtime.batches == [3, 1, 1, 1]
    for ours, theirs in zip(together, alone, strict=True):
        assert np.array_equal(ours.keypoints, theirs.keypoints)
        assert np.array_equal(ours.keypoint_scores, theirs.keypoint_scores)
        assert np.array_equal(ours.scores, theirs.scores)


@pytest.mark.parametrize("persons", [0, 1, 5])
def test_all_persons_are_found(runtime, make_image, persons: int) -> None:
    poses = Estimator(runtime)(make_image(persons))
    assert len(poses) == persons
    assert poses.keypoints.shape == (persons, 2, 2)


def test_empty_batch_runs_nothing(runtime) -> None:
    assert Estimator(runtime).batch([]) == []
    assert runtime.batches == []


def test_image_is_not_modified(runtime, make_image) -> None:
    image = make_image(3)
    image.setflags(write=False)
    Estimator(runtime)(image)
    assert (image == 3).all()


def test_threshold_defaults_to_that_of_the_model(runtime, make_image) -> None:
    estimator = Estimator(runtime)
    assert estimator.threshold == runtime.spec.threshold == 0.4
    strict = estimator.with_threshold(0.87)
    assert (len(estimator(make_image(3))), len(strict(make_image(3)))) == (3, 1)
    assert estimator.threshold == 0.4
    assert strict.spec is estimator.spec


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan")])
def test_threshold_out_of_range_is_rejected(runtime, threshold: float) -> None:
    with pytest.raises(OptionError, match="threshold must be between 0 and 1"):
        Estimator(runtime, threshold)


@pytest.mark.parametrize(
    ("image", "hint"),
    [
        (np.zeros((4, 4), np.uint8), "np.stack"),
        (np.zeros((4, 4, 4), np.uint8), "drop alpha"),
        (np.zeros((4, 4, 3), np.float32), "astype"),
    ],
    ids=["grey", "alpha", "float"],
)
def test_invalid_images_are_rejected_with_a_hint(runtime, image, hint: str) -> None:
    with pytest.raises(OptionError) as caught:
        Estimator(runtime).batch([image])
    assert hint in caught.value.hint


def test_description_names_model_and_runtime(runtime) -> None:
    assert Estimator(runtime).description == "test, fake runtime"


@pytest.mark.parametrize("kind", [str, Path])
def test_image_is_read_from_a_path(tiny_model: Path, tmp_path: Path, kind) -> None:
    path = write_image(tmp_path / "weiß und hell.png", (30, 60))
    poses = load(tiny_model, threads=1)(kind(path))
    assert np.allclose(poses.keypoints[0], TINY_KEYPOINTS * [60, 30], atol=1e-4)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_content_of_an_image_file_is_accepted(tiny_model: Path, tmp_path: Path, kind) -> None:
    path = write_image(tmp_path / "a.png")
    estimator = load(str(tiny_model))
    data = kind(path.read_bytes())
    for poses in (estimator(data), *estimator.batch([data, path, data])):
        assert np.array_equal(poses.keypoints, estimator(path).keypoints)
    with pytest.raises(InputError, match="the PNG image is truncated"):
        estimator(data[:90])


def test_unreadable_image_is_reported(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        load(str(tiny_model))(tmp_path / "none.jpg")


def test_load_applies_its_options(tiny_model: Path, tmp_path: Path) -> None:
    estimator = load(tiny_model, threads=1, threshold=0.7, runtime="onnxruntime")
    assert estimator.threshold == 0.7
    assert "1 thread" in estimator.description
    with pytest.raises(ModelError, match="does not exist"):
        load(tmp_path / "none.onnx")
    with pytest.raises(E2PoseError, match="unknown device 'tpu'"):
        load(tiny_model, device="tpu")


def test_named_model_opens_the_file_of_the_runtime() -> None:
    default, torch = Estimator.open(), Estimator.open("default", RuntimeOptions("torch"))
    assert default.runtime.description.startswith("onnxruntime ")
    assert torch.runtime.description.startswith("torch ")
    assert torch.spec == default.spec


def test_named_model_falls_back_to_the_file_of_the_default_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "e2pose.runtimes.torch", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.warns(FallbackWarning, match="'torch' is required but not installed; using onnxruntime "):
        assert load(runtime="torch", allow_fallback=True).spec.name


UNAVAILABLE = [RuntimeOptions(device="cuda"), RuntimeOptions(precision="bf16"), RuntimeOptions("openvino", threads=1)]


@pytest.fixture
def only_onnxruntime_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    monkeypatch.delitem(sys.modules, "e2pose.runtimes.openvino", raising=False)
    monkeypatch.setitem(sys.modules, "openvino", None)


@pytest.mark.usefixtures("only_onnxruntime_on_the_cpu")
@pytest.mark.parametrize("options", UNAVAILABLE, ids=["device", "precision", "runtime"])
def test_fallback_must_be_allowed_and_warns(tiny_model: Path, options: RuntimeOptions) -> None:
    with pytest.raises((RuntimeChoiceError, MissingExtraError)):
        Estimator.open(tiny_model, options)
    allowed = replace(options, allow_fallback=True)
    with pytest.warns(FallbackWarning, match="; using onnxruntime .* on cpu in f32, .* instead"):
        estimator = Estimator.open(tiny_model, allowed)
    assert isinstance(estimator.runtime, OnnxRuntime)
    assert options.threads is None or estimator.description.endswith("1 thread")


@pytest.mark.usefixtures("only_onnxruntime_on_the_cpu")
def test_fallback_does_not_hide_a_bad_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        Estimator.open(tmp_path / "none.onnx", RuntimeOptions(precision="bf16", allow_fallback=True))


def test_no_warning_without_fallback(tiny_model: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Estimator.open(tiny_model, RuntimeOptions(device="cpu", allow_fallback=True))


def test_threads_are_shared_by_parallel_images(tiny_model: Path) -> None:
    options = RuntimeOptions(threads=3)
    alone, two = (Estimator.open(tiny_model, options, num_images=images) for images in (1, 2))
    assert (alone.num_parallel, two.num_parallel) == (1, 2)
    assert alone.description.endswith("3 threads")
    assert two.description.endswith("2 threads")
    assert two.with_threshold(0.5).num_parallel == 2
