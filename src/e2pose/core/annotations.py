"""Annotated images of a dataset, independent of the file format."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32, UInt8

from e2pose.core.schema import KeypointSchema


@dataclass(frozen=True, eq=False)
class PersonAnnotation:
    """An annotated person, or a crowd region.

    Args:
        keypoints: (x, y) in pixels; (0, 0) is the outer corner of the image's first pixel. Undefined where `visibility`
            is 0.
        visibility: 2 = visible, 1 = labelled but hidden, 0 = not labelled.
        area: Area in square pixels.
        box: x, y, width, height in pixels.
        is_crowd: Whether the annotation covers a group of persons that are not annotated individually.
    """

    keypoints: Float32[np.ndarray, "k 2"]
    visibility: UInt8[np.ndarray, "k"]
    area: float
    box: tuple[float, float, float, float]
    is_crowd: bool = False

    @property
    def has_keypoints(self) -> bool:
        """Whether this is a single person with at least one labelled keypoint."""
        return not self.is_crowd and bool(self.visibility.any())


@dataclass(frozen=True, eq=False)
class ImageAnnotation:
    """An annotated image.

    Args:
        id: Identifier of the image, unique in its dataset.
        file_name: Path of the image relative to the image folder.
        size_hw: Height and width in pixels.
        persons: The annotated persons.
        labelled_keypoints: Indices of the keypoints that the annotators labelled; all others are unknown.
        exhaustive: Whether every person in the image is annotated.
        ignore: Boxes (x, y, width, height) that may contain persons without annotations.
        crowd_index: Degree of mutual occlusion from 0 to 1, as defined by CrowdPose; None if unknown.
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
    """The annotations of a dataset.

    Args:
        schema: The keypoints of all persons.
        images: The annotated images.
    """

    schema: KeypointSchema
    images: tuple[ImageAnnotation, ...]
