"""What a network should answer for a canvas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch import Tensor


@dataclass(frozen=True, eq=False)
class CanvasLabels:
    """The people on one canvas, in canvas pixels.

    Args:
        keypoints: (x, y) of every keypoint; meaningless where it is not labelled.
        labelled: Whether the position is known and inside the canvas.
        known: Whether it is known if the keypoint can be seen; elsewhere nothing is learned about its score.
        areas: Area of each person.
        ignore: Boxes (x, y, width, height) in which an unmatched candidate is not wrong.
        doubtful: Boxes in which not everybody may be labelled, so that background weighs less.
    """

    keypoints: Float32[np.ndarray, "g k 2"]
    labelled: Bool[np.ndarray, "g k"]
    known: Bool[np.ndarray, "g k"]
    areas: Float32[np.ndarray, "g"]
    ignore: Float32[np.ndarray, "r 4"]
    doubtful: Float32[np.ndarray, "q 4"]


@dataclass(frozen=True, eq=False)
class Target:
    """The labels of a batch, filled up to the same number of people G and boxes R and Q.

    Args:
        keypoints: (B, G, K, 2) in canvas pixels.
        labelled: (B, G, K) bool.
        known: (B, G, K) bool.
        areas: (B, G); 1 for the filling.
        present: (B, G) bool, false for the filling.
        ignore: (B, R, 4) boxes (x, y, width, height); the filling has no extent.
        doubtful: (B, Q, 4) likewise.
    """

    keypoints: Tensor
    labelled: Tensor
    known: Tensor
    areas: Tensor
    present: Tensor
    ignore: Tensor
    doubtful: Tensor

    @property
    def centers(self) -> Tensor:
        """(B, G, 2): the middle of the box around each person's labelled keypoints, in canvas pixels."""
        mask = self.labelled.unsqueeze(-1)
        low = self.keypoints.masked_fill(~mask, torch.inf).amin(dim=2)
        high = self.keypoints.masked_fill(~mask, -torch.inf).amax(dim=2)
        return torch.where(self.present.unsqueeze(-1), (low + high) / 2, 0.0)


def collate_labels(labels: Sequence[CanvasLabels]) -> Target:
    """Puts the labels of several canvases into one target."""
    count, keypoints = len(labels), labels[0].keypoints.shape[1]
    persons = max(1, *(len(label.areas) for label in labels))
    target = Target(
        keypoints=torch.zeros(count, persons, keypoints, 2),
        labelled=torch.zeros(count, persons, keypoints, dtype=torch.bool),
        known=torch.zeros(count, persons, keypoints, dtype=torch.bool),
        areas=torch.ones(count, persons),
        present=torch.zeros(count, persons, dtype=torch.bool),
        ignore=_fill_up([label.ignore for label in labels]),
        doubtful=_fill_up([label.doubtful for label in labels]),
    )
    for index, label in enumerate(labels):
        people = len(label.areas)
        target.keypoints[index, :people] = torch.from_numpy(label.keypoints)
        target.labelled[index, :people] = torch.from_numpy(label.labelled)
        target.known[index, :people] = torch.from_numpy(label.known)
        target.areas[index, :people] = torch.from_numpy(label.areas)
        target.present[index, :people] = True
    return target


def _fill_up(boxes: Sequence[Float32[np.ndarray, "_ 4"]]) -> Tensor:
    filled = torch.zeros(len(boxes), max(map(len, boxes)), 4)
    for index, some in enumerate(boxes):
        filled[index, : len(some)] = torch.from_numpy(some)
    return filled
