"""Offset denoising: the offset maps must lead noisy keypoints back to their labels.

Labelled keypoints are displaced by noise and moved once by each offset map. The loss is the remaining error, so the
maps learn at all places around a keypoint, not only where the head happens to put its initial keypoints. Source of the
idea: the denoising queries of Li et al., "DN-DETR", CVPR 2022, section 3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from e2pose.data.targets import Target
from e2pose.models.head import Prediction
from e2pose.models.refinement import apply_offsets
from e2pose.training.layout import Layout

_NUM_SAMPLES = 4  # noisy positions per keypoint and offset map
_NOISE_SCALES = (0.5, 0.15)  # largest standard deviation for the coarse and the fine map, in square roots of the area


def offset_denoising_loss(prediction: Prediction, target: Target, layout: Layout) -> Tensor:
    """Returns the sum over persons of the mean of log(1 + squared error / OKS tolerance)."""
    width, height = (int(side) for side in layout.input_size_wh)
    labelled, tolerances = target.labelled.float(), layout.tolerances(target.areas)
    noise = sample_noise(target)
    total = prediction.person_logits.new_zeros(())
    for offset_map, scale in zip(prediction.offset_maps, _NOISE_SCALES, strict=False):
        stride = height // offset_map.shape[2]
        for displacement in scale * noise:
            noisy = (target.keypoints + displacement) / layout.input_size_wh
            (moved,) = apply_offsets(offset_map, noisy, stride, (height, width), steps=1)
            squared = (moved * layout.input_size_wh - target.keypoints).square().sum(dim=-1)
            errors = (squared / tolerances).log1p() * labelled
            total = total + (errors.sum(dim=-1) / labelled.sum(dim=-1).clamp(min=1)).sum()
    return total / (len(noise) * max(1, len(prediction.offset_maps)))


def sample_noise(target: Target) -> Tensor:
    """Draws displacements (samples, B, G, K, 2) in input pixels for a noise scale of 1, most of them short.

    The standard deviation of a person's displacements is its size times the square of a uniform random number. The
    generator is seeded with the labels, so a resumed training draws the same noise as an uninterrupted one.
    """
    generator = torch.Generator().manual_seed(int(target.areas.sum() * 1000))
    shape = (_NUM_SAMPLES, *target.areas.shape)
    deviations = torch.rand((*shape, 1, 1), generator=generator) ** 2
    noise = deviations * torch.randn((*shape, *target.keypoints.shape[2:]), generator=generator)
    return noise.to(target.areas.device) * target.areas.sqrt()[:, :, None, None]
