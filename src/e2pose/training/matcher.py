"""Which candidate answers for which person.

Every person gets exactly one candidate, and no candidate two persons: the assignment with the least total cost, where a
good pair is one that would score well in the end, `score^a * OKS^(1 - a)`. A small prior prefers cells near the
person's centre on the level that suits the person's size; it decides as long as the network knows nothing.

Source: quality after Wang et al., "End-to-End Object Detection with Fully Convolutional Network", CVPR 2021,
equation 3; one-to-one assignment after Carion et al., "End-to-End Object Detection with Transformers", ECCV 2020,
section 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from e2pose.data.targets import Target
from e2pose.models.head import Prediction
from e2pose.training.layout import Layout
from e2pose.training.recipe import MatchConfig

_FAR = 1e3  # cost of a cell outside the radius: taken only if nothing else is left


@dataclass(frozen=True, eq=False)
class Match:
    """Pairs of a candidate and a person, as three index tensors of equal length P: image, candidate, person.

    Args:
        images: Index of the image in the batch.
        candidates: Index of the candidate in the image.
        persons: Index of the person in the image.
        is_primary: Whether the candidate answers for the person (one for each person); its auxiliary_positives only learn the
            person's keypoints.
    """

    images: Tensor
    candidates: Tensor
    persons: Tensor
    is_primary: Tensor

    def primary(self) -> Match:
        """The one-to-one part of the match."""
        chosen = self.is_primary
        return Match(self.images[chosen], self.candidates[chosen], self.persons[chosen], self.is_primary[chosen])


def batch_oks(keypoints: Tensor, target: Target, layout: Layout) -> Tensor:
    """Object keypoint similarity of every candidate with every person of its image.

    Args:
        keypoints: (B, M, K, 2) in canvas pixels.
        target: Labels in canvas pixels.
        layout: Tolerances.

    Returns:
        (B, M, G) in [0, 1].
    """
    tolerance = layout.tolerances(target.areas)
    total = torch.zeros(*keypoints.shape[:2], target.areas.shape[1], device=keypoints.device)
    for k in range(keypoints.shape[2]):  # one keypoint at a time keeps the memory small
        squared = (keypoints[:, :, None, k] - target.keypoints[:, None, :, k]).square().sum(dim=-1)
        total += torch.exp(-squared / tolerance[:, None, :, k]) * target.labelled[:, None, :, k]
    return total / target.labelled.sum(dim=2).clamp(min=1)[:, None]


@torch.no_grad()
def match(prediction: Prediction, target: Target, layout: Layout, config: MatchConfig) -> Match:
    """Gives each person a candidate and its auxiliary_positives.

    Args:
        prediction: Candidates of a batch.
        target: Labels of the same batch.
        layout: Canvas, cells and tolerances.
        config: Weights.
    """
    oks = batch_oks(prediction.keypoints.float() * layout.input_size_wh, target, layout)
    score = prediction.person_logits.float().sigmoid().unsqueeze(2)
    quality = score**config.score_power * oks ** (1 - config.score_power)
    cost = _prior(target, layout, config) - quality
    is_primary = assign(cost, target.present)
    pairs = torch.cat(
        [is_primary, find_auxiliary_positives(cost, target.present, is_primary, config.auxiliary_positives)]
    )
    images, candidates, persons = pairs.unbind(dim=1)
    return Match(images, candidates, persons, torch.arange(len(pairs), device=pairs.device) < len(is_primary))


def assign(cost: Tensor, present: Tensor) -> Tensor:
    """Gives each person a candidate of its own so that the total cost is least. The processor works this out.

    Args:
        cost: (B, M, G) of each pair.
        present: (B, G) who is there; whoever is not comes last.

    Returns:
        (P, 3): image, candidate and person of each pair.
    """
    costs = cost.cpu().numpy()
    pairs = [np.empty((0, 3), np.int64)]
    for image, people in enumerate(present.sum(dim=1).tolist()):
        candidates, persons = linear_sum_assignment(costs[image, :, :people])
        pairs.append(np.stack([np.full_like(persons, image), candidates, persons], axis=1))
    return torch.from_numpy(np.concatenate(pairs)).to(cost.device)


def find_auxiliary_positives(cost: Tensor, present: Tensor, is_primary: Tensor, count: int) -> Tensor:
    """Further candidates for each person: of the best ones those that are free and suit nobody else better.

    Args:
        cost: (B, M, G) of each pair.
        present: (B, G) who is there.
        is_primary: (P, 3) pairs of image, candidate and person that are not free.
        count: How many for each person at most.

    Returns:
        (Q, 3): image, candidate and person of each further pair.
    """
    free = torch.ones(cost.shape[:2], dtype=torch.bool, device=cost.device)
    free[is_primary[:, 0], is_primary[:, 1]] = False
    cost = cost.masked_fill(~present[:, None], torch.inf)
    suits = cost.argmin(dim=2, keepdim=True) == torch.arange(cost.shape[2], device=cost.device)
    ranked, order = cost.transpose(1, 2).sort(dim=2, stable=True)  # (B, G, M)
    chosen = (suits & free[:, :, None]).transpose(1, 2).gather(2, order) & (ranked < _FAR / 2)
    among = count + present.sum(dim=1)[:, None, None]
    chosen &= torch.arange(cost.shape[1], device=cost.device) < among
    images, persons, ranks = (chosen & (chosen.cumsum(dim=2) <= count)).nonzero().unbind(dim=1)
    return torch.stack([images, order[images, persons, ranks], persons], dim=1)


def _prior(target: Target, layout: Layout, config: MatchConfig) -> Tensor:
    """(B, M, G): how badly a cell suits a person, from labels alone."""
    strides = layout.cell_strides[None, :, None]
    distance = torch.cdist(layout.cell_centers.expand(len(target.areas), -1, -1), target.centers) / strides
    level = torch.log2(strides * config.cells / target.areas.sqrt()[:, None])
    return config.prior * (distance.square() + level.square()) + _FAR * (distance > config.radius)
