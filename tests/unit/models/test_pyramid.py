import torch

from e2pose.models.pyramid import FeaturePyramid, crop_like, upsampling


def test_every_level_receives_all_coarser_maps():
    torch.manual_seed(0)
    pyramid = FeaturePyramid({16: 4, 32: 6}, (16, 32, 64), 8).eval()
    maps = {16: torch.randn(1, 4, 6, 10), 32: torch.randn(1, 6, 3, 5)}
    levels = pyramid(maps)
    assert [tuple(level.shape) for level in levels] == [(1, 8, 6, 10), (1, 8, 3, 5), (1, 8, 2, 3)]
    changed = pyramid(maps | {32: maps[32] + 1})
    assert all(not torch.equal(new, old) for new, old in zip(changed, levels, strict=True))
    changed = pyramid(maps | {16: maps[16] + 1})
    assert [torch.equal(new, old) for new, old in zip(changed, levels, strict=True)] == [False, True, True]


def test_coarsest_level_reaches_the_finest_one_through_those_in_between():
    torch.manual_seed(0)
    pyramid = FeaturePyramid({16: 4, 32: 6}, (16, 32, 64), 8).eval()
    levels = [torch.randn(1, 8, 8, 8), torch.randn(1, 8, 4, 4), torch.randn(1, 8, 2, 2)]
    assert not torch.equal(pyramid.top_down([*levels[:2], levels[2] + 1])[0], pyramid.top_down(levels)[0])


def test_surplus_cells_are_cropped_at_the_right_and_bottom():
    level = torch.arange(12).view(1, 1, 3, 4)
    assert crop_like(level, torch.zeros(1, 1, 2, 3)).tolist() == [[[[0, 1, 2], [4, 5, 6]]]]


def test_upsampling_rectifies_its_input_but_not_its_output():
    layers = upsampling(1, 1).eval()
    torch.nn.init.ones_(layers[2].weight)
    torch.nn.init.constant_(layers[2].bias, -0.5)
    expected = torch.tensor([[-0.5, -0.5, 1.5, 1.5]] * 2).view(1, 1, 2, 4)
    torch.testing.assert_close(layers(torch.tensor([[[[-1.0, 2.0]]]])), expected, rtol=1e-4, atol=0)


def test_gradient_of_a_level_one_cell_wide_is_complete_in_bf16():
    """torch 2.13 on a CPU left parts of it unwritten, so freed memory is filled with large numbers first."""
    pyramid = FeaturePyramid({32: 8}, (32, 64, 128), 128)
    maps = {32: torch.randn(16, 8, 2, 2)}
    for _ in range(50):
        freed = torch.full((200_000,), 1e30)
        del freed
        pyramid.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            levels = pyramid(maps)
        sum(level.float().square().mean() for level in levels).backward()
        assert all(weights.grad.abs().max() < 1e6 for weights in pyramid.parameters())
