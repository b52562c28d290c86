import torch

from e2pose.models.large_kernel import LargeKernelBlock


def test_new_block_is_the_identity_and_receives_gradients() -> None:
    block, level = LargeKernelBlock(4), torch.randn(2, 4, 9, 12)
    result = block(level)
    torch.testing.assert_close(result, level)
    result.square().sum().backward()
    assert block.layers[-1].weight.grad.abs().sum() > 0


def test_block_is_not_linear() -> None:
    torch.manual_seed(0)
    block, level = LargeKernelBlock(4).eval(), torch.randn(1, 4, 9, 9)
    torch.nn.init.ones_(block.layers[-1].weight)
    assert not torch.allclose(block(-level), -block(level))


def test_receptive_field_is_three_cells_in_each_direction() -> None:
    torch.manual_seed(0)
    block = LargeKernelBlock(4).eval()
    torch.nn.init.ones_(block.layers[-1].weight)
    dark = torch.zeros(1, 4, 15, 15)
    lit = dark.clone()
    lit[..., 7, 6] = 1.0
    changed = (block(lit) - block(dark)).abs().sum(dim=(0, 1))
    rows, columns = changed.nonzero().unbind(dim=1)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 10, 3, 9)
