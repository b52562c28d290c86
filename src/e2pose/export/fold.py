"""A network made ready to leave torch: the same answers from fewer and smaller numbers."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Literal

import torch
from torch import nn

from e2pose.models.e2pose import E2Pose

Precision = Literal["f32", "f16"]
"""How the kernels of convolutions are stored. Everything is computed in float32."""


def deployment_copy(network: E2Pose, precision: Precision) -> E2Pose:
    """A copy in evaluation mode whose batch norms are folded into the convolutions before them.

    Batch norms that follow anything else stay.

    Args:
        network: The network; not changed.
        precision: With "f16", kernels are rounded to the numbers that the file will hold.
    """
    network = copy.deepcopy(network).cpu().float().eval().requires_grad_(False)
    for module in list(network.modules()):
        for (name, layer), (next_name, next_layer) in pairwise(module.named_children()):
            if isinstance(layer, nn.Conv2d) and isinstance(next_layer, nn.BatchNorm2d):
                setattr(module, name, nn.utils.fuse_conv_bn_eval(layer, next_layer))
                setattr(module, next_name, nn.Identity())
    if precision == "f16":
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.copy_(module.weight.to(torch.float16))
    return network
