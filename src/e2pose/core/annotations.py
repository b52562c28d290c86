"""Labelled images: what data sets say, whatever their file format is."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32, UInt8

from e2pose.core.schema import KeypointSchema


@dataclass(frozen=True, eq=False)
class PersonAnnotation:
    """One annotated person.

    Args:
        keypoints: (x, y) in pixels; (0, 0) is the outer corner of the image's first pixel. Without meaning where
            `visibility` is 0.
        visibility: 2 = visible, 1 = labelled but hidden, 0 = not labelled.
        area: Area in square pixels.
        box: x, y, width, height in pixels.
        is_crowd: Whether this stands for a group of people that are not annotated one by one.
    """

    keypoints: Float32[np.ndarray, "k 2"]
    visibility: UInt8[np.ndarray, "k"]
    area: float
    box: tuple[float, float, float, float]
    is_crowd: bool = False

    @property
    def has_keypoints(self) -> bool:
        """Whether this is one person with at least one labelled keypoint."""
        return not self.is_crowd and bool(self.visibility.any())


@dataclass(frozen=True, eq=False)
class ImageAnnotation:
    """One annotated image.

    Args:
        id: Number of the image, distinct in its data set.
        file_name: Path of the image relative to the folder of images.
        size_hw: Height and width in pixels.
        persons: The people in it.
        labelled_keypoints: Indices of the keypoints that the annotators labelled at all; of others nothing is known.
        exhaustive: Whether every person is labelled.
        ignore: Boxes (x, y, width, height) in which there may be people that are not labelled.
        crowd_index: How much people hide each other, from 0 to 1, as CrowdPose gives it; None if nobody said.
    """

    id: int
    file_name: str
    size_hw: tuple[int, int]
    persons: tuple[PersonAnnotation, ...]
    labelled_keypoints: tuple[int, ...]
    exhaustive: bool = True
    ignore: Float32[np.ndarray, "r 4"] = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    crowd_index: float | None = None


@dataclass(frozen=True, eq=False)
class Annotations:
    """What people have said about a set of images.

    Args:
        schema: The keypoints.
        images: The images, with the people in them.
    """

    schema: KeypointSchema
    images: tuple[ImageAnnotation, ...]
