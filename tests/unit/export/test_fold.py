import numpy as np
import pytest
import torch
from torch import nn

from e2pose.export.fold import deployment_copy
from e2pose.models.weights import MAX_F32_KERNEL_SIZE
from helpers.networks import noise, small_network, two_layer_network

PIXELS = torch.from_numpy(np.ascontiguousarray(noise(2).transpose(0, 3, 1, 2)))


@pytest.mark.parametrize("build", [two_layer_network, small_network])
def test_folded_network_says_the_same(build) -> None:
    network = build().train()
    folded = deployment_copy(network, "f32")
    assert network.training
    with torch.no_grad():
        ours, theirs = folded(PIXELS), network.eval()(PIXELS)
    assert (ours.keypoints - theirs.keypoints).abs().max() < 1e-4
    assert (ours.person_logits - theirs.person_logits).abs().max() < 1e-3


def test_only_batch_norms_without_a_convolution_before_them_stay() -> None:
    network = small_network()
    folded = deployment_copy(network, "f32")
    kept = {name for name, module in folded.named_modules() if isinstance(module, nn.BatchNorm2d)}
    levels = [str(stride) for stride in network.config.strides]
    up = {f"pyramid.up.{level}.0" for level in levels[1:]}
    head = {f"head.towers.{level}.0" for level in levels}
    bottom_up = {f"fine_fusion.bottom_up.{level}.0" for level in levels[1:]}
    assert kept == up | bottom_up | head | {
        "fine_fusion.fusion.0",
        "coarse_refinement.up.0",
        "coarse_refinement.norm.0",
    }


def test_half_precision_rounds_large_kernels_only() -> None:
    network = small_network()
    exact, rounded = deployment_copy(network, "f32"), deployment_copy(network, "f16")
    for (name, before), after in zip(exact.named_parameters(), rounded.parameters(), strict=True):
        is_large = before.ndim == 4 and before.numel() > MAX_F32_KERNEL_SIZE
        assert torch.equal(after, before.half().float() if is_large else before), name
        assert torch.equal(after, before) != is_large
