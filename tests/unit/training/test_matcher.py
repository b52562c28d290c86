from itertools import permutations

import numpy as np
import pytest
import torch

from e2pose.core.oks import object_keypoint_similarity
from e2pose.training.config import MatchConfig
from e2pose.training.matcher import _match_image, _prior, batch_oks, match
from e2pose.training.target import collate_labels
from made_targets import labels_of, layout_of, prediction_at

CONFIG = MatchConfig()


@pytest.mark.parametrize("persons", [1, 2, 3, 4, 5])
def test_the_assignment_is_the_best_of_all(persons):
    rng = np.random.default_rng(persons)
    for _ in range(20):
        cost = rng.random((7, persons))
        pairs = _match_image(0, cost, companions=0)
        found = sum(cost[m, g] for _, m, g, _ in pairs)
        best = min(sum(cost[m, g] for g, m in enumerate(choice)) for choice in permutations(range(7), persons))
        assert found == pytest.approx(best)


def test_no_candidate_gets_two_persons_even_if_all_want_the_same():
    cost = np.tile(np.array([[0.0], [1.0], [2.0], [3.0]]), (1, 3))
    pairs = _match_image(0, cost, companions=2)
    claiming = [m for _, m, _, claims in pairs if claims]
    assert sorted(claiming) == [0, 1, 2]
    assert sorted(g for _, _, g, claims in pairs if claims) == [0, 1, 2]
    everyone = [m for _, m, _, _ in pairs]
    assert len(set(everyone)) == len(everyone)


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
    assert pairs.claiming().candidates.tolist() == [other]
    assert nearest in pairs.candidates.tolist()


def test_an_ignorant_network_is_matched_by_place_and_size():
    layout = layout_of((256, 256), (16, 32, 64))
    rng = np.random.default_rng(2)
    small = labels_of(rng, 1, (256, 256), size=20, center=(72, 72))
    large = labels_of(rng, 1, (256, 256), size=220, center=(128, 128))
    prediction = prediction_at(layout, {}, images=2)
    pairs = match(prediction, collate_labels([small, large]), layout, CONFIG).claiming()
    strides = layout.cell_strides[pairs.candidates].tolist()
    assert strides[0] == 16
    assert strides[1] == 64
    distance = (layout.cell_centers[pairs.candidates[0]] - torch.tensor([72.0, 72.0])).abs().max()
    assert distance <= 8


def test_companions_are_other_candidates_of_the_same_person_and_never_claim():
    layout = layout_of((128, 128), (16, 32))
    target = collate_labels([labels_of(np.random.default_rng(3), 2, (128, 128), size=40)])
    pairs = match(prediction_at(layout, {}), target, layout, CONFIG)
    assert pairs.claims.sum() == 2
    assert len(pairs.candidates) > 2
    assert len(set(pairs.candidates.tolist())) == len(pairs.candidates)
    none = match(prediction_at(layout, {}), target, layout, MatchConfig(companions=0))
    assert none.claims.tolist() == [True, True]


def test_nobody_matches_nothing():
    layout = layout_of((64, 64), (32,))
    target = collate_labels([labels_of(np.random.default_rng(4), 0, (64, 64))])
    pairs = match(prediction_at(layout, {}), target, layout, CONFIG)
    assert len(pairs.candidates) == 0
