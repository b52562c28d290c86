"""Each term of the loss equals a reference in plain Python; gradients reach only what labels describe."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from e2pose.core.schema import load_schema
from e2pose.data.targets import Target, collate_labels
from e2pose.models.head import Prediction
from e2pose.training.losses import Losses, compute_losses
from e2pose.training.matcher import Match, match
from e2pose.training.recipe import LossConfig, MatchConfig
from helpers.targets import labels_of, layout_of, prediction_at

SIZE = 128
LAYOUT = layout_of((SIZE, SIZE), (16, 32))
SIGMAS = load_schema("coco").sigmas
CONFIG = LossConfig()
DISTINCT = LossConfig(
    person=1.3,
    oks=0.7,
    distance=2.9,
    one_to_many=0.11,
    center=0.23,
    visibility=0.53,
    intermediate_tolerance=3.1,
    auxiliary_negative_weight=2.7,
    score_floor=0.17,
    non_exhaustive_negative_weight=0.19,
)
"""Weights that all differ from each other and from 1."""
NUM_POSITIVE_TERMS = 6


def random_batch(*, num_intermediate: int = 2) -> tuple[Prediction, Target, Match]:
    """Three images with 2, 0 and 3 persons, unlabelled keypoints and both kinds of boxes."""
    rng = np.random.default_rng(7)
    boxes = {
        "ignore": np.array([[0, 0, 40, 128], [90, 90, 20, 20]], np.float32),
        "non_exhaustive": np.array([[30, 0, 50, 128]], np.float32),
    }
    labels = [
        labels_of(rng, 2, (SIZE, SIZE), size=50, **boxes),
        labels_of(rng, 0, (SIZE, SIZE)),
        labels_of(rng, 3, (SIZE, SIZE), size=70, center=(60, 70)),
    ]
    for label in labels:
        label.areas[:] *= rng.uniform(0.5, 1.5, len(label.areas))
        label.visibility_known[:] = rng.random(label.visibility_known.shape) < 0.8
        label.labelled[:] = label.visibility_known & (rng.random(label.visibility_known.shape) < 0.8)
    target = collate_labels(labels)
    prediction = prediction_at(LAYOUT, {}, images=3)
    pairs = match(prediction, target, LAYOUT, MatchConfig(auxiliary_positives=2))

    def noisy(shape, scale):
        return torch.from_numpy(rng.normal(0, scale, shape).astype(np.float32))

    shape = prediction.person_logits.shape
    poses = prediction.keypoints.clone()
    poses[pairs.images, pairs.candidates] = target.keypoints[pairs.images, pairs.persons] / SIZE
    prediction = Prediction(
        person_logits=noisy(shape, 2),
        keypoint_logits=noisy(prediction.keypoint_logits.shape, 2),
        keypoints=poses + noisy(poses.shape, 0.03),
        centers=prediction.centers + noisy(prediction.centers.shape, 0.05),
        intermediate_keypoints=tuple(poses + noisy(poses.shape, 0.06) for _ in range(num_intermediate)),
        one_to_many_logits=noisy(shape, 2),
    )
    return prediction, target, pairs


def to_record(losses: Losses) -> dict[str, float]:
    return {name: float(getattr(losses, name).detach()) for name in (*(f.name for f in fields(losses)), "total")}


def pairs_of(pairs: Match) -> list[tuple[int, int, int, bool]]:
    columns = (pairs.images, pairs.candidates, pairs.persons, pairs.is_primary)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def compare_pose(keypoints, target: Target, image: int, person: int, tolerance: float) -> tuple[float, float]:
    """OKS and relative absolute error of keypoints (K, 2), normalised."""
    area = float(target.areas[image, person])
    similarities, distances = [], []
    for k, sigma in enumerate(SIGMAS):
        if not target.labelled[image, person, k]:
            continue
        x, y = (SIZE * keypoints[k] - target.keypoints[image, person, k]).tolist()
        similarities.append(math.exp(-(x**2 + y**2) / (tolerance * 2 * area * (2 * sigma) ** 2)))
        distances.append((abs(x) + abs(y)) / math.sqrt(area))
    return sum(similarities) / len(similarities), sum(distances) / len(distances)


def cross_entropy(logit: float, goal: float) -> float:
    score = 1 / (1 + math.exp(-logit))
    return -goal * math.log(score) - (1 - goal) * math.log(1 - score)


def negative_weight(center_xy: list[float], target: Target, image: int, config: LossConfig) -> float:
    def inside(boxes):
        x, y = (SIZE * value for value in center_xy)
        return any(left <= x < left + w and top <= y < top + h for left, top, w, h in boxes[image].tolist())

    if inside(target.ignore):
        return 0.0
    return config.non_exhaustive_negative_weight if inside(target.non_exhaustive) else 1.0


def reference_losses(prediction: Prediction, target: Target, pairs: Match, config: LossConfig) -> dict[str, float]:
    """The unweighted terms, one pair and one candidate at a time."""
    losses = dict.fromkeys(("person", "oks", "distance", "center", "visibility", "one_to_many"), 0.0)
    num_persons = int(target.present.sum())
    goals, auxiliary = {}, set()
    for image, candidate, person, is_primary in pairs_of(pairs):
        num_auxiliary = sum(other[0] == image and other[2] == person and not other[3] for other in pairs_of(pairs))
        weight = 1.0 if num_auxiliary == 0 else 0.5 if is_primary else 0.5 / num_auxiliary
        oks, distance = compare_pose(prediction.keypoints[image, candidate], target, image, person, 1.0)
        goals[image, candidate] = config.score_floor + (1 - config.score_floor) * oks
        if not is_primary:
            auxiliary.add((image, candidate))
        oks_loss = 1 - oks
        for keypoints in prediction.intermediate_keypoints:
            more = compare_pose(keypoints[image, candidate], target, image, person, config.intermediate_tolerance)
            oks_loss += (1 - more[0]) / len(prediction.intermediate_keypoints)
            distance += more[1] / len(prediction.intermediate_keypoints)
        x, y = (SIZE * prediction.centers[image, candidate] - target.centers[image, person]).tolist()
        known = [k for k in range(17) if target.visibility_known[image, person, k]]
        labels = target.labelled[image, person].float().tolist()
        entropies = [cross_entropy(float(prediction.keypoint_logits[image, candidate, k]), labels[k]) for k in known]
        losses["oks"] += weight * oks_loss
        losses["distance"] += weight * distance
        losses["center"] += weight * (abs(x) + abs(y)) / math.sqrt(target.areas[image, person])
        losses["visibility"] += weight * sum(entropies) / len(known)
    for name, logits in (("person", prediction.person_logits), ("one_to_many", prediction.one_to_many_logits)):
        for image, row in enumerate(logits.tolist()):
            for candidate, logit in enumerate(row):
                cell = (image, candidate)
                if cell in goals and (name == "one_to_many" or cell not in auxiliary):
                    losses[name] += cross_entropy(logit, goals[cell])
                    continue
                weight = negative_weight(prediction.centers[cell].tolist(), target, image, config)
                weight *= config.auxiliary_negative_weight if cell in auxiliary else 1.0
                losses[name] += 0.75 * (1 / (1 + math.exp(-logit))) ** 2 * weight * cross_entropy(logit, 0.0)
    return {name: value / num_persons for name, value in losses.items()}


@pytest.mark.parametrize("num_intermediate", [0, 1, 2])
def test_each_term_equals_the_reference_times_its_weight(num_intermediate):
    prediction, target, pairs = random_batch(num_intermediate=num_intermediate)
    assert 0 < int((~pairs.is_primary).sum()) < 2 * 5  # persons with no, one or two auxiliary matches
    losses = to_record(compute_losses(prediction, target, pairs, LAYOUT, DISTINCT))
    reference = reference_losses(prediction, target, pairs, DISTINCT)
    for name, value in reference.items():
        assert losses[name] == pytest.approx(getattr(DISTINCT, name) * value, rel=1e-4), name
    assert losses["total"] == pytest.approx(sum(losses[name] for name in reference), rel=1e-5)
    assert losses["offset_denoising"] == 0


def test_terms_are_positive_and_their_gradients_reduce_them():
    prediction, target, pairs = random_batch()
    values = {
        "keypoints": prediction.keypoints,
        "centers": prediction.centers,
        "person_logits": prediction.person_logits,
        "keypoint_logits": prediction.keypoint_logits,
        "one_to_many_logits": prediction.one_to_many_logits,
    }
    learned = {name: value.clone().requires_grad_() for name, value in values.items()}
    before = compute_losses(replace(prediction, **learned), target, pairs, LAYOUT, DISTINCT)
    before.total.backward()
    moved = {name: (value - 1e-4 * value.grad).detach() for name, value in learned.items()}
    after = to_record(compute_losses(replace(prediction, **moved), target, pairs, LAYOUT, DISTINCT))
    terms = {name: value for name, value in to_record(before).items() if name != "offset_denoising"}
    assert len(terms) == NUM_POSITIVE_TERMS + 1
    for name in ("center", "visibility", "one_to_many", "total"):
        assert 0 < after[name] < terms[name], name


def test_score_targets_and_negative_weights_pass_no_gradient():
    prediction, target, pairs = random_batch()
    keypoints, logits = prediction.keypoints.requires_grad_(), prediction.person_logits.requires_grad_()
    centers = prediction.centers.requires_grad_()
    losses = compute_losses(prediction, target, pairs, LAYOUT, CONFIG)
    assert torch.autograd.grad(losses.person, [keypoints, centers], allow_unused=True, retain_graph=True) == (
        None,
        None,
    )
    (gradient,) = torch.autograd.grad(losses.person, [logits])
    matched = {(image, candidate) for image, candidate, _, _ in pairs_of(pairs)}
    image, candidate = next((1, m) for m in range(logits.shape[1]) if (1, m) not in matched)
    score = float(logits[image, candidate].detach().sigmoid())
    assert float(gradient[image, candidate]) == pytest.approx(0.75 * score**2 * score / 5, rel=1e-4)


def learnable(prediction: Prediction) -> Prediction:
    return Prediction(
        person_logits=prediction.person_logits.clone().requires_grad_(),
        keypoint_logits=prediction.keypoint_logits.clone().requires_grad_(),
        keypoints=prediction.keypoints.clone().requires_grad_(),
        centers=prediction.centers.clone().requires_grad_(),
    )


def one_person(seed: int = 1) -> Target:
    return collate_labels([labels_of(np.random.default_rng(seed), 1, (SIZE, SIZE), size=60)])


def perfect(target: Target, pairs: Match) -> Prediction:
    """A prediction that equals the labels, with certain scores."""
    prediction = prediction_at(LAYOUT, {}, images=len(target.areas))
    prediction.person_logits[:] = -40.0
    image, candidate, person = pairs.images, pairs.candidates, pairs.persons
    prediction.person_logits[image[pairs.is_primary], candidate[pairs.is_primary]] = 40.0
    prediction.keypoints[image, candidate] = target.keypoints[image, person] / LAYOUT.input_size_wh
    prediction.centers[image, candidate] = target.centers[image, person] / LAYOUT.input_size_wh
    prediction.keypoint_logits[image, candidate] = torch.where(target.labelled[image, person], 40.0, -40.0)
    return prediction


def test_perfect_prediction_has_zero_loss():
    rng = np.random.default_rng(0)
    target = collate_labels([labels_of(rng, persons, (SIZE, SIZE), size=50) for persons in (2, 0, 1)])
    target.labelled[0, 0, 9] = False
    pairs = match(prediction_at(LAYOUT, {}, images=3), target, LAYOUT, MatchConfig())
    losses = compute_losses(perfect(target, pairs), target, pairs, LAYOUT, CONFIG)
    assert to_record(losses) == pytest.approx(dict.fromkeys(to_record(losses), 0), abs=1e-5)


def test_unlabelled_keypoints_have_no_position_gradient_and_unknown_ones_no_score_gradient():
    target = one_person(2)
    target.labelled[0, 0, [3, 7]] = False
    target.visibility_known[0, 0, 7] = False
    prediction = learnable(prediction_at(LAYOUT, {}))
    pairs = match(prediction, target, LAYOUT, MatchConfig())
    compute_losses(prediction, target, pairs, LAYOUT, CONFIG).total.backward()
    moved = prediction.keypoints.grad[0, pairs.candidates].abs().sum(dim=-1) > 0
    assert not moved[:, [3, 7]].any()
    assert moved[:, [0, 1, 2, 4, 5, 6]].all()
    scored = prediction.keypoint_logits.grad[0, pairs.candidates].abs() > 0
    assert scored[:, 3].all()
    assert not scored[:, 7].any()


def test_unmatched_candidates_learn_only_that_they_are_negatives():
    target = one_person(3)
    prediction = learnable(prediction_at(LAYOUT, {}))
    pairs = match(prediction, target, LAYOUT, MatchConfig())
    compute_losses(prediction, target, pairs, LAYOUT, CONFIG).total.backward()
    others = [m for m in range(len(LAYOUT.cell_centers)) if m not in pairs.candidates.tolist()]
    assert prediction.keypoints.grad[0, others].abs().max() == 0
    assert prediction.centers.grad[0, others].abs().max() == 0
    assert (prediction.person_logits.grad[0, others] > 0).all()


def test_score_target_rises_from_the_floor_to_1_with_oks():
    target = one_person(5)
    pairs = match(prediction_at(LAYOUT, {}), target, LAYOUT, MatchConfig(auxiliary_positives=0))
    candidate = int(pairs.candidates[0])
    for shift in (0.0, 2.0, 8.0, 64.0):  # input pixels
        prediction = perfect(target, pairs)
        prediction.keypoints[0, candidate] += shift / SIZE
        prediction.person_logits[0, candidate] = 0.0
        prediction = learnable(prediction)
        compute_losses(prediction, target, pairs, LAYOUT, CONFIG).person.backward()
        oks, _ = compare_pose(prediction.keypoints[0, candidate].detach(), target, 0, 0, 1.0)
        goal = 0.5 - float(prediction.person_logits.grad[0, candidate])
        assert goal == pytest.approx(0.2 + 0.8 * oks, abs=1e-3)


def test_auxiliary_negatives_are_weighted_and_other_negatives_are_not():
    target = one_person(3)
    pairs = match(prediction_at(LAYOUT, {}), target, LAYOUT, MatchConfig())
    assert not pairs.is_primary.all()
    gradients = []
    for weight in (1.0, 3.0):
        prediction = prediction_at(LAYOUT, {})
        prediction.person_logits[:] = 1.0
        prediction = learnable(prediction)
        config = LossConfig(auxiliary_negative_weight=weight)
        compute_losses(prediction, target, pairs, LAYOUT, config).person.backward()
        gradients.append(prediction.person_logits.grad[0])
    factor = torch.ones(len(LAYOUT.cell_centers))
    factor[pairs.candidates[~pairs.is_primary]] = 3.0
    assert gradients[0].abs().min() > 0.01
    torch.testing.assert_close(gradients[1], factor * gradients[0])


def test_losses_of_parts_of_a_batch_add_up_to_those_of_the_whole():
    rng = np.random.default_rng(6)
    labels = [labels_of(rng, persons, (SIZE, SIZE), size=60) for persons in (2, 0, 1, 3)]
    whole, parts = collate_labels(labels), [collate_labels(labels[:1]), collate_labels(labels[1:])]

    def losses_of(target, num_persons=None):
        prediction = prediction_at(LAYOUT, {}, images=len(target.areas))
        pairs = match(prediction, target, LAYOUT, MatchConfig())
        assert (~pairs.is_primary).any()
        return to_record(compute_losses(prediction, target, pairs, LAYOUT, CONFIG, num_persons=num_persons))

    first, second = (losses_of(part, torch.tensor(6)) for part in parts)
    assert {name: first[name] + second[name] for name in first} == pytest.approx(losses_of(whole), rel=1e-5)


def test_batch_without_persons_has_finite_losses():
    target = collate_labels([labels_of(np.random.default_rng(0), 0, (SIZE, SIZE))])
    pairs = match(prediction_at(LAYOUT, {}), target, LAYOUT, MatchConfig())
    losses = to_record(compute_losses(prediction_at(LAYOUT, {}), target, pairs, LAYOUT, CONFIG))
    assert losses.pop("person") == losses.pop("total") > 0
    assert set(losses.values()) == {0.0}


def test_tolerant_intermediate_keypoints_cost_less_and_are_pulled_from_farther_away():
    target = one_person()
    pairs = match(prediction_at(LAYOUT, {}), target, LAYOUT, MatchConfig(auxiliary_positives=0))
    best = perfect(target, pairs)
    costs, pulls = [], []
    for tolerance in (1.0, 4.0):
        off = (best.keypoints + 0.2).requires_grad_()
        config = LossConfig(distance=0, intermediate_tolerance=tolerance)
        losses = compute_losses(replace(best, intermediate_keypoints=(off,)), target, pairs, LAYOUT, config)
        losses.total.backward()
        costs.append(float(losses.oks.detach()))
        pulls.append(float(off.grad.abs().sum()))
    assert costs[1] < costs[0]
    assert pulls[1] > 2 * pulls[0]
