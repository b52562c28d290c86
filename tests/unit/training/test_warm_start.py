import numpy as np
import pytest
import torch

from e2pose.core.errors import ModelError
from e2pose.core.schema import KeypointSchema
from e2pose.models.build import build_network
from e2pose.models.config import NetworkConfig
from e2pose.models.weights import save_weights
from e2pose.training.recipe import InitialConfig, Recipe
from e2pose.training.warm_start import resolve_weights, warm_start, with_initial_network
from helpers.networks import SPEC, noise, small_network

COCO = SPEC.schema


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_weights(path, small_network(), SPEC)
    return path


def other_network(keypoints=17, *, fine=True, **changes):
    refinement = {"steps": 2, "fine": {"steps": 1} if fine else None}
    settings = {"strides": (16, 32, 64), "width": 8, "refinement": refinement, **changes}
    return build_network(NetworkConfig.model_validate(settings), keypoints)


def predict(network):
    with torch.no_grad():
        return network.eval()(torch.from_numpy(np.moveaxis(noise(2), -1, 1).copy()))


def test_keypoints_in_another_order_are_predicted_in_that_order(weights):
    order = np.random.default_rng(0).permutation(17).tolist()
    names = [COCO.keypoints[index] for index in order]
    network = other_network()
    result = warm_start(network, KeypointSchema.from_names("permuted", names), weights)
    ours, theirs = predict(network), predict(small_network())
    torch.testing.assert_close(ours.person_logits, theirs.person_logits)
    torch.testing.assert_close(ours.centers, theirs.centers)
    torch.testing.assert_close(ours.keypoint_logits, theirs.keypoint_logits[:, :, order])
    torch.testing.assert_close(ours.keypoints, theirs.keypoints[:, :, order])
    assert result.skipped == ()


def test_common_keypoints_are_loaded_and_new_ones_are_not(weights):
    schema = KeypointSchema.from_names("mine", ["hat", "left_ankle", "nose"])
    network = other_network(3)
    before = network.head.output.weight.detach().clone()
    result = warm_start(network, schema, weights)
    ours, theirs = predict(network), predict(small_network())
    common = [COCO.keypoints.index(name) for name in ("left_ankle", "nose")]
    torch.testing.assert_close(ours.person_logits, theirs.person_logits)
    torch.testing.assert_close(ours.keypoints[:, :, 1:], theirs.keypoints[:, :, common])
    new = [1, 6, 7]  # the hat's score and its offset
    changed = (network.head.output.weight != before).flatten(1).any(dim=1)
    assert changed.nonzero().flatten().tolist() == [row for row in range(12) if row not in new]
    assert result.new_keypoints == ("hat",)
    assert "new keypoints: hat" in result.describe()


def test_offset_maps_are_skipped_without_common_keypoints(weights):
    result = warm_start(other_network(2), KeypointSchema.from_names("mine", ["hat", "stick"]), weights)
    corrections = {"coarse_refinement.output", "fine_refinement.output", "fine_refinement.coarse"}
    assert {name.rpartition(".")[0] for name in result.skipped} == corrections
    summary = "not coarse_refinement.output, fine_refinement.coarse, fine_refinement.output; new keypoints: hat, stick"
    assert result.describe().endswith(f"; {summary}")


def test_missing_layers_are_unchanged_and_named(tmp_path):
    plain = other_network(refinement=None)
    save_weights(tmp_path / "plain.safetensors", plain, SPEC)
    network = other_network(strides=(16, 32, 64, 128), fine=False)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    result = warm_start(network, COCO, tmp_path / "plain.safetensors")
    after, given = network.state_dict(), plain.state_dict()
    assert result.loaded
    assert all(torch.equal(after[name], given[name]) for name in result.loaded)
    assert all(torch.equal(after[name], before[name]) for name in result.skipped)
    assert any(name.startswith("coarse_refinement.") for name in result.skipped)
    assert {name.split(".")[0] for name in result.skipped} == {"coarse_refinement", "pyramid", "head"}
    assert ", head.norms, " in result.describe()
    assert "coarse_refinement" in result.describe()


def test_weights_of_another_width_are_skipped(weights):
    network = other_network(width=16)
    result = warm_start(network, COCO, weights)
    taken = [name for name in result.loaded if "num_batches" not in name]
    own_widths = {"coarse_refinement", "fine_features", "fine_refinement"}
    assert {name.split(".")[0] for name in taken} == {"backbone", *own_widths}
    assert len([name for name in result.loaded if name.startswith("backbone.")]) == len(network.backbone.state_dict())


def test_other_backbone_is_rejected(weights):
    with pytest.raises(ModelError, match=r"mobilenetv2.* resnet50") as failure:
        warm_start(build_network(NetworkConfig(backbone="resnet50", width=8), 17), COCO, weights)
    assert "network.backbone" in failure.value.hint


def recipe_from(path, **network):
    record = {"name": "a", "data": {"sets": [{"path": "a"}]}, "optim": {"steps": 1}}
    return Recipe.model_validate({**record, "initial": {"weights": str(path)}, "network": network})


def test_network_settings_missing_in_the_recipe_come_from_the_model(weights):
    network = with_initial_network(recipe_from(weights, head_depth=3)).network
    assert (network.strides, network.width, network.refinement.steps) == ((16, 32, 64), 8, 2)
    assert network.head_depth == 3
    assert with_initial_network(recipe_from(weights)) == with_initial_network(
        with_initial_network(recipe_from(weights))
    )


def test_default_model_is_loaded_completely_by_name():
    recipe = with_initial_network(recipe_from("default"))
    result = warm_start(build_network(recipe.network, len(COCO)), COCO, resolve_weights("default"))
    assert result.skipped == ()


def test_recipe_without_initial_weights_is_unchanged():
    plain = recipe_from("none").model_copy(update={"initial": InitialConfig()})
    assert with_initial_network(plain) is plain
