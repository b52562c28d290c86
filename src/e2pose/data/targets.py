"""Labels of training images, and their batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch import Tensor


@dataclass(frozen=True, eq=False)
class SampleLabels:
    """The labels of one training image, in its pixels; boxes are (x, y, width, height)."""

    keypoints: Float32[np.ndarray, "g k 2"]  # (x, y); arbitrary where not labelled
    labelled: Bool[np.ndarray, "g k"]  # and inside of the image; the other positions are not trained
    visibility_known: Bool[np.ndarray, "g k"]  # where it is unknown, the score of the keypoint is not trained
    areas: Float32[np.ndarray, "g"]
    ignore: Float32[np.ndarray, "r 4"]  # in these boxes, unmatched candidates have no loss
    non_exhaustive: Float32[np.ndarray, "q 4"]  # in these boxes persons may lack labels: background has less weight


@dataclass(frozen=True, eq=False)
class Target:
    """The fields of `SampleLabels` for a batch, padded to the same number of persons G and of boxes R and Q."""

    keypoints: Tensor  # (B, G, K, 2)
    labelled: Tensor  # (B, G, K) bool
    visibility_known: Tensor  # (B, G, K) bool
    areas: Tensor  # (B, G); 1 for padding
    present: Tensor  # (B, G) bool; false for padding
    ignore: Tensor  # (B, R, 4); empty boxes for padding
    non_exhaustive: Tensor  # (B, Q, 4); likewise

    @property
    def centers(self) -> Tensor:
        """(B, G, 2): centre of the box around each person's labelled keypoints; 0 for padding."""
        mask = self.labelled.unsqueeze(-1)
        low = self.keypoints.masked_fill(~mask, torch.inf).amin(dim=2)
        high = self.keypoints.masked_fill(~mask, -torch.inf).amax(dim=2)
        return torch.where(self.present.unsqueeze(-1), (low + high) / 2, 0.0)

    def to(self, device: torch.device) -> Target:
        """Returns a copy on a device; copies from page-locked memory are asynchronous."""
        return Target(**{f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(Target)})


def collate_labels(labels: Sequence[SampleLabels]) -> Target:
    """Returns the padded labels of several training images."""
    size, num_keypoints = len(labels), labels[0].keypoints.shape[1]
    num_persons = max(1, *(len(label.areas) for label in labels))
    target = Target(
        keypoints=torch.zeros(size, num_persons, num_keypoints, 2),
        labelled=torch.zeros(size, num_persons, num_keypoints, dtype=torch.bool),
        visibility_known=torch.zeros(size, num_persons, num_keypoints, dtype=torch.bool),
        areas=torch.ones(size, num_persons),
        present=torch.zeros(size, num_persons, dtype=torch.bool),
        ignore=_pad([label.ignore for label in labels]),
        non_exhaustive=_pad([label.non_exhaustive for label in labels]),
    )
    for index, label in enumerate(labels):
        persons = len(label.areas)
        target.present[index, :persons] = True
        for name in ("keypoints", "labelled", "visibility_known", "areas"):
            getattr(target, name)[index, :persons] = torch.from_numpy(getattr(label, name))
    return target


def _pad(boxes: Sequence[Float32[np.ndarray, "_ 4"]]) -> Tensor:
    padded = torch.zeros(len(boxes), max(map(len, boxes)), 4)
    for index, box in enumerate(boxes):
        padded[index, : len(box)] = torch.from_numpy(box)
    return padded
