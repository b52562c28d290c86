"""A network made ready to leave torch: the same answers from fewer and smaller numbers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, cast

import torch
from torch import nn

from e2pose.models.artifact import HALVED_ABOVE
from e2pose.models.e2pose import E2Pose
from e2pose.models.head import PoseHead

Precision = Literal["f32", "f16"]
"""How large kernels of convolutions are stored. Everything is computed in float32."""


def deployment_copy(network: E2Pose, precision: Precision) -> E2Pose:
    """A copy in evaluation mode whose batch norms are folded into the convolutions before them.

    Batch norms that follow anything else stay.

    Args:
        network: The network; not changed.
        precision: With "f16", large kernels are rounded to the numbers that the file will hold.
    """
    network = copy.deepcopy(network).cpu().float().eval().requires_grad_(False)
    network.head = _UnsharedHead(network.head, network.config.strides)
    for module in list(network.modules()):
        for (name, layer), (next_name, next_layer) in pairwise(module.named_children()):
            if isinstance(layer, nn.Conv2d) and isinstance(next_layer, nn.BatchNorm2d):
                setattr(module, name, nn.utils.fuse_conv_bn_eval(layer, next_layer))
                setattr(module, next_name, nn.Identity())
    if precision == "f16":
        for module in network.modules():
            if isinstance(module, nn.Conv2d) and module.weight.numel() > HALVED_ABOVE:
                module.weight.copy_(module.weight.to(torch.float16))
    return network


class _UnsharedHead(PoseHead):
    """The same head with convolutions for each level of their own, so that each can take in its batch norm."""

    def __init__(self, head: PoseHead, strides: Sequence[int]) -> None:
        nn.Module.__init__(self)
        self.keypoints = head.keypoints
        self.output = head.output
        self.one_to_many = None
        self.seeds = nn.ModuleDict({str(stride): copy.deepcopy(head.seed(stride)) for stride in strides})

    def seed(self, stride: int) -> nn.Sequential:
        return cast(nn.Sequential, self.seeds[str(stride)])
