"""How wrong a prediction is."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional

from e2pose.models.head import Prediction
from e2pose.training.config import LossConfig
from e2pose.training.layout import Layout
from e2pose.training.matcher import Match
from e2pose.training.target import Target

_FOCUS = 2.0  # power of the score by which easy background counts less
_BACKGROUND = 0.75


@dataclass(frozen=True, eq=False)
class Losses:
    """The weighted parts of the loss, scalars; `total` is what is minimised."""

    person: Tensor
    oks: Tensor
    distance: Tensor
    center: Tensor
    visibility: Tensor

    @property
    def total(self) -> Tensor:
        """The sum of all parts."""
        return self.person + self.oks + self.distance + self.center + self.visibility

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

    - person: the score of a claiming candidate should be the similarity of its pose to its person, all others 0.
      Source: varifocal loss, Zhang et al., "VarifocalNet", CVPR 2021, equation 2.
    - oks: 1 - object keypoint similarity. Source: Maji et al., "YOLO-Pose", CVPR Workshops 2022, equation 3.
    - distance: absolute error in units of the square root of the person's area; pulls where OKS is flat.
    - center: the same for the person's centre.
    - visibility: cross entropy of the keypoint scores, where known.

    Every part is a mean over people. A person's claiming candidate and, all together, its companions weigh the same.

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
    image, candidate, truth = pairs.images, pairs.candidates, pairs.persons
    weights = _shares(pairs, target) / people

    labelled = target.labelled[image, truth].float()
    area = target.areas[image, truth]

    def compare(keypoints: Tensor) -> tuple[Tensor, Tensor]:
        errors = keypoints[image, candidate] * layout.canvas_wh - target.keypoints[image, truth]
        return _compare(errors, labelled, area, layout.sigmas)

    oks, distance = compare(prediction.keypoints)
    loss_oks, loss_distance = 1 - oks, distance
    for draft in prediction.drafts:
        draft_oks, draft_distance = compare(draft)
        share = config.drafts / len(prediction.drafts)
        loss_oks, loss_distance = loss_oks + share * (1 - draft_oks), loss_distance + share * draft_distance
    offset = prediction.centers[image, candidate] * layout.canvas_wh - target.centers[image, truth]
    center = offset.abs().sum(dim=1) / area.sqrt()

    known = target.known[image, truth].float()
    seen = functional.binary_cross_entropy_with_logits(
        prediction.keypoint_logits[image, candidate], labelled, reduction="none"
    )
    visibility = (seen * known).sum(dim=1) / known.sum(dim=1).clamp(min=1)

    background = _background_weights(prediction.centers.detach() * layout.canvas_wh, target, config)
    person = _person_loss(prediction.person_logits, background, pairs, oks.detach(), config)

    return Losses(
        person=config.person * person / people,
        oks=config.oks * (loss_oks * weights).sum(),
        distance=config.distance * (loss_distance * weights).sum(),
        center=config.center * (center * weights).sum(),
        visibility=config.visibility * (visibility * weights).sum(),
    )


def _shares(pairs: Match, target: Target) -> Tensor:
    """(P,): how much of its person each pair stands for; the pairs of a person sum up to 1."""
    person = pairs.images * target.present.shape[1] + pairs.persons
    companions = torch.bincount(person[~pairs.claims], minlength=target.present.numel())[person]
    return torch.where(pairs.claims, 1.0, 1 / companions.clamp(min=1)) / torch.where(companions > 0, 2, 1)


def _compare(errors: Tensor, labelled: Tensor, area: Tensor, sigmas: Tensor) -> tuple[Tensor, Tensor]:
    """OKS and distance (P,) of errors (P, K, 2) in canvas pixels."""
    errors = errors * labelled.unsqueeze(-1)
    counts = labelled.sum(dim=1).clamp(min=1)
    tolerance = 2 * area[:, None] * (2 * sigmas) ** 2
    oks = (torch.exp(-errors.square().sum(dim=-1) / tolerance) * labelled).sum(dim=1) / counts
    return oks, errors.abs().sum(dim=(1, 2)) / counts / area.sqrt()


def _person_loss(logits: Tensor, weights: Tensor, pairs: Match, oks: Tensor, config: LossConfig) -> Tensor:
    """Sum over all candidates; `weights` (B, M) are those of background."""
    goal = torch.zeros_like(logits)
    claims = pairs.claims
    goal[pairs.images[claims], pairs.candidates[claims]] = config.score_floor + (1 - config.score_floor) * oks[claims]
    weights = torch.where(goal > 0, 1.0, _BACKGROUND * logits.detach().sigmoid() ** _FOCUS * weights)
    return functional.binary_cross_entropy_with_logits(logits, goal, weight=weights, reduction="sum")


def _background_weights(centers: Tensor, target: Target, config: LossConfig) -> Tensor:
    """(B, M): how much it counts if the candidates with these centres (B, M, 2) in canvas pixels are background."""
    doubtful = torch.where(_inside(centers, target.doubtful), config.doubtful_background, 1.0)
    return doubtful * ~_inside(centers, target.ignore)


def _inside(points: Tensor, boxes: Tensor) -> Tensor:
    """(B, M): whether each of the points (B, M, 2) lies in any of its image's boxes (B, R, 4)."""
    relative = points.unsqueeze(2) - boxes[:, None, :, :2]
    return ((relative >= 0) & (relative < boxes[:, None, :, 2:])).all(dim=-1).any(dim=-1)
