"""Synthetic labels and predictions for tests of the matcher and the loss."""

import numpy as np
import torch

from e2pose.core.schema import load_schema
from e2pose.data.targets import SampleLabels
from e2pose.models.head import Prediction
from e2pose.training.layout import Layout

SCHEMA = load_schema("coco")
NO_BOXES = np.zeros((0, 4), np.float32)


def layout_of(input_size_hw: tuple[int, int], strides: tuple[int, ...]) -> Layout:
    return Layout.of(input_size_hw, strides, SCHEMA)


def labels_of(
    rng, persons, input_size_hw, *, size=None, center=None, ignore=NO_BOXES, non_exhaustive=NO_BOXES
) -> SampleLabels:
    """Persons with random keypoints, all labelled; with `size` inside a square of that side around `center`."""
    extent = np.array(input_size_hw[::-1], np.float32) if size is None else np.full(2, size, np.float32)
    middle = np.array(input_size_hw[::-1], np.float32) / 2 if center is None else np.array(center, np.float32)
    keypoints = middle + extent * rng.uniform(-0.5, 0.5, (persons, 17, 2)).astype(np.float32)
    keypoints[:, :2] = middle + extent * np.array([[-0.5, -0.5], [0.5, 0.5]], np.float32) * 0.999
    return SampleLabels(
        keypoints=keypoints.astype(np.float32),
        labelled=np.ones((persons, 17), bool),
        visibility_known=np.ones((persons, 17), bool),
        areas=np.full(persons, 0.5 * extent.prod(), np.float32),
        ignore=ignore,
        non_exhaustive=non_exhaustive,
    )


def prediction_at(layout: Layout, poses: dict[int, np.ndarray], *, score: float = 0.01, images: int = 1) -> Prediction:
    """Puts all keypoints at the cell centre, except those of candidates with a given pose in input pixels."""
    count = len(layout.cell_centers)
    centers = layout.cell_centers.expand(images, -1, -1) / layout.input_size_wh
    keypoints = centers[:, :, None].repeat(1, 1, len(layout.sigmas), 1)
    scores = torch.full((images, count), 0.01)
    for candidate, pose in poses.items():
        keypoints[:, candidate] = torch.from_numpy(pose) / layout.input_size_wh
        scores[:, candidate] = score
    return Prediction(
        person_logits=scores.logit(),
        keypoint_logits=torch.zeros(images, count, len(layout.sigmas)),
        keypoints=keypoints,
        centers=centers.clone(),
    )
