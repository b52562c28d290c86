"""Fine features: where they look, and what they are for."""

import pytest
import torch

from e2pose.core.errors import ModelError
from e2pose.models.build import build_network
from e2pose.models.config import FineRefinementConfig, NetworkConfig, RefinementConfig
from e2pose.models.fine import FINE_CHANNELS, FINE_STRIDE, FineFeatures
from e2pose.models.refine import FineRefiner, follow
from helpers.networks import livened

CHANNELS = {4: 3, 8: 4, 16: 5, 32: 6}


def maps_of(height: int, width: int) -> dict[int, torch.Tensor]:
    return {s: torch.randn(2, c, height // s, width // s) for s, c in CHANNELS.items()}


def network_of(**values) -> torch.nn.Module:
    torch.manual_seed(0)
    config = NetworkConfig(
        strides=(16, 32, 64),
        width=8,
        refinement=RefinementConfig(steps=1, fine=FineRefinementConfig(steps=2, **values)),
    )
    return livened(build_network(config, 17)).eval()


def test_fine_features_have_stride_4_and_see_every_map() -> None:
    torch.manual_seed(0)
    features = FineFeatures(CHANNELS).eval()
    maps = maps_of(96, 160)
    fine = features(maps)
    assert fine.shape == (2, FINE_CHANNELS, 24, 40)
    for stride in CHANNELS:
        changed = maps | {stride: maps[stride] + 1}
        assert not torch.equal(features(changed), fine), stride


def test_a_coarse_cell_is_seen_up_and_left_of_where_doubling_would_put_it() -> None:
    """A stride-2 convolution padded on both sides looks at the upper left of its cell, so finer maps look there too."""
    torch.manual_seed(0)
    features = FineFeatures(CHANNELS).eval()
    maps = maps_of(128, 128)
    lit = maps | {8: maps[8].clone()}
    lit[8][:, :, 8, 8] += 10  # plainly doubled it would light up fine rows 15 to 18, and their neighbours
    rows = (features(lit) - features(maps)).abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    assert rows.float().mean() == pytest.approx(15.5, abs=0.6)


def test_last_drafts_are_refined_finely() -> None:
    network = network_of()
    with torch.inference_mode():
        prediction = network(torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8))
    coarse, fine = prediction.corrections
    assert len(prediction.intermediate_keypoints) == 3
    torch.testing.assert_close(
        prediction.intermediate_keypoints[1], follow(coarse, prediction.intermediate_keypoints[0], 8, (64, 96), 1)[-1]
    )
    torch.testing.assert_close(
        prediction.keypoints, follow(fine, prediction.intermediate_keypoints[1], 4, (64, 96), 2)[-1]
    )
    assert not torch.equal(prediction.intermediate_keypoints[2], prediction.keypoints)


@pytest.mark.parametrize("size_hw", [(64, 96), (128, 64)])
def test_fine_features_enter_levels_in_bf16_as_they_do_in_f32(size_hw) -> None:
    """With 24 channels and patches of 4 x 4, torch 2.13's own convolution is wrong in bf16 where a CPU has AMX."""
    network = network_of()
    fine = torch.randn(2, FINE_CHANNELS, size_hw[0] // 4, size_hw[1] // 4)
    maps = {s: torch.zeros(2, c, size_hw[0] // s, size_hw[1] // s) for s, c in network.backbone.channels.items()}
    exact = network.pyramid(maps, fine)[0]
    with torch.autocast("cpu", torch.bfloat16):
        rounded = network.pyramid(maps, fine.bfloat16())[0]
    assert (rounded - exact).abs().mean() < 0.02 * exact.abs().mean()


def test_a_fine_step_reads_where_the_keypoint_is() -> None:
    refiner = FineRefiner(keypoints=1, steps=1).eval()
    torch.nn.init.zeros_(refiner.output.weight)
    refiner.output.bias.data = torch.tensor([0.25, -0.5])  # of two strides, that is of 8 pixels
    corrections = refiner(refiner.look(torch.randn(1, FINE_CHANNELS, 16, 24)), torch.randn(1, 96, 8, 12))
    (moved,) = follow(corrections, torch.full((1, 1, 1, 2), 0.5), FINE_STRIDE, (64, 96), refiner.steps)
    assert (moved[0, 0, 0] * torch.tensor([96.0, 64.0])).tolist() == pytest.approx([48 + 2, 32 - 4], abs=1e-4)


def test_what_the_first_refiner_sees_moves_the_four_places_on_stride_4_below_it_most() -> None:
    refiner = FineRefiner(keypoints=1, steps=1).eval()
    seen, coarse = torch.zeros(1, 192, 16, 24), torch.zeros(1, 96, 8, 12)
    coarse[..., 3, 5] = 1.0
    assert not refiner(seen, coarse).any(), "at first it does not listen"
    torch.nn.init.ones_(refiner.coarse.weight)
    told = refiner(seen, coarse)[0, 0]
    rows, columns = (told == told.max()).nonzero().unbind(dim=1)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (6, 7, 10, 11)


def test_levels_learn_from_fine_features_first_only_what_they_find_useful() -> None:
    torch.manual_seed(0)
    network = build_network(
        NetworkConfig(
            strides=(16, 32, 64), width=8, refinement=RefinementConfig(steps=1, fine=FineRefinementConfig(steps=1))
        ),
        17,
    ).eval()
    maps, entries = network.backbone(torch.randn(1, 3, 64, 96))
    fine = network.fine(entries)
    for with_fine, without in zip(network.pyramid(maps, fine), network.pyramid(maps, 0 * fine), strict=True):
        torch.testing.assert_close(with_fine, without)
    sum(level.square().sum() for level in network.pyramid(maps, fine)).backward()
    assert network.pyramid.fine.weight.grad.abs().sum() > 0
    assert all(layers[-1].weight.grad.abs().sum() > 0 for layers in network.pyramid.again.values())


def test_fine_features_reach_the_coarsest_level() -> None:
    network = network_of()
    maps, entries = network.backbone(torch.randn(1, 3, 64, 96))
    fine = network.fine(entries)
    coarsest = [network.pyramid(maps, given)[-1] for given in (fine, fine + 1)]
    assert not torch.allclose(*coarsest)


@pytest.mark.parametrize("backbone", ["resnet50_v1", "mobilenetv2"])
def test_every_backbone_can_have_them(backbone) -> None:
    with torch.inference_mode():
        config = NetworkConfig(
            backbone=backbone,
            strides=(16, 32),
            width=8,
            refinement=RefinementConfig(steps=1, fine=FineRefinementConfig(steps=1)),
        )
        prediction = build_network(config, 17).eval()(torch.zeros(1, 3, 64, 96, dtype=torch.uint8))
    assert prediction.keypoints.shape == (1, 30, 17, 2)


def test_fine_refinement_needs_fine_levels() -> None:
    fine = RefinementConfig(fine=FineRefinementConfig())
    with pytest.raises(ModelError, match="do not suit the refinement"):
        build_network(NetworkConfig(strides=(32, 64), refinement=fine), 17)
