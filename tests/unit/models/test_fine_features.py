import pytest
import torch

from e2pose.models.build import build_network
from e2pose.models.config import FineRefinementConfig, NetworkConfig, RefinementConfig
from e2pose.models.fine_features import FINE_CHANNELS, FINE_STRIDE, FineFeatures, separable_conv
from e2pose.models.refined import RefinedE2Pose
from e2pose.models.refinement import FineRefinement, apply_offsets
from helpers.networks import randomise_weights

CHANNELS = {4: 3, 8: 4, 16: 5, 32: 6}


def random_maps(height: int, width: int) -> dict[int, torch.Tensor]:
    return {s: torch.randn(2, c, height // s, width // s) for s, c in CHANNELS.items()}


def fine_network(*, backbone: str = "mobilenetv2", **values) -> RefinedE2Pose:
    torch.manual_seed(0)
    refinement = RefinementConfig(steps=1, fine=FineRefinementConfig(**{"steps": 2, **values}))
    config = NetworkConfig(backbone=backbone, strides=(16, 32, 64), width=8, refinement=refinement)
    return build_network(config, 17).eval()


def levels_of(network: RefinedE2Pose, maps: dict[int, torch.Tensor], fine: torch.Tensor) -> list[torch.Tensor]:
    levels = network.pyramid.bottom_up(maps)
    levels[0] = levels[0] + network.fine_fusion.project(fine, levels[0])
    return network.fine_fusion(network.pyramid.top_down(levels))


def test_fine_features_have_stride_4_and_depend_on_every_map() -> None:
    torch.manual_seed(0)
    features = FineFeatures(CHANNELS).eval()
    maps = random_maps(96, 160)
    fine = features(maps)
    assert fine.shape == (2, FINE_CHANNELS, 24, 40)
    for stride in CHANNELS:
        assert not torch.equal(features(maps | {stride: maps[stride] + 1}), fine), stride


def test_coarse_maps_are_shifted_up_and_left_when_upsampled() -> None:
    """A stride-2 convolution padded on both sides is centred on the upper left of its cell, and so are finer maps."""
    torch.manual_seed(0)
    features = FineFeatures(CHANNELS).eval()
    maps = random_maps(128, 128)
    lit = maps | {8: maps[8].clone()}
    lit[8][:, :, 8, 8] += 10  # without the shift, rows 15 to 18 and their neighbours would change
    rows = (features(lit) - features(maps)).abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    assert rows.float().mean() == pytest.approx(15.5, abs=0.6)


def test_fine_steps_follow_the_coarse_steps() -> None:
    network = randomise_weights(fine_network())
    with torch.inference_mode():
        prediction = network(torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8))
    coarse, fine = prediction.offset_maps
    first, second, third = prediction.intermediate_keypoints
    torch.testing.assert_close(second, apply_offsets(coarse, first, 8, (64, 96), 1)[-1])
    torch.testing.assert_close(prediction.keypoints, apply_offsets(fine, second, 4, (64, 96), 2)[-1])
    assert not torch.equal(third, prediction.keypoints)


@pytest.mark.parametrize("size_hw", [(64, 96), (128, 64)])
def test_fine_features_are_projected_in_bf16_as_in_f32(size_hw) -> None:
    """With 24 channels and patches of 4 x 4, torch 2.13's own convolution is wrong in bf16 on CPUs with AMX."""
    network = randomise_weights(fine_network())
    fine = torch.randn(2, FINE_CHANNELS, size_hw[0] // 4, size_hw[1] // 4)
    maps = {s: torch.zeros(2, c, size_hw[0] // s, size_hw[1] // s) for s, c in network.backbone.channels.items()}
    exact = levels_of(network, maps, fine)[0]
    with torch.autocast("cpu", torch.bfloat16):
        rounded = levels_of(network, maps, fine.bfloat16())[0]
    assert (rounded - exact).abs().mean() < 0.02 * exact.abs().mean()


def test_fine_offsets_are_in_units_of_two_strides() -> None:
    refinement = FineRefinement(num_keypoints=1).eval()
    torch.nn.init.zeros_(refinement.output.weight)
    refinement.output.bias.data = torch.tensor([0.25, -0.5])  # of two strides, that is of 8 pixels
    offset_map = refinement(refinement.extract(torch.randn(1, FINE_CHANNELS, 16, 24)), torch.randn(1, 96, 8, 12))
    (moved,) = apply_offsets(offset_map, torch.full((1, 1, 1, 2), 0.5), FINE_STRIDE, (64, 96), steps=1)
    assert (moved[0, 0, 0] * torch.tensor([96.0, 64.0])).tolist() == pytest.approx([48 + 2, 32 - 4], abs=1e-4)


def test_coarse_features_enter_the_fine_offset_map_at_their_position() -> None:
    refinement = FineRefinement(num_keypoints=1).eval()
    fine, coarse = torch.zeros(1, 192, 16, 24), torch.zeros(1, 96, 8, 12)
    coarse[..., 3, 5] = 1.0
    assert not refinement(fine, coarse).any(), "zero initially"
    torch.nn.init.ones_(refinement.coarse.weight)
    offsets = refinement(fine, coarse)[0, 0]
    rows, columns = (offsets == offsets.max()).nonzero().unbind(dim=1)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (6, 7, 10, 11)


def test_new_fusion_ignores_fine_features_but_receives_gradients() -> None:
    network = fine_network()
    maps, early_maps = network.backbone(torch.randn(1, 3, 64, 96))
    fine = network.fine_features(early_maps)
    for level, without in zip(levels_of(network, maps, fine), levels_of(network, maps, 0 * fine), strict=True):
        torch.testing.assert_close(level, without)
    sum(level.square().sum() for level in levels_of(network, maps, fine)).backward()
    assert network.fine_fusion.lateral.weight.grad.abs().sum() > 0
    assert all(layers[-1].weight.grad.abs().sum() > 0 for layers in network.fine_fusion.bottom_up.values())


def test_fine_features_reach_the_coarsest_level() -> None:
    network = randomise_weights(fine_network())
    maps, early_maps = network.backbone(torch.randn(1, 3, 64, 96))
    fine = network.fine_features(early_maps)
    coarsest = [levels_of(network, maps, given)[-1] for given in (fine, fine + 1)]
    assert not torch.allclose(*coarsest)


@pytest.mark.parametrize("backbone", ["resnet50_v1", "mobilenetv2"])
def test_every_backbone_supports_fine_features(backbone) -> None:
    with torch.inference_mode():
        prediction = fine_network(backbone=backbone)(torch.zeros(1, 3, 64, 96, dtype=torch.uint8))
    assert prediction.keypoints.shape == (1, 24 + 6 + 2, 17, 2)


def test_separable_convolution_has_one_3x3_kernel_per_channel() -> None:
    kernels = [layer.weight.shape for layer in separable_conv(4, 6) if isinstance(layer, torch.nn.Conv2d)]
    assert kernels == [(4, 1, 3, 3), (6, 4, 1, 1)]


def test_number_of_large_kernel_blocks_is_that_of_the_configuration() -> None:
    network = fine_network(num_large_kernel_blocks=(4, 2))
    assert len(network.fine_fusion.large_kernel_blocks) == 4
    assert len(network.coarse_refinement.large_kernel_blocks) == 2


def test_pretrained_modules_are_backbone_and_fine_features() -> None:
    network = fine_network()
    assert network.pretrained_modules() == [network.backbone, network.fine_features]
