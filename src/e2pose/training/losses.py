"""How wrong a prediction is."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional

from e2pose.data.targets import Target
from e2pose.models.head import Prediction
from e2pose.models.refine import follow
from e2pose.training.layout import Layout
from e2pose.training.matcher import Match
from e2pose.training.recipe import LossConfig

_FOCUS = 2.0  # power of the score by which easy background counts less
_BACKGROUND = 0.75
_STARTS = 4  # places around each keypoint from which each map of corrections has to lead to it
_REACHES = (0.5, 0.15)  # deviation of those places, at most, for each map, in square roots of the person's area


@dataclass(frozen=True, eq=False)
class Losses:
    """The weighted parts of the loss, scalars; `total` is what is minimised."""

    person: Tensor
    oks: Tensor
    distance: Tensor
    center: Tensor
    visibility: Tensor
    one_to_many: Tensor
    offset_denoising: Tensor

    @property
    def total(self) -> Tensor:
        """The sum of all parts."""
        return torch.stack([getattr(self, field.name) for field in fields(self)]).sum()

    def to_record(self) -> dict[str, float]:
        """All parts and their total as plain numbers."""
        return {name: float(getattr(self, name).detach()) for name in (*(f.name for f in fields(self)), "total")}


def compute_losses(
    prediction: Prediction,
    target: Target,
    pairs: Match,
    layout: Layout,
    config: LossConfig,
    *,
    people: Tensor | None = None,
) -> Losses:
    """Compares a prediction with its target.

    - person: the score of a primary candidate should be the similarity of its pose to its person, all others 0.
      Source: varifocal loss, Zhang et al., "VarifocalNet", CVPR 2021, equation 2.
    - oks: 1 - object keypoint similarity. Source: Maji et al., "YOLO-Pose", CVPR Workshops 2022, equation 3.
    - distance: absolute error in units of the square root of the person's area; pulls where OKS is flat.
    - center: the same for the person's centre.
    - visibility: cross entropy of the keypoint scores, where known.
    - offset_denoising: log(1 + squared error in units of OKS) of labelled keypoints moved by noise and led back by each
      map of corrections. Source of the idea: the denoising queries of Li et al., "DN-DETR", CVPR 2022, section 3.
    - one_to_many: as person, for the score for which auxiliary_positives answer too. Source: the auxiliary loss of Wang et al.,
      "End-to-End Object Detection with Fully Convolutional Network", CVPR 2021, section 3.4, with our pairs.

    Every part is a mean over people. A person's primary candidate and, all together, its auxiliary_positives weigh the same.

    Args:
        prediction: Candidates of a batch.
        target: Labels of the same batch, in canvas pixels.
        pairs: Which candidate learns from which person.
        layout: Canvas, cells and tolerances.
        config: Weights.
        people: How many people the means are over, at least 1; None for those of this batch. Where the gradients of
            several batches are added up for one step, it is the number of people in all of them.
    """
    people = target.present.sum().clamp(min=1) if people is None else people
    paired = _Paired.of(target, pairs)
    chosen = (pairs.images, pairs.candidates)
    weights = _shares(pairs, target) / people

    errors = prediction.keypoints[chosen] * layout.input_size_wh - paired.keypoints
    oks = paired.oks(errors, layout)
    oks_loss, distance = 1 - oks, paired.distance(errors)
    for draft in prediction.intermediate_keypoints:
        draft_errors = draft[chosen] * layout.input_size_wh - paired.keypoints
        share = 1 / len(prediction.intermediate_keypoints)  # all together weigh as much as the final keypoints
        oks_loss = oks_loss + share * (1 - paired.oks(draft_errors, layout, config.intermediate_tolerance))
        distance = distance + share * paired.distance(draft_errors)
    center = (prediction.centers[chosen] * layout.input_size_wh - paired.centers).abs().sum(dim=1) / paired.sizes

    background = _background_weights(prediction.centers.detach() * layout.input_size_wh, target, config)
    goals = config.score_floor + (1 - config.score_floor) * oks.detach()
    auxiliary_positives = (pairs.images[~pairs.is_primary], pairs.candidates[~pairs.is_primary])
    auxiliary_negative_weight = background.index_put(
        auxiliary_positives, config.auxiliary_negative_weight * background[auxiliary_positives]
    )
    person = _person_loss(prediction.person_logits, auxiliary_negative_weight, pairs.primary(), goals[pairs.is_primary])
    many = torch.zeros_like(person)
    if prediction.one_to_many_logits is not None:
        many = _person_loss(prediction.one_to_many_logits, background, pairs, goals)

    return Losses(
        person=config.person * person / people,
        oks=config.oks * (oks_loss * weights).sum(),
        distance=config.distance * (distance * weights).sum(),
        center=config.center * (center * weights).sum(),
        visibility=config.visibility * (paired.visibility(prediction.keypoint_logits[chosen]) * weights).sum(),
        one_to_many=config.one_to_many * many / people,
        offset_denoising=config.offset_denoising
        * (_homing(prediction, target, layout) if config.offset_denoising else 0 * person)
        / people,
    )


def _homing(prediction: Prediction, target: Target, layout: Layout) -> Tensor:
    """Sum over people: how far the maps of corrections lead past labelled keypoints from places around them."""
    width, height = (int(side) for side in layout.input_size_wh)
    labelled, tolerances = target.labelled.float(), layout.tolerances(target.areas)
    starts = _starts_around(target)
    total = prediction.person_logits.new_zeros(())
    for corrections, reach in zip(prediction.corrections, _REACHES, strict=False):
        stride = height // corrections.shape[2]
        for start in reach * starts:
            places = (target.keypoints + start) / layout.input_size_wh
            (arrived,) = follow(corrections, places, stride, (height, width), steps=1)
            squared = (arrived * layout.input_size_wh - target.keypoints).square().sum(dim=-1)
            total = total + _mean((squared / tolerances).log1p(), labelled).sum()
    return total / (len(starts) * max(1, len(prediction.corrections)))


def _starts_around(target: Target) -> Tensor:
    """(_STARTS, B, G, K, 2): random ways from keypoints, most of them short, in canvas pixels for a reach of 1.

    Always the same for the same labels, so that a training that was interrupted goes on as it would have.
    """
    chance = torch.Generator().manual_seed(int(target.areas.sum() * 1000))
    shape = (_STARTS, *target.areas.shape)
    lengths = torch.rand((*shape, 1, 1), generator=chance) ** 2
    ways = lengths * torch.randn((*shape, *target.keypoints.shape[2:]), generator=chance)
    return ways.to(target.areas.device) * target.areas.sqrt()[:, :, None, None]


@dataclass(frozen=True, eq=False)
class _Paired:
    """The person of each of P pairs, in canvas pixels, and how far a prediction (P, K, ...) is off."""

    keypoints: Tensor  # (P, K, 2)
    labelled: Tensor  # (P, K), 0 or 1
    known: Tensor  # (P, K), 0 or 1
    areas: Tensor  # (P,)
    centers: Tensor  # (P, 2)

    @staticmethod
    def of(target: Target, pairs: Match) -> _Paired:
        chosen = (pairs.images, pairs.persons)
        return _Paired(
            target.keypoints[chosen],
            target.labelled[chosen].float(),
            target.known[chosen].float(),
            target.areas[chosen],
            target.centers[chosen],
        )

    @property
    def sizes(self) -> Tensor:
        return self.areas.sqrt()

    def oks(self, errors: Tensor, layout: Layout, leniency: float = 1.0) -> Tensor:
        similar = torch.exp(-errors.square().sum(dim=-1) / (leniency * layout.tolerances(self.areas)))
        return _mean(similar, self.labelled)

    def distance(self, errors: Tensor) -> Tensor:
        return _mean(errors.abs().sum(dim=-1), self.labelled) / self.sizes

    def visibility(self, logits: Tensor) -> Tensor:
        wrong = functional.binary_cross_entropy_with_logits(logits, self.labelled, reduction="none")
        return _mean(wrong, self.known)


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    """(...): the mean of those of the values (..., K) that are chosen, 0 if none is."""
    return (values * chosen).sum(dim=-1) / chosen.sum(dim=-1).clamp(min=1)


def _shares(pairs: Match, target: Target) -> Tensor:
    """(P,): how much of its person each pair stands for; the pairs of a person sum up to 1."""
    person = pairs.images * target.present.shape[1] + pairs.persons
    auxiliary_positives = torch.bincount(person[~pairs.is_primary], minlength=target.present.numel())[person]
    return torch.where(pairs.is_primary, 1.0, 1 / auxiliary_positives.clamp(min=1)) / torch.where(
        auxiliary_positives > 0, 2, 1
    )


def _person_loss(logits: Tensor, background: Tensor, pairs: Match, goals: Tensor) -> Tensor:
    """Sum over all candidates; `background` (B, M) says how much each counts that is in no pair."""
    goal = torch.zeros_like(logits)
    goal[pairs.images, pairs.candidates] = goals
    weights = torch.where(goal > 0, 1.0, _BACKGROUND * logits.detach().sigmoid() ** _FOCUS * background)
    return functional.binary_cross_entropy_with_logits(logits, goal, weight=weights, reduction="sum")


def _background_weights(centers: Tensor, target: Target, config: LossConfig) -> Tensor:
    """(B, M): how much it counts if the candidates with these centres (B, M, 2) in canvas pixels are background."""
    doubtful = torch.where(_inside(centers, target.doubtful), config.non_exhaustive_negative_weight, 1.0)
    return doubtful * ~_inside(centers, target.ignore)


def _inside(points: Tensor, boxes: Tensor) -> Tensor:
    """(B, M): whether each of the points (B, M, 2) lies in any of its image's boxes (B, R, 4)."""
    relative = points.unsqueeze(2) - boxes[:, None, :, :2]
    return ((relative >= 0) & (relative < boxes[:, None, :, 2:])).all(dim=-1).any(dim=-1)
