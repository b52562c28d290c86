"""A network prepared for export: batch norms folded into convolutions, large kernels optionally rounded."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Literal, cast

import torch
from torch import nn

from e2pose.models.head import PoseHead
from e2pose.models.paper import E2Pose
from e2pose.models.weights import MAX_F32_KERNEL_SIZE

Precision = Literal["f32", "f16"]
"""Storage type of large convolution kernels. All computation is in float32."""


def deployment_copy(network: E2Pose, precision: Precision) -> E2Pose:
    """Returns a copy in evaluation mode whose batch norms are folded into the convolutions before them.

    Batch norms after other layers remain.

    Args:
        network: The network; not changed.
        precision: With "f16", large kernels are rounded to half precision, as they will be in the file.
    """
    network = copy.deepcopy(network).cpu().float().eval().requires_grad_(False)
    network.head = _UnsharedHead(network.head)
    for module in list(network.modules()):
        for (name, layer), (next_name, next_layer) in pairwise(module.named_children()):
            if isinstance(layer, nn.Conv2d) and isinstance(next_layer, nn.BatchNorm2d):
                setattr(module, name, nn.utils.fuse_conv_bn_eval(layer, next_layer))
                setattr(module, next_name, nn.Identity())
    if precision == "f16":
        for module in network.modules():
            if isinstance(module, nn.Conv2d) and module.weight.numel() > MAX_F32_KERNEL_SIZE:
                module.weight.copy_(module.weight.to(torch.float16))
    return network


class _UnsharedHead(PoseHead):
    """A head with its own convolutions for each level, so that each can absorb the batch norms of the level."""

    def __init__(self, head: PoseHead) -> None:
        nn.Module.__init__(self)
        self.num_keypoints = head.num_keypoints
        self.strides = head.strides
        self.output = head.output
        self.one_to_many = None
        self.towers = nn.ModuleDict({str(stride): copy.deepcopy(head.tower(stride)) for stride in head.strides})

    def tower(self, stride: int) -> nn.Sequential:
        return cast(nn.Sequential, self.towers[str(stride)])
