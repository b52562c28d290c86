"""A second look at the picture at half its size."""

import pytest
import torch
from pydantic import ValidationError

from e2pose.models.build import build_network
from e2pose.models.config import FineRefinementConfig, NetworkConfig, RefinementConfig
from e2pose.models.fine import FINE_CHANNELS
from e2pose.models.half_size import HalfSize
from helpers.networks import livened

CHANNELS = {4: 3, 8: 4, 16: 5, 32: 6}
PIXELS = torch.randint(0, 256, (2, 3, 96, 160), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def network_of(**values) -> torch.nn.Module:
    torch.manual_seed(0)
    config = NetworkConfig(
        strides=(16, 32, 64),
        width=8,
        refinement=RefinementConfig(steps=1, fine=FineRefinementConfig(steps=1, **values)),
    )
    return build_network(config, 17).eval()


def test_at_first_it_changes_nothing_but_learns() -> None:
    network, plain = network_of(half_resolution_branch=True), network_of()
    plain.load_state_dict({name: network.state_dict()[name] for name in plain.state_dict()})
    prediction, without = network(PIXELS), plain(PIXELS)
    torch.testing.assert_close(prediction.keypoints, without.keypoints)
    torch.testing.assert_close(prediction.person_logits, without.person_logits)
    (prediction.person_logits.square().sum() + prediction.corrections[0].square().sum()).backward()
    layers = [*network.half_size.levels.values(), network.half_size.fine, network.half_size.refiner]
    assert len(layers) == 5, "levels of stride 16, 32 and 64, fine features, refiner"
    assert all(layer.weight.grad.abs().sum() > 0 for layer in layers)


def test_a_place_of_the_smaller_picture_enters_the_place_that_shows_the_same() -> None:
    torch.manual_seed(0)
    half = HalfSize(CHANNELS, (16, 32, 64), 8, seen_channels=7, refiner_channels=9)
    for layer in half.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.normal_(layer.weight)
    maps = {s: torch.zeros(1, c, 64 // s, 128 // s) for s, c in CHANNELS.items()}  # of a canvas of 128 x 256
    fine = torch.zeros(1, FINE_CHANNELS, 16, 32)
    maps[8][..., 3, 5] = 1.0
    fine[..., 15, 30] = 1.0
    added, _ = half(maps, fine, torch.zeros(1, 7, 16, 32))
    assert {stride: tuple(level.shape) for stride, level in added.items()} == {
        16: (1, 8, 8, 16),
        32: (1, 8, 4, 8),
        64: (1, 8, 2, 4),
    }
    assert added[16].abs().sum(dim=(0, 1)).nonzero().tolist() == [[3, 5], [7, 15]]
    assert not added[32].any()


def test_sides_that_halve_to_no_multiple_of_32_are_seen_whole() -> None:
    network = livened(network_of(half_resolution_branch=True)).eval()
    for layer in network.half_size.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.normal_(layer.weight)
    with torch.inference_mode():
        prediction = network(PIXELS)  # 96 x 160 becomes 48 x 80
        assert prediction.keypoints.shape == (2, 60 + 15 + 6, 17, 2)
        changed = PIXELS.clone()
        changed[:, :, -2:, -2:] = 255 - changed[:, :, -2:, -2:]
        assert not torch.equal(network(changed).person_logits, prediction.person_logits)


def test_blocks_of_large_kernels_are_counted() -> None:
    network = network_of(num_large_kernel_blocks=(4, 2))
    assert (len(network.pyramid.context), len(network.refiner.context)) == (4, 2)
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        FineRefinementConfig(num_large_kernel_blocks=(3, -1))
