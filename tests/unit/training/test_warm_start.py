import numpy as np
import pytest
import torch

from e2pose.core.errors import ModelError
from e2pose.core.schema import KeypointSchema
from e2pose.models.build import build_network
from e2pose.models.config import NetworkConfig
from e2pose.models.weights import save_weights
from e2pose.training.recipe import InitialConfig, Recipe
from e2pose.training.warm_start import as_in_model, find_weights, warm_start
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


def test_the_same_keypoints_in_another_order_are_predicted_in_that_order(weights):
    order = np.random.default_rng(0).permutation(17).tolist()
    names = [COCO.keypoints[index] for index in order]
    network = other_network()
    inheritance = warm_start(network, KeypointSchema.from_names("permuted", names), weights)
    ours, theirs = predict(network), predict(small_network())
    torch.testing.assert_close(ours.person_logits, theirs.person_logits)
    torch.testing.assert_close(ours.centers, theirs.centers)
    torch.testing.assert_close(ours.keypoint_logits, theirs.keypoint_logits[:, :, order])
    torch.testing.assert_close(ours.keypoints, theirs.keypoints[:, :, order])
    assert inheritance.left == ()
    assert inheritance.keypoints == tuple(names)


def test_keypoints_in_common_are_taken_over_and_new_ones_begin_anew(weights):
    schema = KeypointSchema.from_names("mine", ["hat", "left_ankle", "nose"])
    network = other_network(3)
    before = network.head.output.weight.detach().clone()
    inheritance = warm_start(network, schema, weights)
    ours, theirs = predict(network), predict(small_network())
    common = [COCO.keypoints.index(name) for name in ("left_ankle", "nose")]
    torch.testing.assert_close(ours.person_logits, theirs.person_logits)
    torch.testing.assert_close(ours.keypoints[:, :, 1:], theirs.keypoints[:, :, common])
    new = [1, 6, 7]  # the hat's score and its offset
    changed = (network.head.output.weight != before).flatten(1).any(dim=1)
    assert changed.nonzero().flatten().tolist() == [row for row in range(12) if row not in new]
    assert inheritance.new_keypoints == ("hat",)
    assert "new keypoints: hat" in inheritance.describe()


def test_with_no_keypoint_in_common_corrections_begin_anew(weights):
    inheritance = warm_start(other_network(2), KeypointSchema.from_names("mine", ["hat", "stick"]), weights)
    corrections = {"coarse_refinement.output", "fine_refinement.output", "fine_refinement.coarse"}
    assert {name.rpartition(".")[0] for name in inheritance.left} == corrections
    unknown = "not coarse_refinement.output, fine_refinement.coarse, fine_refinement.output; new keypoints: hat, stick"
    assert inheritance.describe().endswith(f"; {unknown}")


def test_further_parts_stay_as_they_are_and_are_named(tmp_path):
    plain = other_network(refinement=None)
    save_weights(tmp_path / "plain.safetensors", plain, SPEC)
    network = other_network(strides=(16, 32, 64, 128), fine=False)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    inheritance = warm_start(network, COCO, tmp_path / "plain.safetensors")
    after, given = network.state_dict(), plain.state_dict()
    assert inheritance.taken
    assert all(torch.equal(after[name], given[name]) for name in inheritance.taken)
    assert all(torch.equal(after[name], before[name]) for name in inheritance.left)
    assert any(name.startswith("coarse_refinement.") for name in inheritance.left)
    assert {name.split(".")[0] for name in inheritance.left} == {"coarse_refinement", "pyramid", "head"}
    assert ", head.norms, " in inheritance.describe()
    assert "coarse_refinement" in inheritance.describe()


def test_weights_of_another_width_are_left_out(weights):
    network = other_network(width=16)
    inheritance = warm_start(network, COCO, weights)
    taken = [name for name in inheritance.taken if "num_batches" not in name]
    own_widths = {"coarse_refinement", "fine_features", "fine_refinement"}
    assert {name.split(".")[0] for name in taken} == {"backbone", *own_widths}
    assert len([name for name in inheritance.taken if name.startswith("backbone.")]) == len(
        network.backbone.state_dict()
    )


def test_another_backbone_is_refused(weights):
    with pytest.raises(ModelError, match=r"mobilenetv2.* resnet50") as failure:
        warm_start(build_network(NetworkConfig(backbone="resnet50", width=8), 17), COCO, weights)
    assert "network.backbone" in failure.value.hint


def recipe_from(path, **network):
    record = {"name": "a", "data": {"sets": [{"path": "a"}]}, "optim": {"steps": 1}}
    return Recipe.model_validate({**record, "initial": {"weights": str(path)}, "network": network})


def test_what_a_recipe_does_not_say_about_the_network_is_as_in_the_model(weights):
    network = as_in_model(recipe_from(weights, head_depth=3)).network
    assert (network.strides, network.width, network.refinement.steps) == ((16, 32, 64), 8, 2)
    assert network.head_depth == 3
    assert as_in_model(recipe_from(weights)) == as_in_model(as_in_model(recipe_from(weights)))


def test_the_default_model_is_taken_over_by_name_and_whole():
    recipe = as_in_model(recipe_from("default"))
    inheritance = warm_start(build_network(recipe.network, len(COCO)), COCO, find_weights("default"))
    assert inheritance.left == ()
    assert inheritance.keypoints == COCO.keypoints


def test_a_recipe_that_names_no_model_stays_as_it_is():
    plain = recipe_from("none").model_copy(update={"initial": InitialConfig()})
    assert as_in_model(plain) is plain
