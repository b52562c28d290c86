import torch

from e2pose.models.build import build_network
from e2pose.models.config import FineRefinementConfig, NetworkConfig, RefinementConfig
from e2pose.models.fine_features import FINE_CHANNELS
from e2pose.models.half_resolution import HalfResolutionBranch
from e2pose.models.refined import RefinedE2Pose
from e2pose.models.refinement import FINE_REFINEMENT_CHANNELS
from helpers.networks import randomise_weights

CHANNELS = {4: 3, 8: 4, 16: 5, 32: 6}
PIXELS = torch.randint(0, 256, (2, 3, 96, 160), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def small_network(*, branch: bool) -> RefinedE2Pose:
    torch.manual_seed(0)
    fine = FineRefinementConfig(steps=1, half_resolution_branch=branch)
    config = NetworkConfig(strides=(16, 32, 64), width=8, refinement=RefinementConfig(steps=1, fine=fine))
    return build_network(config, 17).eval()


def test_new_branch_changes_nothing_but_receives_gradients() -> None:
    network, plain = small_network(branch=True), small_network(branch=False)
    plain.load_state_dict({name: network.state_dict()[name] for name in plain.state_dict()})
    prediction, without = network(PIXELS), plain(PIXELS)
    torch.testing.assert_close(prediction.keypoints, without.keypoints)
    torch.testing.assert_close(prediction.person_logits, without.person_logits)
    (prediction.person_logits.square().sum() + prediction.offset_maps[0].square().sum()).backward()
    branch = network.half_resolution
    layers = [*branch.levels.values(), branch.fine, branch.refinement]
    assert len(layers) == 5, "levels of stride 16, 32 and 64, fine features, refinement"
    assert all(layer.weight.grad.abs().sum() > 0 for layer in layers)


def test_every_parameter_influences_the_prediction() -> None:
    network = randomise_weights(small_network(branch=True))
    prediction = network(PIXELS)
    parts = (prediction.person_logits, prediction.keypoint_logits, prediction.keypoints, *prediction.offset_maps)
    sum(part.square().mean() for part in parts).backward()
    unused = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not unused


def test_smaller_image_is_the_mean_of_2x2_pixels() -> None:
    network, inputs = small_network(branch=True), []
    network.backbone.register_forward_pre_hook(lambda module, given: inputs.append(given[0]))
    with torch.inference_mode():
        network(PIXELS)
    image, half = inputs
    torch.testing.assert_close(half, image.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).mean(dim=(3, 5)))


def test_maps_of_the_smaller_image_keep_their_position() -> None:
    torch.manual_seed(0)
    branch = HalfResolutionBranch(CHANNELS, (16, 32, 64), 8)
    for layer in branch.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.normal_(layer.weight)
    maps = {s: torch.zeros(1, c, 64 // s, 128 // s) for s, c in CHANNELS.items()}  # of an input of 128 x 256
    fine = torch.zeros(1, FINE_CHANNELS, 16, 32)
    maps[8][..., 3, 5] = 1.0
    fine[..., 15, 30] = 1.0
    levels, _ = branch(maps, fine, torch.zeros(1, FINE_REFINEMENT_CHANNELS, 16, 32))
    assert {stride: tuple(level.shape) for stride, level in levels.items()} == {
        16: (1, 8, 8, 16),
        32: (1, 8, 4, 8),
        64: (1, 8, 2, 4),
    }
    assert levels[16].abs().sum(dim=(0, 1)).nonzero().tolist() == [[3, 5], [7, 15]]
    assert not levels[32].any()
    torch.testing.assert_close(levels[16][0, :, 7, 15], branch.fine.weight[:, 2::4].sum(dim=(1, 2, 3)))


def test_halved_sides_need_not_be_multiples_of_32() -> None:
    network = randomise_weights(small_network(branch=True))
    with torch.inference_mode():
        prediction = network(PIXELS)  # 96 x 160 becomes 48 x 80
        assert prediction.keypoints.shape == (2, 60 + 15 + 6, 17, 2)
        changed = PIXELS.clone()
        changed[:, :, -2:, -2:] = 255 - changed[:, :, -2:, -2:]
        assert not torch.equal(network(changed).person_logits, prediction.person_logits)
