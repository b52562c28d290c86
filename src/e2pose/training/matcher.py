"""Assigns candidates to labelled persons.

Each person gets one primary candidate, and each candidate at most one person: the one-to-one assignment with the lowest
total cost. The cost of a pair is a prior minus its quality, `score^a * OKS^(1 - a)`. The prior favours cells near the
person's centre on the level that fits the person's size; it decides while the network is untrained. Further candidates
are auxiliary matches, which learn the person's keypoints but not its score.

Sources: quality after Wang et al., "End-to-End Object Detection with Fully Convolutional Network", CVPR 2021, equation
3; one-to-one assignment after Carion et al., "End-to-End Object Detection with Transformers", ECCV 2020, section 3.1.
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

_OUTSIDE_RADIUS_COST = 1e3  # exceeds every other cost: such cells are assigned only if no other is free


@dataclass(frozen=True, eq=False)
class Match:
    """P pairs of a candidate and a person, as tensors (P,)."""

    images: Tensor  # index of the image in the batch
    candidates: Tensor  # index of the candidate in the image
    persons: Tensor  # index of the person in the image
    is_primary: Tensor  # true for the primary match of a person, false for its auxiliary matches

    def primary(self) -> Match:
        """Returns the primary matches: one per person."""
        mask = self.is_primary
        return Match(self.images[mask], self.candidates[mask], self.persons[mask], self.is_primary[mask])


@torch.no_grad()
def match(prediction: Prediction, target: Target, layout: Layout, config: MatchConfig) -> Match:
    """Matches the candidates of a batch with the persons of its labels."""
    cost = match_cost(prediction, target, layout, config)
    primary = assign_one_to_one(cost, target.present)
    auxiliary = find_auxiliary_matches(cost, target.present, primary, config.auxiliary_positives)
    pairs = torch.cat([primary, auxiliary])
    images, candidates, persons = pairs.unbind(dim=1)
    return Match(images, candidates, persons, torch.arange(len(pairs), device=pairs.device) < len(primary))


def match_cost(prediction: Prediction, target: Target, layout: Layout, config: MatchConfig) -> Tensor:
    """Returns the cost (B, M, G) of each pair of a candidate and a person: its prior minus its quality."""
    oks = batch_oks(prediction.keypoints.float() * layout.input_size_wh, target, layout)
    score = prediction.person_logits.float().sigmoid().unsqueeze(2)
    quality = score**config.score_power * oks ** (1 - config.score_power)
    return prior_cost(target, layout, config) - quality


def prior_cost(target: Target, layout: Layout, config: MatchConfig) -> Tensor:
    """Returns the cost (B, M, G) of each pair by the cell's distance and level, independent of the prediction."""
    strides = layout.cell_strides[None, :, None]
    distance = torch.cdist(layout.cell_centers.expand(len(target.areas), -1, -1), target.centers) / strides
    level = torch.log2(strides * config.cells / target.areas.sqrt()[:, None])
    return config.prior * (distance.square() + level.square()) + _OUTSIDE_RADIUS_COST * (distance > config.radius)


def batch_oks(keypoints: Tensor, target: Target, layout: Layout) -> Tensor:
    """Returns the OKS (B, M, G) of each pair, for candidates with keypoints (B, M, K, 2) in input pixels."""
    tolerance = layout.tolerances(target.areas)
    total = torch.zeros(*keypoints.shape[:2], target.areas.shape[1], device=keypoints.device)
    for k in range(keypoints.shape[2]):  # one keypoint at a time needs 1/K of the memory
        squared = (keypoints[:, :, None, k] - target.keypoints[:, None, :, k]).square().sum(dim=-1)
        total += torch.exp(-squared / tolerance[:, None, :, k]) * target.labelled[:, None, :, k]
    return total / target.labelled.sum(dim=2).clamp(min=1)[:, None]


def assign_one_to_one(cost: Tensor, present: Tensor) -> Tensor:
    """Assigns one candidate to each person so that the total cost (B, M, G) is minimal. Runs on the CPU.

    Returns image, candidate and person (P, 3) of each pair. `present` (B, G) is false for padding, which follows the
    persons.
    """
    costs = cost.cpu().numpy()
    pairs = [np.empty((0, 3), np.int64)]
    for image, num_persons in enumerate(present.sum(dim=1).tolist()):
        candidates, persons = linear_sum_assignment(costs[image, :, :num_persons])
        pairs.append(np.stack([np.full_like(persons, image), candidates, persons], axis=1))
    return torch.from_numpy(np.concatenate(pairs)).to(cost.device)


def find_auxiliary_matches(cost: Tensor, present: Tensor, primary: Tensor, count: int) -> Tensor:
    """Finds up to `count` further candidates for each person.

    A candidate qualifies if it is no primary match, lies within the radius, fits no other person of the image better,
    and ranks among the `count + number of persons` cheapest candidates of its person.

    Takes the cost (B, M, G) of each pair, `present` (B, G) and the primary matches (P, 3), and returns image, candidate
    and person (Q, 3) of each auxiliary match.
    """
    free = torch.ones(cost.shape[:2], dtype=torch.bool, device=cost.device)
    free[primary[:, 0], primary[:, 1]] = False
    cost = cost.masked_fill(~present[:, None], torch.inf)
    is_best_person = cost.argmin(dim=2, keepdim=True) == torch.arange(cost.shape[2], device=cost.device)
    ranked, order = cost.transpose(1, 2).sort(dim=2, stable=True)  # (B, G, M)
    qualifies = (is_best_person & free[:, :, None]).transpose(1, 2).gather(2, order)
    qualifies &= ranked < _OUTSIDE_RADIUS_COST / 2
    qualifies &= torch.arange(cost.shape[1], device=cost.device) < count + present.sum(dim=1)[:, None, None]
    images, persons, ranks = (qualifies & (qualifies.cumsum(dim=2) <= count)).nonzero().unbind(dim=1)
    return torch.stack([images, order[images, persons, ranks], persons], dim=1)
