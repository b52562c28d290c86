"""Batch norm over the batch of all processes, so that several processes train as one would."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SyncBatchNormCPU(nn.BatchNorm2d):
    """Batch norm with the statistics of all processes, for the CPU; `torch.nn.SyncBatchNorm` supports GPUs only."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalises (B, C, H, W), whose shape must be the same in every process."""
        if not self.training:
            return super().forward(x)
        values = x.float()
        count = x.numel() // x.shape[1] * torch.distributed.get_world_size()
        mean = _all_sum(values.sum(dim=(0, 2, 3))) / count
        centered = values - mean[:, None, None]
        variance = _all_sum(centered.square().sum(dim=(0, 2, 3))) / count
        self._update_statistics(mean.detach(), variance.detach() * count / max(1, count - 1))
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centered * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    @torch.no_grad()
    def _update_statistics(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        momentum = self.momentum or 0.0
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)
        self.num_batches_tracked += 1


def synchronise_batch_norms(network: nn.Module, device: torch.device) -> None:
    """Converts the batch norms of a network in place, so that they use the batch of all processes."""
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return
    for layer in network.modules():
        if type(layer) is nn.BatchNorm2d:
            layer.__class__ = SyncBatchNormCPU  # keeps weights, statistics and mode


class _AllSum(torch.autograd.Function):
    """The sum over all processes. Every process receives it, so the gradient is a sum over all processes too."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        del ctx
        total = x.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:
        return _AllSum.forward(ctx, gradients[0])


def _all_sum(x: Tensor) -> Tensor:
    total: Tensor = _AllSum.apply(x)  # type: ignore[no-untyped-call]
    return total
