from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from e2pose.core.errors import ModelError, RuntimeChoiceError
from e2pose.models.weights import save_weights
from e2pose.runtimes.options import RuntimeOptions
from e2pose.runtimes.torch import TorchRuntime
from helpers.networks import SPEC, noise, small_network, two_layer_network

PIXELS = np.ascontiguousarray(noise(2).transpose(0, 3, 1, 2))


def test_network_is_copied_and_unchanged() -> None:
    network = two_layer_network().train()
    runtime = TorchRuntime(network, SPEC)
    before = runtime(PIXELS)
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    with torch.no_grad():
        network.head.output.bias.add_(1)
    assert np.array_equal(runtime(PIXELS).scores, before.scores)


def test_scores_are_sigmoids_of_logits() -> None:
    network = two_layer_network()
    candidates = TorchRuntime(network, SPEC)(PIXELS)
    with torch.no_grad():
        prediction = network(torch.from_numpy(PIXELS))
    assert np.allclose(candidates.scores, 1 / (1 + np.exp(-prediction.person_logits.numpy())), atol=1e-6)
    assert np.allclose(candidates.keypoint_scores, 1 / (1 + np.exp(-prediction.keypoint_logits.numpy())), atol=1e-6)


@pytest.mark.parametrize("device", ["toaster", "cuda:99", "mps"])
def test_unavailable_device_is_reported(device: str) -> None:
    with pytest.raises(RuntimeChoiceError, match=f"torch cannot run on '{device}' here") as caught:
        TorchRuntime(two_layer_network(), SPEC, device)
    assert "cpu" in caught.value.hint
    assert len(caught.value.message) < 400  # torch lists all backends that it was not built for


@pytest.mark.parametrize("content", [None, b"", b"not a model " * 50], ids=["missing", "empty", "foreign"])
def test_invalid_file_is_reported(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        TorchRuntime.open(path)


def test_saved_weights_give_equal_candidates(tmp_path: Path) -> None:
    network = small_network()
    save_weights(tmp_path / "small.safetensors", network, SPEC)
    runtime = TorchRuntime.open(tmp_path / "small.safetensors")
    assert runtime.spec == SPEC
    assert np.array_equal(runtime(PIXELS).keypoints, TorchRuntime(network, SPEC)(PIXELS).keypoints)


def test_bf16_is_close_to_f32_and_described() -> None:
    network = small_network()
    f32, bf16 = TorchRuntime(network, SPEC), TorchRuntime(network, SPEC, precision="bf16")
    assert " in f32" in f32.description
    assert " in bf16" in bf16.description
    difference = np.abs(f32(PIXELS).keypoints - bf16(PIXELS).keypoints).mean()
    assert 0 < difference < 0.05
    assert bf16(PIXELS).keypoints.dtype == np.float32


def test_threads_of_the_options_are_set(tmp_path: Path) -> None:
    save_weights(tmp_path / "two.safetensors", small_network(), SPEC)
    before = torch.get_num_threads()
    try:
        runtime = TorchRuntime.open(tmp_path / "two.safetensors", RuntimeOptions(threads=1))
        assert torch.get_num_threads() == 1
        assert runtime.description.endswith("on cpu in f32, 1 thread")
    finally:
        torch.set_num_threads(before)


def test_input_size_of_the_options_is_set(tmp_path: Path) -> None:
    save_weights(tmp_path / "open.safetensors", small_network(), replace(SPEC, multiple_of=32))
    runtime = TorchRuntime.open(tmp_path / "open.safetensors", RuntimeOptions(input_size=(96, 64)))
    assert runtime.spec == replace(SPEC, multiple_of=32, input_size_hw=(96, 64))
