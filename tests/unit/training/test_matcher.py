from itertools import permutations

import numpy as np
import pytest
import torch

from e2pose.core.oks import object_keypoint_similarity
from e2pose.data.targets import collate_labels
from e2pose.training.matcher import _prior, assign, batch_oks, find_auxiliary_positives, match
from e2pose.training.recipe import MatchConfig
from helpers.targets import labels_of, layout_of, prediction_at

CONFIG = MatchConfig()


def everybody(cost) -> torch.Tensor:
    return torch.ones(cost.shape[0], cost.shape[2], dtype=torch.bool)


@pytest.mark.parametrize("persons", [1, 2, 3, 4, 5])
def test_the_assignment_is_the_best_of_all(persons):
    cost = torch.rand(20, 7, persons, generator=torch.Generator().manual_seed(persons))
    pairs = assign(cost, everybody(cost))
    for image in range(20):
        found = sum(cost[image, m, g].item() for i, m, g in pairs.tolist() if i == image)
        choices = permutations(range(7), persons)
        best = min(sum(cost[image, m, g].item() for g, m in enumerate(choice)) for choice in choices)
        assert found == pytest.approx(best)


def test_no_candidate_gets_two_persons_even_if_all_want_the_same():
    cost = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0])[None, :, None].repeat(1, 1, 3)
    is_primary = assign(cost, everybody(cost))
    assert sorted(is_primary[:, 1].tolist()) == sorted(is_primary[:, 2].tolist()) == [0, 1, 2]
    everyone = [
        *is_primary[:, 1].tolist(),
        *find_auxiliary_positives(cost, everybody(cost), is_primary, 2)[:, 1].tolist(),
    ]
    assert len(set(everyone)) == len(everyone)


def companions_one_by_one(cost, people, is_primary, count):
    """What `find_auxiliary_positives` should find, for one image."""
    taken = [m for _, m, _ in is_primary]
    found = []
    for g in range(people):
        ranked = sorted(range(len(cost)), key=lambda m: cost[m, g])[: count + people]
        good = [m for m in ranked if m not in taken and cost[m, g] == min(cost[m, :people]) and cost[m, g] < 500]
        found += [(m, g) for m in good[:count]]
    return found


@pytest.mark.parametrize("count", [0, 1, 4])
def test_companions_are_those_that_a_person_would_choose_one_by_one(count):
    rng = np.random.default_rng(5)
    cost = rng.normal(size=(30, 20, 4)).astype(np.float32) + 1000 * (rng.random((30, 20, 4)) < 0.5)
    people = rng.integers(0, 5, 30)
    present = torch.from_numpy(np.arange(4) < people[:, None])
    is_primary = assign(torch.from_numpy(cost), present)
    assert len(is_primary) == people.sum()
    pairs = find_auxiliary_positives(torch.from_numpy(cost), present, is_primary, count).tolist()
    for image in range(30):
        mine = [pair for pair in is_primary.tolist() if pair[0] == image]
        expected = companions_one_by_one(cost[image], people[image], mine, count)
        assert sorted((m, g) for i, m, g in pairs if i == image) == sorted(expected)


def test_similarity_equals_the_reference_on_every_image_of_a_batch():
    rng = np.random.default_rng(0)
    layout = layout_of((64, 64), (32,))
    labels = [labels_of(rng, persons, (64, 64)) for persons in (3, 0, 1)]
    keypoints = torch.from_numpy(rng.uniform(0, 64, (3, 4, 17, 2)).astype(np.float32))
    found = batch_oks(keypoints, collate_labels(labels), layout)
    for index, label in enumerate(labels):
        expected = object_keypoint_similarity(
            keypoints[index].numpy(), label.keypoints, label.labelled, label.areas, layout.sigmas.numpy()
        )
        np.testing.assert_allclose(found[index, :, : len(label.areas)].numpy(), expected, atol=1e-6)


def test_a_perfect_candidate_is_preferred_to_a_nearer_cell():
    rng = np.random.default_rng(1)
    layout = layout_of((128, 128), (16, 32))
    label = labels_of(rng, 1, (128, 128))
    target = collate_labels([label])
    cost = _prior(target, layout, CONFIG)[0, :, 0]
    nearest = int(cost.argmin())
    other = int(torch.where(cost == cost[cost > cost.min()].min())[0][0])
    prediction = prediction_at(layout, {other: label.keypoints[0]}, score=0.9)
    pairs = match(prediction, target, layout, CONFIG)
    assert pairs.primary().candidates.tolist() == [other]
    assert nearest in pairs.candidates.tolist()


def test_an_ignorant_network_is_matched_by_place_and_size():
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


def test_companions_are_other_candidates_of_the_same_person_and_never_claim():
    layout = layout_of((128, 128), (16, 32))
    target = collate_labels([labels_of(np.random.default_rng(3), 2, (128, 128), size=40)])
    pairs = match(prediction_at(layout, {}), target, layout, CONFIG)
    assert pairs.is_primary.sum() == 2
    assert len(pairs.candidates) > 2
    assert len(set(pairs.candidates.tolist())) == len(pairs.candidates)
    none = match(prediction_at(layout, {}), target, layout, MatchConfig(auxiliary_positives=0))
    assert none.is_primary.tolist() == [True, True]


def test_nobody_matches_nothing():
    layout = layout_of((64, 64), (32,))
    target = collate_labels([labels_of(np.random.default_rng(4), 0, (64, 64))])
    pairs = match(prediction_at(layout, {}), target, layout, CONFIG)
    assert len(pairs.candidates) == 0
