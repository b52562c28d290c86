"""An exponential moving average of the weights, which generalises better than the last weights."""

from __future__ import annotations

import copy

import torch

from e2pose.models.paper import E2Pose


class WeightAverage:
    """Exponential moving average of a network's parameters and buffers.

    Args:
        network: Copied as the initial average.
        decay: Share of the old average that each update keeps, after the warm-up.
    """

    def __init__(self, network: E2Pose, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: E2Pose, step: int) -> None:
        """Adds the weights of a step, counted from 0. The decay is lower during the first steps."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for average, value in zip(self.network.state_dict().values(), network.state_dict().values(), strict=True):
            if average.is_floating_point():
                average.lerp_(value, 1 - decay)
            else:
                average.copy_(value)
