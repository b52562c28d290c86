from dataclasses import replace

import numpy as np
import pytest
import torch

from e2pose.data.targets import collate_labels
from e2pose.models.head import Prediction, cell_centers
from e2pose.training.losses import compute_losses
from e2pose.training.matcher import match
from e2pose.training.recipe import LossConfig, MatchConfig
from helpers.targets import labels_of, layout_of, prediction_at

LAYOUT = layout_of((128, 128), (16, 32))
CONFIG = LossConfig()


def learnable(prediction: Prediction) -> Prediction:
    return Prediction(
        person_logits=prediction.person_logits.clone().requires_grad_(),
        keypoint_logits=prediction.keypoint_logits.clone().requires_grad_(),
        keypoints=prediction.keypoints.clone().requires_grad_(),
        centers=prediction.centers.clone().requires_grad_(),
    )


def perfect(target, pairs) -> Prediction:
    """Says exactly what the target says, with certainty."""
    prediction = prediction_at(LAYOUT, {}, images=len(target.areas))
    prediction.person_logits[:] = -40.0
    image, candidate, person = pairs.images, pairs.candidates, pairs.persons
    prediction.person_logits[image[pairs.is_primary], candidate[pairs.is_primary]] = 40.0
    prediction.keypoints[image, candidate] = target.keypoints[image, person] / LAYOUT.input_size_wh
    prediction.centers[image, candidate] = target.centers[image, person] / LAYOUT.input_size_wh
    prediction.keypoint_logits[image, candidate] = torch.where(target.labelled[image, person], 40.0, -40.0)
    return prediction


def test_a_perfect_prediction_costs_nothing():
    rng = np.random.default_rng(0)
    target = collate_labels([labels_of(rng, persons, (128, 128), size=50) for persons in (2, 0, 1)])
    target.labelled[0, 0, 9] = False
    pairs = match(prediction_at(LAYOUT, {}, images=3), target, LAYOUT, MatchConfig())
    losses = compute_losses(perfect(target, pairs), target, pairs, LAYOUT, CONFIG)
    assert losses.to_record() == pytest.approx(dict.fromkeys(losses.to_record(), 0), abs=1e-5)


def test_every_part_grows_with_its_own_error():
    target = collate_labels([labels_of(np.random.default_rng(1), 1, (128, 128), size=60)])
    pairs = match(prediction_at(LAYOUT, {}), target, LAYOUT, MatchConfig(auxiliary_positives=0))
    best = perfect(target, pairs)
    candidate = int(pairs.candidates[0])
    wrong = {
        "person": replace(
            best, person_logits=best.person_logits.clone().index_fill(1, torch.tensor([candidate]), -3.0)
        ),
        "visibility": replace(best, keypoint_logits=-best.keypoint_logits),
        "center": replace(best, centers=best.centers + 0.1),
        "oks": replace(best, keypoints=best.keypoints + 0.02),
        "distance": replace(best, keypoints=best.keypoints + 0.02),
    }
    for part, prediction in wrong.items():
        assert float(getattr(compute_losses(prediction, target, pairs, LAYOUT, CONFIG), part)) > 0.01, part


def test_unlabelled_keypoints_have_no_gradient_and_unknown_ones_no_score_either():
    target = collate_labels([labels_of(np.random.default_rng(2), 1, (128, 128), size=60)])
    target.labelled[0, 0, [3, 7]] = False
    target.known[0, 0, 7] = False
    prediction = learnable(prediction_at(LAYOUT, {}))
    pairs = match(prediction, target, LAYOUT, MatchConfig())
    compute_losses(prediction, target, pairs, LAYOUT, CONFIG).total.backward()
    candidate = pairs.candidates
    moved = prediction.keypoints.grad[0, candidate].abs().sum(dim=-1) > 0
    assert not moved[:, [3, 7]].any()
    assert moved[:, [0, 1, 2, 4, 5, 6]].all()
    scored = prediction.keypoint_logits.grad[0, candidate].abs() > 0
    assert scored[:, 3].all()
    assert not scored[:, 7].any()


def test_unmatched_candidates_learn_nothing_but_that_they_are_background():
    target = collate_labels([labels_of(np.random.default_rng(3), 1, (128, 128), size=60)])
    prediction = learnable(prediction_at(LAYOUT, {}))
    pairs = match(prediction, target, LAYOUT, MatchConfig())
    compute_losses(prediction, target, pairs, LAYOUT, CONFIG).total.backward()
    others = [m for m in range(len(LAYOUT.cell_centers)) if m not in pairs.candidates.tolist()]
    assert prediction.keypoints.grad[0, others].abs().max() == 0
    assert prediction.centers.grad[0, others].abs().max() == 0
    assert (prediction.person_logits.grad[0, others] > 0).all()


def test_background_in_ignored_boxes_is_not_punished_and_weighs_less_where_it_is_doubtful():
    left = np.array([[0, 0, 64, 128]], np.float32)
    rng = np.random.default_rng(4)
    gradients = {}
    for name, boxes in {"plain": {}, "ignore": {"ignore": left}, "doubtful": {"doubtful": left}}.items():
        prediction = learnable(prediction_at(LAYOUT, {}))
        target = collate_labels([labels_of(rng, 0, (128, 128), **boxes)])
        pairs = match(prediction, target, LAYOUT, MatchConfig())
        compute_losses(prediction, target, pairs, LAYOUT, CONFIG).total.backward()
        gradients[name] = prediction.person_logits.grad[0]
    inside = LAYOUT.cell_centers[:, 0] < 64
    assert (gradients["ignore"][inside] == 0).all()
    torch.testing.assert_close(gradients["ignore"][~inside], gradients["plain"][~inside])
    torch.testing.assert_close(
        gradients["doubtful"][inside], CONFIG.non_exhaustive_negative_weight * gradients["plain"][inside]
    )
    torch.testing.assert_close(gradients["doubtful"][~inside], gradients["plain"][~inside])


def test_the_score_goal_rises_with_the_quality_of_the_pose():
    target = collate_labels([labels_of(np.random.default_rng(5), 1, (128, 128), size=60)])
    pairs = match(prediction_at(LAYOUT, {}), target, LAYOUT, MatchConfig(auxiliary_positives=0))
    candidate = int(pairs.candidates[0])
    pulls = []
    for shift in (0.0, 2.0, 8.0, 64.0):  # canvas pixels
        prediction = perfect(target, pairs)
        prediction.keypoints[0, candidate] += shift / 128
        prediction.person_logits[0, candidate] = 0.0
        prediction = learnable(prediction)
        compute_losses(prediction, target, pairs, LAYOUT, CONFIG).total.backward()
        pulls.append(float(-prediction.person_logits.grad[0, candidate]))
    assert pulls == sorted(pulls, reverse=True)
    assert pulls[0] == pytest.approx(0.5, abs=1e-3)  # goal 1 from a score of 0.5
    assert pulls[-1] == pytest.approx(CONFIG.score_floor - 0.5, abs=1e-3)


def test_drafts_learn_beside_the_final_keypoints_but_do_not_count_for_the_score():
    target = collate_labels([labels_of(np.random.default_rng(1), 1, (128, 128), size=60)])
    pairs = match(prediction_at(LAYOUT, {}), target, LAYOUT, MatchConfig(auxiliary_positives=0))
    best = perfect(target, pairs)
    off = (best.keypoints + 0.02).requires_grad_()
    losses = compute_losses(replace(best, intermediate_keypoints=(best.keypoints, off)), target, pairs, LAYOUT, CONFIG)
    final = compute_losses(replace(best, keypoints=best.keypoints + 0.02), target, pairs, LAYOUT, CONFIG)
    assert float(losses.person) == pytest.approx(0, abs=1e-6)
    parts = losses.to_record()
    assert parts["oks"] == pytest.approx(float(final.oks) / 2, rel=1e-4)
    assert parts["distance"] == pytest.approx(float(final.distance) / 2, rel=1e-4)
    losses.total.backward()
    assert off.grad is not None
    assert (off.grad.abs().sum(dim=(2, 3)) > 0).nonzero().tolist() == [[0, int(pairs.candidates[0])]]


def test_the_losses_of_parts_of_a_batch_add_up_to_those_of_the_whole():
    rng = np.random.default_rng(6)
    labels = [labels_of(rng, persons, (128, 128), size=60) for persons in (2, 0, 1, 3)]
    whole, parts = collate_labels(labels), [collate_labels(labels[:1]), collate_labels(labels[1:])]

    def losses_of(target, people=None):
        prediction = prediction_at(LAYOUT, {}, images=len(target.areas))
        pairs = match(prediction, target, LAYOUT, MatchConfig())
        assert (~pairs.is_primary).any()
        return compute_losses(prediction, target, pairs, LAYOUT, CONFIG, people=people).to_record()

    first, second = (losses_of(part, torch.tensor(6)) for part in parts)
    assert {name: first[name] + second[name] for name in first} == pytest.approx(losses_of(whole), rel=1e-5)


def test_companions_answer_for_their_person_in_the_one_to_many_score_only():
    target = collate_labels([labels_of(np.random.default_rng(1), 1, (128, 128), size=60)])
    pairs = match(prediction_at(LAYOUT, {}), target, LAYOUT, MatchConfig(auxiliary_positives=2))
    best = perfect(target, pairs)
    many = torch.zeros_like(best.person_logits).requires_grad_()
    losses = compute_losses(replace(best, one_to_many_logits=many), target, pairs, LAYOUT, LossConfig(one_to_many=0.1))
    record = losses.to_record()
    assert record["person"] == pytest.approx(0, abs=1e-6)
    assert record["one_to_many"] > 0
    losses.total.backward()
    rising = (many.grad < 0)[0].nonzero().flatten().tolist()
    assert rising == sorted(pairs.candidates.tolist())
    assert len(rising) == 3


def test_a_lenient_draft_costs_less_and_is_pulled_from_farther_away():
    target = collate_labels([labels_of(np.random.default_rng(1), 1, (128, 128), size=60)])
    pairs = match(prediction_at(LAYOUT, {}), target, LAYOUT, MatchConfig(auxiliary_positives=0))
    best = perfect(target, pairs)
    costs, pulls = [], []
    for tolerance in (1.0, 4.0):
        off = (best.keypoints + 0.2).requires_grad_()
        losses = compute_losses(
            replace(best, intermediate_keypoints=(off,)),
            target,
            pairs,
            LAYOUT,
            LossConfig(distance=0, intermediate_tolerance=tolerance),
        )
        losses.total.backward()
        costs.append(float(losses.oks.detach()))
        pulls.append(float(off.grad.abs().sum()))
    assert costs[1] < costs[0]
    assert pulls[1] > 2 * pulls[0]


def test_rivals_weigh_more_as_background_and_nothing_else_does():
    target = collate_labels([labels_of(np.random.default_rng(3), 1, (128, 128), size=60)])
    pairs = match(prediction_at(LAYOUT, {}), target, LAYOUT, MatchConfig())
    assert not pairs.is_primary.all()
    gradients = []
    for auxiliary_negative_weight in (1.0, 3.0):
        prediction = learnable(prediction_at(LAYOUT, {}))
        compute_losses(
            prediction, target, pairs, LAYOUT, LossConfig(auxiliary_negative_weight=auxiliary_negative_weight)
        ).total.backward()
        gradients.append(prediction.person_logits.grad[0])
    factor = torch.ones(len(LAYOUT.cell_centers))
    factor[pairs.candidates[~pairs.is_primary]] = 3.0
    torch.testing.assert_close(gradients[1], factor * gradients[0])


def test_homing_is_free_only_where_a_map_leads_to_every_keypoint():
    target = collate_labels([labels_of(np.random.default_rng(3), 1, (128, 128), size=60)])
    target.keypoints[:] = target.keypoints[:, :, :1]  # all in one place, so that one map can lead to all of them
    pairs = match(prediction_at(LAYOUT, {}), target, LAYOUT, MatchConfig())
    best = perfect(target, pairs)
    cells = cell_centers(16, 16, 8, torch.device("cpu"))
    way = ((target.keypoints[0, 0, 0] - cells) / 16).T.reshape(1, 2, 16, 16)
    leading = way.repeat(1, target.keypoints.shape[2], 1, 1)
    costs = []
    for corrections in (leading, 0.5 * leading, 0 * leading):
        learned = corrections.clone().requires_grad_()
        losses = compute_losses(
            replace(best, corrections=(learned,)), target, pairs, LAYOUT, LossConfig(distance=0, offset_denoising=1.0)
        )
        again = compute_losses(
            replace(best, corrections=(corrections,)),
            target,
            pairs,
            LAYOUT,
            LossConfig(distance=0, offset_denoising=1.0),
        )
        assert float(again.offset_denoising) == float(losses.offset_denoising.detach())  # the same places each time
        costs.append(float(again.offset_denoising))
        losses.total.backward()
    assert costs[0] < 0.02
    assert costs[0] < costs[1] < costs[2]
    assert learned.grad.abs().sum() > 0


def test_labels_that_do_not_exist_lead_nowhere():
    target = collate_labels([labels_of(np.random.default_rng(3), 1, (128, 128), size=60)])
    target.labelled[:, :, 5] = False
    pairs = match(prediction_at(LAYOUT, {}), target, LAYOUT, MatchConfig())
    corrections = torch.ones(1, 2 * target.keypoints.shape[2], 16, 16, requires_grad=True)
    prediction = replace(perfect(target, pairs), corrections=(corrections,))
    compute_losses(prediction, target, pairs, LAYOUT, LossConfig(offset_denoising=1.0)).total.backward()
    pulled = corrections.grad.abs().sum(dim=(0, 2, 3)).reshape(-1, 2).sum(dim=1) > 0
    assert not pulled[5]
    assert pulled[:5].all()
