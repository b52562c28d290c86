"""Costs equal a reference in plain Python; assignments equal brute force."""

import math
from itertools import permutations

import numpy as np
import pytest
import torch

from e2pose.core.oks import object_keypoint_similarity
from e2pose.data.targets import collate_labels
from e2pose.training.matcher import (
    assign_one_to_one,
    batch_oks,
    find_auxiliary_matches,
    match,
    match_cost,
    prior_cost,
)
from e2pose.training.recipe import MatchConfig
from helpers.targets import labels_of, layout_of, prediction_at

CONFIG = MatchConfig()


def all_present(cost) -> torch.Tensor:
    return torch.ones(cost.shape[0], cost.shape[2], dtype=torch.bool)


def test_layout_lists_cell_centers_and_strides_level_by_level():
    layout = layout_of((64, 96), (32, 64))
    assert layout.input_size_wh.tolist() == [96, 64]
    assert layout.cell_strides.tolist() == [32] * 6 + [64] * 2
    assert layout.cell_centers.tolist() == [
        *([x, y] for y in (16, 48) for x in (16, 48, 80)),
        *([x, 32] for x in (32, 96)),
    ]


@pytest.mark.parametrize("config", [MatchConfig(score_power=0.3, radius=1.7, cells=2.3, prior=0.07), CONFIG])
def test_cost_equals_the_reference(config):
    rng = np.random.default_rng(0)
    layout = layout_of((64, 64), (16, 32))
    labels = [labels_of(rng, 2, (64, 64), size=30), labels_of(rng, 1, (64, 64), size=50)]
    prediction = prediction_at(layout, {index: labels[0].keypoints[0] + index for index in range(4)}, images=2)
    prediction.person_logits[:] = torch.from_numpy(rng.normal(size=prediction.person_logits.shape))
    target = collate_labels(labels)
    cost, oks = match_cost(prediction, target, layout, config), batch_oks(64 * prediction.keypoints, target, layout)
    assert (oks[0, :4, 0] > 0.2).all()
    far = 0
    for image, label in enumerate(labels):
        for person, area in enumerate(label.areas.tolist()):
            low, high = label.keypoints[person].min(axis=0), label.keypoints[person].max(axis=0)
            for candidate, (center, stride) in enumerate(
                zip(layout.cell_centers.tolist(), layout.cell_strides.tolist(), strict=True)
            ):
                distance = math.dist(center, (low + high) / 2) / stride
                level = math.log2(stride * config.cells / math.sqrt(area))
                score = 1 / (1 + math.exp(-float(prediction.person_logits[image, candidate])))
                quality = score**config.score_power * float(oks[image, candidate, person]) ** (1 - config.score_power)
                expected = config.prior * (distance**2 + level**2) - quality
                if distance > config.radius:
                    far += 1
                    assert cost[image, candidate, person] > 500
                else:
                    assert float(cost[image, candidate, person]) == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert 0 < far < cost.numel() / 2


@pytest.mark.parametrize("persons", [1, 2, 3, 4, 5])
def test_assignment_equals_brute_force(persons):
    cost = torch.rand(20, 7, persons, generator=torch.Generator().manual_seed(persons))
    pairs = assign_one_to_one(cost, all_present(cost))
    for image in range(20):
        found = sum(cost[image, m, g].item() for i, m, g in pairs.tolist() if i == image)
        choices = permutations(range(7), persons)
        best = min(sum(cost[image, m, g].item() for g, m in enumerate(choice)) for choice in choices)
        assert found == pytest.approx(best)


def test_candidates_are_never_assigned_twice():
    cost = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0])[None, :, None].repeat(1, 1, 3)
    primary = assign_one_to_one(cost, all_present(cost))
    assert sorted(primary[:, 1].tolist()) == sorted(primary[:, 2].tolist()) == [0, 1, 2]
    auxiliary = find_auxiliary_matches(cost, all_present(cost), primary, 2)
    candidates = [*primary[:, 1].tolist(), *auxiliary[:, 1].tolist()]
    assert len(set(candidates)) == len(candidates)


def reference_auxiliary_matches(cost, num_persons, primary, count):
    """What `find_auxiliary_matches` should find, for one image."""
    taken = [m for _, m, _ in primary]
    found = []
    for g in range(num_persons):
        ranked = sorted(range(len(cost)), key=lambda m: cost[m, g])[: count + num_persons]
        good = [m for m in ranked if m not in taken and cost[m, g] == min(cost[m, :num_persons]) and cost[m, g] < 500]
        found += [(m, g) for m in good[:count]]
    return found


@pytest.mark.parametrize("count", [0, 1, 4])
def test_auxiliary_matches_equal_the_reference(count):
    rng = np.random.default_rng(5)
    cost = rng.normal(size=(30, 20, 4)).astype(np.float32) + 1000 * (rng.random((30, 20, 4)) < 0.5)
    num_persons = rng.integers(0, 5, 30)
    present = torch.from_numpy(np.arange(4) < num_persons[:, None])
    primary = assign_one_to_one(torch.from_numpy(cost), present)
    assert len(primary) == num_persons.sum()
    pairs = find_auxiliary_matches(torch.from_numpy(cost), present, primary, count).tolist()
    for image in range(30):
        mine = [pair for pair in primary.tolist() if pair[0] == image]
        expected = reference_auxiliary_matches(cost[image], num_persons[image], mine, count)
        assert sorted((m, g) for i, m, g in pairs if i == image) == sorted(expected)


def test_batch_oks_equals_the_numpy_reference_on_every_image():
    rng = np.random.default_rng(0)
    layout = layout_of((64, 64), (32,))
    labels = [labels_of(rng, persons, (64, 64)) for persons in (3, 0, 1)]
    labels[0].labelled[1, 3:9] = False
    keypoints = torch.from_numpy(rng.uniform(0, 64, (3, 4, 17, 2)).astype(np.float32))
    found = batch_oks(keypoints, collate_labels(labels), layout)
    for index, label in enumerate(labels):
        expected = object_keypoint_similarity(
            keypoints[index].numpy(), label.keypoints, label.labelled, label.areas, layout.sigmas.numpy()
        )
        np.testing.assert_allclose(found[index, :, : len(label.areas)].numpy(), expected, atol=1e-6)


def test_perfect_candidate_is_preferred_to_a_nearer_cell():
    rng = np.random.default_rng(1)
    layout = layout_of((128, 128), (16, 32))
    label = labels_of(rng, 1, (128, 128))
    target = collate_labels([label])
    cost = prior_cost(target, layout, CONFIG)[0, :, 0]
    nearest = int(cost.argmin())
    other = int(torch.where(cost == cost[cost > cost.min()].min())[0][0])
    prediction = prediction_at(layout, {other: label.keypoints[0]}, score=0.9)
    pairs = match(prediction, target, layout, CONFIG)
    assert pairs.primary().candidates.tolist() == [other]
    assert nearest in pairs.candidates.tolist()


def test_untrained_network_is_matched_by_place_and_size():
    layout = layout_of((256, 256), (16, 32, 64))
    rng = np.random.default_rng(2)
    small = labels_of(rng, 1, (256, 256), size=20, center=(72, 72))
    large = labels_of(rng, 1, (256, 256), size=220, center=(128, 128))
    prediction = prediction_at(layout, {}, images=2)
    pairs = match(prediction, collate_labels([small, large]), layout, CONFIG).primary()
    strides = layout.cell_strides[pairs.candidates].tolist()
    assert strides[0] == 16
    assert strides[1] == 64
    distance = (layout.cell_centers[pairs.candidates[0]] - torch.tensor([72.0, 72.0])).abs().max()
    assert distance <= 8


def test_auxiliary_matches_are_further_candidates_of_the_same_person():
    layout = layout_of((128, 128), (16, 32))
    target = collate_labels([labels_of(np.random.default_rng(3), 2, (128, 128), size=40)])
    pairs = match(prediction_at(layout, {}), target, layout, CONFIG)
    assert pairs.is_primary.tolist() == [True, True] + [False] * (len(pairs.candidates) - 2)
    assert sorted(pairs.primary().persons.tolist()) == [0, 1]
    assert len(pairs.candidates) > 2
    assert len(set(pairs.candidates.tolist())) == len(pairs.candidates)
    none = match(prediction_at(layout, {}), target, layout, MatchConfig(auxiliary_positives=0))
    assert none.is_primary.tolist() == [True, True]


def test_image_without_persons_has_no_matches():
    layout = layout_of((64, 64), (32,))
    target = collate_labels([labels_of(np.random.default_rng(4), 0, (64, 64))])
    pairs = match(prediction_at(layout, {}), target, layout, CONFIG)
    assert len(pairs.candidates) == 0
