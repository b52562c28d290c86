"""Batch norm over the batch of all processes together, so that several processes learn what one would."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ProcessBatchNorm(nn.BatchNorm2d):
    """Batch norm whose statistics are those of all processes; torch has such a layer for GPUs only."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalises (B, C, H, W); every process must have equally many numbers."""
        if not self.training:
            return super().forward(x)
        values = x.float()
        places = x.numel() // x.shape[1] * torch.distributed.get_world_size()
        mean = _sum(values.sum(dim=(0, 2, 3))) / places
        centered = values - mean[:, None, None]
        variance = _sum(centered.square().sum(dim=(0, 2, 3))) / places
        self._remember(mean.detach(), variance.detach() * places / max(1, places - 1))
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centered * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        momentum = self.momentum or 0.0
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)
        self.num_batches_tracked += 1


def share_batch_norms(network: nn.Module, device: torch.device) -> None:
    """Lets the batch norms of a network see the batch of all processes, changing the network."""
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return
    for layer in network.modules():
        if type(layer) is nn.BatchNorm2d:
            layer.__class__ = ProcessBatchNorm  # the same weights, statistics and mode


class _AllSum(torch.autograd.Function):
    """The sum over all processes. Each of them gets it, so the gradient is a sum over all processes too."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        del ctx
        total = x.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:
        return _AllSum.forward(ctx, gradients[0])


def _sum(x: Tensor) -> Tensor:
    total: Tensor = _AllSum.apply(x)  # type: ignore[no-untyped-call]
    return total
