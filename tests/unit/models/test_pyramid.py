import torch

from e2pose.models.pyramid import FeaturePyramid


def test_the_gradient_of_the_coarsest_level_is_no_leftover_of_the_memory():
    pyramid = FeaturePyramid({32: 8}, (32, 64, 128), 128)
    maps = {32: torch.randn(16, 8, 2, 2)}
    for _ in range(50):
        junk = torch.full((200_000,), 1e30)
        del junk
        pyramid.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            levels = pyramid(maps)
        sum(level.float().square().mean() for level in levels).backward()
        assert all(weights.grad.abs().max() < 1e6 for weights in pyramid.parameters())
