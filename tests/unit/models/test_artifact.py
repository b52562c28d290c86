import pytest
import torch
from safetensors.torch import save_file

from e2pose.core.errors import ModelError
from e2pose.core.schema import load_schema
from e2pose.core.spec import METADATA_KEY, ModelSpec
from e2pose.models.artifact import load_weights, save_weights
from e2pose.models.build import build_network
from e2pose.models.config import NetworkConfig

SPEC = ModelSpec(name="small", input_size_hw=(64, 96), fit="letterbox", schema=load_schema("coco"), threshold=0.3)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_network(NetworkConfig(strides=(16, 32), width=8, head_depth=2), 17).eval()


def test_a_network_comes_back_as_it_was(network, tmp_path):
    path = tmp_path / "model.safetensors"
    save_weights(path, network, SPEC)
    loaded, spec = load_weights(path)
    assert spec == SPEC
    assert loaded.config == network.config
    assert not loaded.training
    pixels = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.equal(loaded(pixels).keypoints, network(pixels).keypoints)


def test_half_precision_halves_the_file_and_loads_as_single(tmp_path):
    network = build_network(
        NetworkConfig(backbone="mobilenetv2_150", strides=(16, 32), width=128), 17
    ).eval()  # as large as in use
    save_weights(tmp_path / "single.safetensors", network, SPEC)
    save_weights(tmp_path / "half.safetensors", network, SPEC, torch.float16)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("single", "half")]
    assert sizes[1] < 0.55 * sizes[0]
    loaded, _ = load_weights(tmp_path / "half.safetensors")
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    small, large = "backbone.features.2.conv.0.0.weight", "backbone.features.16.conv.0.0.weight"
    assert torch.equal(loaded.get_parameter(small), network.get_parameter(small))
    assert torch.equal(loaded.get_parameter(large), network.get_parameter(large).half().float())
    assert not torch.equal(loaded.get_parameter(large), network.get_parameter(large))


def test_bad_files_are_refused(network, tmp_path):
    save_weights(tmp_path / "good.safetensors", network, SPEC)
    whole = (tmp_path / "good.safetensors").read_bytes()
    (tmp_path / "truncated.safetensors").write_bytes(whole[:-1000])
    (tmp_path / "empty.safetensors").write_bytes(b"")
    save_file({"weight": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    save_file({"weight": torch.zeros(1)}, tmp_path / "hollow.safetensors", {METADATA_KEY: SPEC.to_json()})
    for name in ("truncated", "empty", "foreign", "hollow", "missing"):
        with pytest.raises(ModelError, match=name):
            load_weights(tmp_path / f"{name}.safetensors")
