"""A running average of the weights, which generalises better than the weights themselves."""

from __future__ import annotations

import copy

import torch

from e2pose.models.paper import E2Pose


class WeightAverage:
    """Exponential moving average of a network's parameters and buffers.

    Args:
        network: Copied at the start.
        decay: Share of the old average that is kept at each step, once the average has warmed up.
    """

    def __init__(self, network: E2Pose, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: E2Pose, step: int) -> None:
        """Takes in the weights after the given number of steps; early ones are forgotten sooner."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for average, value in zip(self.network.state_dict().values(), network.state_dict().values(), strict=True):
            if average.is_floating_point():
                average.lerp_(value, 1 - decay)
            else:
                average.copy_(value)
