"""The training loss: weighted terms that compare matched candidates with their labels."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional

from e2pose.data.targets import Target
from e2pose.models.head import Prediction
from e2pose.training.denoising import offset_denoising_loss
from e2pose.training.layout import Layout
from e2pose.training.matcher import Match
from e2pose.training.recipe import LossConfig

_NEGATIVE_WEIGHT = 0.75  # varifocal loss: alpha
_NEGATIVE_FOCUS = 2.0  # varifocal loss: gamma, the power of the score that reduces the weight of easy negatives


@dataclass(frozen=True, eq=False)
class Losses:
    """The weighted terms of the loss, scalars; `total` is minimised."""

    person: Tensor
    oks: Tensor
    distance: Tensor
    center: Tensor
    visibility: Tensor
    one_to_many: Tensor
    offset_denoising: Tensor

    @property
    def total(self) -> Tensor:
        """The sum of all terms."""
        return torch.stack([getattr(self, field.name) for field in fields(self)]).sum()


def compute_losses(
    prediction: Prediction,
    target: Target,
    match: Match,
    layout: Layout,
    config: LossConfig,
    *,
    num_persons: Tensor | None = None,
) -> Losses:
    """Compares a prediction with its labels.

    - person: varifocal loss of the person score; the target is `score_floor + (1 - score_floor) * OKS` for primary
      matches and 0 for all other candidates. Source: Zhang et al., "VarifocalNet", CVPR 2021, equation 2.
    - oks: 1 - object keypoint similarity. Source: Maji et al., "YOLO-Pose", CVPR Workshops 2022, equation 3.
    - distance: absolute error divided by the square root of the person's area; has a gradient where that of OKS
      vanishes.
    - center: the same for the person's centre.
    - visibility: binary cross entropy of the keypoint scores, where visibility is known.
    - one_to_many: as person, for the one-to-many score, whose positives include the auxiliary matches. Source: the
      auxiliary loss of Wang et al., "End-to-End Object Detection with Fully Convolutional Network", CVPR 2021, section
      3.4, with the matches of `e2pose.training.matcher`.
    - offset_denoising: see `e2pose.training.denoising`.

    Each term is a mean over persons. The primary match of a person weighs as much as all of its auxiliary matches
    together.

    Args:
        prediction: Candidates of a batch.
        target: Labels of the same batch, in input pixels.
        match: Pairs of candidates and persons.
        layout: Input size, cells and tolerances.
        config: Weights of the terms.
        num_persons: Divisor of the means, at least 1; None counts the persons of this batch. When gradients are
            accumulated over several batches, it is the number of persons in all of them.
    """
    num_persons = target.present.sum().clamp(min=1) if num_persons is None else num_persons
    matched, persons = (match.images, match.candidates), (match.images, match.persons)
    keypoints, labelled = target.keypoints[persons], target.labelled[persons].float()
    tolerances, sizes = layout.tolerances(target.areas[persons]), target.areas[persons].sqrt()
    weights = _pair_weights(match, target) / num_persons

    def compare(predicted: Tensor, tolerance: float = 1.0) -> tuple[Tensor, Tensor]:
        """Returns OKS and relative distance (P,) of predicted keypoints (B, M, K, 2)."""
        errors = predicted[matched] * layout.input_size_wh - keypoints
        similarity = torch.exp(-errors.square().sum(dim=-1) / (tolerance * tolerances))
        return _masked_mean(similarity, labelled), _masked_mean(errors.abs().sum(dim=-1), labelled) / sizes

    oks, distance = compare(prediction.keypoints)
    oks_loss = 1 - oks
    for intermediate in prediction.intermediate_keypoints:
        share = 1 / len(prediction.intermediate_keypoints)  # all together weigh as much as the final keypoints
        intermediate_oks, intermediate_distance = compare(intermediate, config.intermediate_tolerance)
        oks_loss = oks_loss + share * (1 - intermediate_oks)
        distance = distance + share * intermediate_distance
    center_errors = prediction.centers[matched] * layout.input_size_wh - target.centers[persons]
    center = center_errors.abs().sum(dim=1) / sizes
    visibility = _masked_mean(
        functional.binary_cross_entropy_with_logits(prediction.keypoint_logits[matched], labelled, reduction="none"),
        target.visibility_known[persons].float(),
    )

    goals = config.score_floor + (1 - config.score_floor) * oks.detach()
    negative = _negative_weights(prediction.centers.detach() * layout.input_size_wh, target, config)
    person, one_to_many = _score_losses(prediction, match, goals, negative, config.auxiliary_negative_weight)
    denoising = offset_denoising_loss(prediction, target, layout) if config.offset_denoising else 0 * person
    return Losses(
        person=config.person * person / num_persons,
        oks=config.oks * (oks_loss * weights).sum(),
        distance=config.distance * (distance * weights).sum(),
        center=config.center * (center * weights).sum(),
        visibility=config.visibility * (visibility * weights).sum(),
        one_to_many=config.one_to_many * one_to_many / num_persons,
        offset_denoising=config.offset_denoising * denoising / num_persons,
    )


def _masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Returns the means (...) of values (..., K) where the mask is 1; 0 where it is 0 everywhere."""
    return (values * mask).sum(dim=-1) / mask.sum(dim=-1).clamp(min=1)


def _pair_weights(match: Match, target: Target) -> Tensor:
    """Returns the weight (P,) of each pair; the weights of a person sum to 1."""
    person = match.images * target.present.shape[1] + match.persons
    num_auxiliary = torch.bincount(person[~match.is_primary], minlength=target.present.numel())[person]
    weights = torch.where(match.is_primary, 1.0, 1 / num_auxiliary.clamp(min=1))
    return weights / torch.where(num_auxiliary > 0, 2, 1)


def _score_losses(
    prediction: Prediction, match: Match, goals: Tensor, negative: Tensor, auxiliary_factor: float
) -> tuple[Tensor, Tensor]:
    """Returns the sums over candidates of the person loss and of the one-to-many loss."""
    auxiliary = (match.images[~match.is_primary], match.candidates[~match.is_primary])
    person_negative = negative.index_put(auxiliary, auxiliary_factor * negative[auxiliary])
    person = _varifocal_loss(prediction.person_logits, person_negative, match.primary(), goals[match.is_primary])
    if prediction.one_to_many_logits is None:
        return person, torch.zeros_like(person)
    return person, _varifocal_loss(prediction.one_to_many_logits, negative, match, goals)


def _varifocal_loss(logits: Tensor, negative_weights: Tensor, match: Match, goals: Tensor) -> Tensor:
    """Returns the sum over candidates (B, M) with the goals (P,) of matched candidates, and 0 for all others."""
    goal = torch.zeros_like(logits)
    goal[match.images, match.candidates] = goals
    weights = _NEGATIVE_WEIGHT * logits.detach().sigmoid() ** _NEGATIVE_FOCUS * negative_weights
    weights = torch.where(goal > 0, 1.0, weights)
    return functional.binary_cross_entropy_with_logits(logits, goal, weight=weights, reduction="sum")


def _negative_weights(centers: Tensor, target: Target, config: LossConfig) -> Tensor:
    """Returns the weights (B, M) of candidates as negatives, by their predicted centres (B, M, 2) in input pixels."""
    weights = torch.where(_inside(centers, target.non_exhaustive), config.non_exhaustive_negative_weight, 1.0)
    return weights * ~_inside(centers, target.ignore)


def _inside(points: Tensor, boxes: Tensor) -> Tensor:
    """Returns for points (B, M, 2) whether each lies in any of the boxes (B, R, 4) of its image."""
    relative = points.unsqueeze(2) - boxes[:, None, :, :2]
    return ((relative >= 0) & (relative < boxes[:, None, :, 2:])).all(dim=-1).any(dim=-1)
