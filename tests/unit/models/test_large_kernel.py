"""The block that looks far around."""

import torch

from e2pose.models.large_kernel import LargeKernelBlock


def test_a_new_block_changes_nothing_but_learns() -> None:
    block, level = LargeKernelBlock(4), torch.randn(2, 4, 9, 12)
    answer = block(level)
    torch.testing.assert_close(answer, level)
    answer.square().sum().backward()
    last = block.layers[-1]
    assert last.weight.grad.abs().sum() > 0


def test_it_sees_three_cells_to_every_side() -> None:
    torch.manual_seed(0)
    block = LargeKernelBlock(4).eval()
    torch.nn.init.ones_(block.layers[-1].weight)
    dark = torch.zeros(1, 4, 15, 15)
    lit = dark.clone()
    lit[..., 7, 6] = 1.0
    changed = (block(lit) - block(dark)).abs().sum(dim=(0, 1))
    rows, columns = changed.nonzero().unbind(dim=1)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 10, 3, 9)
