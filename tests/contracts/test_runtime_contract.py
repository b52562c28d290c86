"""The contract of the `Runtime` protocol, tested for every runtime."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from e2pose.core.errors import ModelError
from e2pose.export.onnx import export_onnx
from e2pose.export.verify import compare_candidates
from e2pose.inference.estimator import Estimator
from e2pose.runtimes.base import Runtime
from e2pose.runtimes.options import RuntimeName, RuntimeOptions
from e2pose.runtimes.select import RUNTIMES, open_runtime
from e2pose.runtimes.torch import TorchRuntime
from helpers.fake_gpu import tensorrt_installed
from helpers.networks import SPEC, noise, two_layer_network, two_layer_onnx

CROPPED = replace(SPEC, input_size_hw=(128, 96), multiple_of=32)
KEYPOINTS = len(SPEC.schema)
CANDIDATES = 2 * 3 + 1 * 2  # cells of strides 32 and 64 on 64x96; 1.5 columns round up to 2


@pytest.fixture(scope="module")
def runtimes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Runtime]]:
    """The same network in every runtime; a fake replaces TensorRT and the GPU."""
    folder = tmp_path_factory.mktemp("runtimes")
    path = folder / "small.onnx"
    path.write_bytes(two_layer_onnx("f32"))
    with tensorrt_installed(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("E2POSE_HOME", str(folder))
        opened = {name: open_runtime(path, RuntimeOptions(name)) for name in RUNTIMES if name != "torch"}
        yield {**opened, "torch": TorchRuntime(two_layer_network(), SPEC)}


@pytest.fixture(params=list(RUNTIMES))
def runtime(runtimes: dict[str, Runtime], request: pytest.FixtureRequest) -> Runtime:
    return runtimes[request.param]


@pytest.mark.parametrize("batch", [1, 3])
def test_candidates_have_the_documented_shapes_types_and_ranges(runtime: Runtime, batch: int) -> None:
    candidates = runtime(noise(batch).transpose(0, 3, 1, 2))
    assert candidates.scores.shape == (batch, CANDIDATES)
    assert candidates.keypoint_scores.shape == (batch, CANDIDATES, KEYPOINTS)
    assert candidates.keypoints.shape == (batch, CANDIDATES, KEYPOINTS, 2)
    for array in (candidates.scores, candidates.keypoint_scores, candidates.keypoints):
        assert array.dtype == np.float32
        assert np.isfinite(array).all()
    assert 0 <= candidates.scores.min() < candidates.scores.max() <= 1
    assert 0 <= candidates.keypoint_scores.min() < candidates.keypoint_scores.max() <= 1


def test_spec_and_description(runtime: Runtime) -> None:
    assert runtime.spec == SPEC
    assert re.search(r" on (cpu|cuda:0 .*) in (f32|f16)", runtime.description)


def test_pixels_may_be_read_only_and_strided_and_are_not_modified(runtime: Runtime) -> None:
    pixels = noise(2).transpose(0, 3, 1, 2)
    pixels.setflags(write=False)
    before = pixels.copy()
    first, second = runtime(pixels), runtime(np.ascontiguousarray(pixels))
    assert np.array_equal(pixels, before)
    assert np.array_equal(first.keypoints, second.keypoints)


def test_candidates_are_not_overwritten_by_the_next_batch(runtime: Runtime) -> None:
    pixels = noise(2).transpose(0, 3, 1, 2)
    first = runtime(pixels[:1])
    kept = first.keypoints.copy()
    runtime(pixels[1:])
    assert np.array_equal(first.keypoints, kept)


def test_batch_of_three_equals_three_single_images(runtime: Runtime) -> None:
    estimator = Estimator(runtime, threshold=0.0)
    images = [noise(1, size_hw)[0] for size_hw in ((64, 96), (100, 40), (31, 200))]
    for together, alone in zip(estimator.batch(images), map(estimator, images), strict=True):
        assert len(together) == len(alone) == CANDIDATES
        assert np.allclose(together.scores, alone.scores, atol=1e-6)
        assert np.abs(together.keypoints - alone.keypoints).max() < 1e-2


def test_runtime_is_thread_safe(runtime: Runtime) -> None:
    inputs = [image[None] for image in noise(20).transpose(0, 3, 1, 2)]
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(runtime, inputs))
    for pixels, result in zip(inputs, results, strict=True):
        assert np.array_equal(result.keypoints, runtime(pixels).keypoints)


@pytest.mark.parametrize("batch", [1, 8])
def test_runtimes_agree(runtimes: dict[str, Runtime], batch: int) -> None:
    pixels = noise(batch).transpose(0, 3, 1, 2)
    expected = runtimes["torch"](pixels)
    assert expected.keypoints.std() > 0.1
    for runtime in runtimes.values():
        deviation = compare_candidates(runtime(pixels), expected, SPEC.input_size_hw)
        assert deviation.keypoint_px < 1e-2
        assert deviation.score < 1e-4
        assert deviation.num_candidates > batch


@pytest.fixture(scope="module")
def croppable_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose input is cropped to multiples and whose input size can be set."""
    folder = tmp_path_factory.mktemp("open")
    export_onnx(two_layer_network(), CROPPED, folder / "model.onnx")
    return folder / "model.onnx"


@pytest.mark.parametrize("input_size", [None, (64, 128)])
@pytest.mark.parametrize("name", list(RUNTIMES))
def test_input_may_be_cropped_and_its_size_set(
    name: RuntimeName, input_size: tuple[int, int] | None, croppable_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("E2POSE_HOME", str(croppable_model.parent))
    images = [noise(1, size_hw)[0] for size_hw in ((128, 96), (60, 96), (200, 40), (60, 96), (5, 300))]
    with tensorrt_installed():
        if name == "torch":
            runtime: Runtime = TorchRuntime(two_layer_network(), CROPPED.with_input_size(input_size))
        else:
            runtime = open_runtime(croppable_model, RuntimeOptions(name, input_size=input_size))
        estimator = Estimator(runtime, threshold=0.0)
        together, alone = estimator.batch(images), [estimator(image) for image in images]
    spec = CROPPED.with_input_size(input_size)
    if name == "tensorrt":  # engines are built for a single input size
        spec = replace(spec, multiple_of=None)
    assert estimator.spec == spec
    reference = Estimator(TorchRuntime(two_layer_network(), spec), threshold=0.0)
    for image, actual, single in zip(images, together, alone, strict=True):
        expected = reference(image)
        assert len(actual) == len(expected) > 0
        assert np.allclose(actual.scores, expected.scores, atol=1e-5)
        assert np.allclose(actual.scores, single.scores, atol=1e-6)
        assert np.abs(np.sort(actual.keypoints, axis=0) - np.sort(expected.keypoints, axis=0)).max() < 0.05


def test_fixed_input_size_rejects_another_size(tiny_model: Path) -> None:
    with pytest.raises(ModelError, match="'tiny' has a fixed input size of 64 x 64, not 32 x 64") as caught:
        open_runtime(tiny_model, RuntimeOptions(input_size=(32, 64)))
    assert "--input-size 32 64" in caught.value.hint
    assert open_runtime(tiny_model, RuntimeOptions(input_size=(64, 64))).spec.input_size_hw == (64, 64)


def test_input_size_of_other_multiples_is_rejected(croppable_model: Path) -> None:
    with pytest.raises(ModelError, match="must be multiples of 32, not"):
        open_runtime(croppable_model, RuntimeOptions(input_size=(100, 96)))


def test_every_runtime_is_tested(runtimes: dict[str, Runtime]) -> None:
    assert set(runtimes) == set(RUNTIMES)
