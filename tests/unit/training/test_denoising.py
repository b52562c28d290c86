"""Offset denoising against a reference, on offset maps whose target is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from e2pose.data.targets import collate_labels
from e2pose.models.head import cell_centers
from e2pose.training.denoising import offset_denoising_loss, sample_noise
from e2pose.training.losses import compute_losses
from e2pose.training.matcher import match
from e2pose.training.recipe import LossConfig, MatchConfig
from helpers.targets import labels_of, layout_of, prediction_at

SIZE = 128
LAYOUT = layout_of((SIZE, SIZE), (16, 32))


def batch_of(*num_persons):
    rng = np.random.default_rng(3)
    return collate_labels([labels_of(rng, count, (SIZE, SIZE), size=60) for count in num_persons])


def with_maps(target, *maps):
    return replace(prediction_at(LAYOUT, {}, images=len(target.areas)), offset_maps=maps)


def constant_map(target, stride, offset):
    """A map of that stride that moves every keypoint by `offset` input pixels in x and in y."""
    side = SIZE // stride
    return torch.full((len(target.areas), 34, side, side), offset / (2.0 * stride))


@pytest.mark.parametrize("offsets", [(0.0,), (3.0,), (-2.0, 5.0)])
def test_loss_equals_the_reference_for_constant_maps(offsets):
    target = batch_of(2, 0, 1)
    target.labelled[0, 1, 4:9] = False
    maps = [constant_map(target, stride, offset) for stride, offset in zip((8, 4), offsets, strict=False)]
    found = float(offset_denoising_loss(with_maps(target, *maps), target, LAYOUT))
    noise, sigmas = sample_noise(target).numpy(), LAYOUT.sigmas.numpy()
    expected = 0.0
    for image, person in ((0, 0), (0, 1), (2, 0)):
        tolerance = 2 * float(target.areas[image, person]) * (2 * sigmas) ** 2
        labelled = target.labelled[image, person].numpy()
        for scale, offset in zip((0.5, 0.15), offsets, strict=False):
            for sample in noise:
                squared = ((scale * sample[image, person] + offset) ** 2).sum(axis=1)
                expected += np.log(1 + squared / tolerance)[labelled].mean() / (4 * len(offsets))
    assert found == pytest.approx(expected, rel=1e-3)


def test_noise_scales_with_the_size_of_the_person_and_is_the_same_for_the_same_labels():
    target = batch_of(*[5] * 40)
    target.areas[:20] = 100.0
    target.areas[20:] = 900.0
    noise = sample_noise(target)
    assert noise.shape == (4, 40, 5, 17, 2)
    assert torch.equal(noise, sample_noise(target))
    assert not torch.equal(noise[0], noise[1])
    small, large = noise[:, :20], noise[:, 20:]
    expected = (1 / 5) ** 0.5  # of the fourth power of a uniform number, the mean is 1/5
    assert float(small.square().mean().sqrt()) == pytest.approx(10 * expected, rel=0.1)
    assert float(large.square().mean().sqrt()) == pytest.approx(30 * expected, rel=0.1)
    lengths = small.square().mean(dim=(3, 4)).sqrt() / 10
    assert float(lengths.median()) == pytest.approx(0.25, abs=0.05)  # (1/2)^2: most are short
    other = replace(target, areas=target.areas + 1)
    assert not torch.equal(noise / 10, sample_noise(other) / other.areas[0, 0].sqrt())


def test_loss_is_zero_only_where_the_map_leads_to_the_keypoints():
    target = batch_of(1)
    target.keypoints[:] = target.keypoints[:, :, :1]  # one place, so that one map can lead to all keypoints
    cells = cell_centers(16, 16, 8, torch.device("cpu"))
    way = ((target.keypoints[0, 0, 0] - cells) / 16).T.reshape(1, 2, 16, 16)
    leading = way.repeat(1, 17, 1, 1)
    costs = []
    for factor in (1.0, 0.5, 0.0):
        learned = (factor * leading).requires_grad_()
        loss = offset_denoising_loss(with_maps(target, learned), target, LAYOUT)
        loss.backward()
        costs.append(float(loss.detach()))
    assert costs[0] < 0.02
    assert costs[0] < costs[1] < costs[2]
    assert learned.grad.abs().sum() > 0


def test_term_is_weighted_and_averaged_over_persons():
    target = batch_of(2, 1)
    prediction = with_maps(target, constant_map(target, 8, 3.0))
    pairs = match(prediction, target, LAYOUT, MatchConfig())
    losses = compute_losses(prediction, target, pairs, LAYOUT, LossConfig(offset_denoising=0.37))
    expected = 0.37 * float(offset_denoising_loss(prediction, target, LAYOUT)) / 3
    assert float(losses.offset_denoising) == pytest.approx(expected)
    without = compute_losses(prediction, target, pairs, LAYOUT, LossConfig())
    assert float(losses.total - without.total) == pytest.approx(expected, rel=1e-4)


def test_unlabelled_keypoints_give_their_maps_no_gradient():
    target = batch_of(1)
    target.labelled[:, :, 5] = False
    offset_map = torch.ones(1, 34, 16, 16, requires_grad=True)
    offset_denoising_loss(with_maps(target, offset_map), target, LAYOUT).backward()
    pulled = offset_map.grad.abs().sum(dim=(0, 2, 3)).reshape(-1, 2).sum(dim=1) > 0
    assert not pulled[5]
    assert pulled[:5].all()
