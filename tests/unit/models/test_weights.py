import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from e2pose.core.errors import ModelError
from e2pose.core.schema import load_schema
from e2pose.core.spec import METADATA_KEY, ModelSpec
from e2pose.models.backbones.mobilenetv2 import MobileNetV2
from e2pose.models.build import build_network
from e2pose.models.config import FineRefinementConfig, NetworkConfig, RefinementConfig
from e2pose.models.weights import (
    NETWORK_KEY,
    load_backbone,
    load_config,
    load_weights,
    save_weights,
)

SPEC = ModelSpec(name="small", input_size_hw=(64, 96), fit="letterbox", schema=load_schema("coco"), threshold=0.3)
PIXELS = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_network(NetworkConfig(strides=(16, 32), width=8, head_depth=2), 17).eval()


def test_saved_network_loads_with_equal_outputs(network, tmp_path):
    path = tmp_path / "model.safetensors"
    save_weights(path, network, SPEC)
    loaded, spec = load_weights(path)
    assert spec == SPEC
    assert loaded.config == network.config == load_config(path)
    assert not loaded.training
    with torch.inference_mode():
        assert torch.equal(loaded(PIXELS).keypoints, network(PIXELS).keypoints)


def test_metadata_holds_the_configuration_as_in_recipes(network, tmp_path):
    save_weights(tmp_path / "model.safetensors", network, SPEC)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        record = json.loads(file.metadata()[NETWORK_KEY])
    assert record == {
        "backbone": "mobilenetv2",
        "strides": [16, 32],
        "width": 8,
        "head_depth": 2,
        "refinement": None,
    }


def test_layers_that_only_training_uses_are_not_saved(tmp_path):
    network = build_network(NetworkConfig(strides=(32, 64), width=16), 17, one_to_many=True).eval()
    save_weights(tmp_path / "w.safetensors", network, SPEC)
    loaded, _ = load_weights(tmp_path / "w.safetensors")
    assert loaded.head.one_to_many is None
    torch.testing.assert_close(loaded(PIXELS).keypoints, network(PIXELS).keypoints)


def test_half_precision_halves_the_file_and_loads_as_f32(tmp_path):
    config = NetworkConfig(backbone="mobilenetv2_150", strides=(16, 32), width=128)  # of realistic size
    network = build_network(config, 17).eval()
    save_weights(tmp_path / "f32.safetensors", network, SPEC)
    save_weights(tmp_path / "f16.safetensors", network, SPEC, torch.float16)
    full, half = ((tmp_path / f"{name}.safetensors").stat().st_size for name in ("f32", "f16"))
    assert half < 0.55 * full
    loaded, _ = load_weights(tmp_path / "f16.safetensors")
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    for (name, before), after in zip(network.named_parameters(), loaded.parameters(), strict=True):
        is_large = before.dim() > 1 and before.numel() > 16384
        assert torch.equal(after, before.half().float() if is_large else before), name


def test_damaged_and_foreign_files_are_rejected(network, tmp_path):
    save_weights(tmp_path / "good.safetensors", network, SPEC)
    whole = (tmp_path / "good.safetensors").read_bytes()
    metadata = {METADATA_KEY: SPEC.to_json()}
    (tmp_path / "truncated.safetensors").write_bytes(whole[:-1000])
    (tmp_path / "empty.safetensors").write_bytes(b"")
    save_file({"weight": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    save_file({"weight": torch.zeros(1)}, tmp_path / "no-network.safetensors", metadata)
    network_of_other_size = {NETWORK_KEY: NetworkConfig(width=16).model_dump_json()}
    save_file({"weight": torch.zeros(1)}, tmp_path / "other.safetensors", metadata | network_of_other_size)
    for name in ("truncated", "empty", "foreign", "no-network", "other", "missing"):
        with pytest.raises(ModelError, match=name):
            load_weights(tmp_path / f"{name}.safetensors")


def test_imagenet_weights_load_and_incomplete_ones_are_rejected(network, tmp_path):
    source = MobileNetV2().state_dict()
    source["features.0.0.weight"] = torch.full((32, 3, 3, 3), 7.0)
    source["classifier.1.weight"] = torch.zeros(1000, 1280)
    torch.save(source, tmp_path / "good.pth")
    network = build_network(network.config, 17)
    load_backbone(network, tmp_path / "good.pth")
    assert network.backbone.state_dict()["features.0.0.weight"].unique().tolist() == [7.0]

    del source["features.3.conv.0.0.weight"]
    torch.save(source, tmp_path / "incomplete.pth")
    (tmp_path / "noise.pth").write_bytes(np.random.default_rng(0).bytes(100))
    for name in ("incomplete.pth", "noise.pth", "missing.pth"):
        with pytest.raises(ModelError, match=name) as caught:
            load_backbone(network, tmp_path / name)
        assert "torchvision" in caught.value.hint


def test_old_files_without_batch_counters_load(network, tmp_path):
    state = {n: v for n, v in network.backbone.state_dict().items() if not n.endswith("num_batches_tracked")}
    torch.save({name: torch.full_like(value, 3) for name, value in state.items()}, tmp_path / "old.pth")
    loaded = build_network(network.config, 17)
    load_backbone(loaded, tmp_path / "old.pth")
    assert (loaded.backbone.state_dict()["features.3.conv.3.running_var"] == 3).all()


def test_fine_features_and_their_towers_load_with_the_backbone(tmp_path):
    config = NetworkConfig(strides=(16, 32), width=8, refinement=RefinementConfig(fine=FineRefinementConfig()))
    source, target = build_network(config, 17), build_network(config, 17)
    torch.save(source.backbone.state_dict() | source.state_dict(), tmp_path / "movenet.pth")
    load_backbone(target, tmp_path / "movenet.pth")
    for name in ("fine_features.expand.0.weight", "fine_refinement.towers.1.1.weight"):
        assert torch.equal(target.state_dict()[name], source.state_dict()[name])
    assert not torch.equal(target.head.output.weight, source.head.output.weight)
