from itertools import pairwise

import torch
from torch import nn

from e2pose.models.head import PoseHead


def test_every_level_has_its_own_norms_around_the_shared_convolutions() -> None:
    head = PoseHead(4, 2, 2, (32, 64))
    for stride in (32, 64):
        first, second, third = head.norms[str(stride)]
        layers = [module for module in head.tower(stride) if not isinstance(module, nn.ReLU)]
        assert layers == [first, head.convs[0], second, head.convs[1], third]
    assert not set(head.norms["32"]) & set(head.norms["64"])


def test_activation_follows_every_norm() -> None:
    layers = list(PoseHead(4, 2, 2, (32,)).tower(32))
    followers = [after for layer, after in pairwise(layers) if isinstance(layer, nn.BatchNorm2d)]
    assert len(followers) == 3
    assert all(isinstance(follower, nn.ReLU) for follower in followers)
    assert isinstance(layers[-1], nn.ReLU)


def test_levels_follow_each_other_row_by_row() -> None:
    head = PoseHead(1, 1, 0, (32, 64)).eval()
    nn.init.zeros_(head.output.bias)
    nn.init.ones_(head.output.weight)
    fine, coarse = torch.arange(6.0).view(1, 1, 2, 3), torch.tensor([[[[9.0, 8.0]]]])
    prediction = head([fine, coarse], (64, 96))
    torch.testing.assert_close(prediction.person_logits, torch.tensor([[0.0, 1, 2, 3, 4, 5, 9, 8]]), rtol=1e-4, atol=0)
