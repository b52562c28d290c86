"""The optimiser, its learning rate schedule and the average of the weights."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn

from e2pose.models.paper import E2Pose
from e2pose.training.recipe import OptimConfig


def build_optimizer(network: E2Pose, config: OptimConfig) -> torch.optim.AdamW:
    """Builds AdamW with a lower learning rate for pretrained parts, and no weight decay for biases and norms.

    The key `peak` of each parameter group is its highest learning rate; see `set_rate`.
    """
    pretrained = {id(parameter) for part in network.pretrained_modules() for parameter in part.parameters()}
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in network.parameters():
        if parameter.requires_grad:
            groups.setdefault((id(parameter) in pretrained, parameter.ndim > 1), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "peak": config.learning_rate * (config.backbone_factor if is_pretrained else 1.0),
                "weight_decay": config.weight_decay if is_matrix else 0.0,
            }
            for (is_pretrained, is_matrix), parameters in groups.items()
        ],
        lr=config.learning_rate,
    )


def rate_factor(step: int, config: OptimConfig) -> float:
    """Returns the learning rate of a step, counted from 0, relative to its peak: linear warm-up, then half a cosine."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.final_factor + (1 - config.final_factor) * 0.5 * (1 + math.cos(math.pi * progress))


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Sets the learning rate of every group to its peak times the factor."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor


class WeightAverage:
    """Exponential moving average of a network's parameters and buffers; generalises better than the last weights.

    Each update keeps the share `decay` of the old average, and less during the first steps.
    """

    def __init__(self, network: E2Pose, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: E2Pose, step: int) -> None:
        """Adds the weights of a step, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for average, value in zip(self.network.state_dict().values(), network.state_dict().values(), strict=True):
            if average.is_floating_point():
                average.lerp_(value, 1 - decay)
            else:
                average.copy_(value)
