"""Annotated images of a dataset, independent of the file format."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from e2pose.core.errors import AnnotationError
from e2pose.core.schema import KeypointSchema


@dataclass(frozen=True, eq=False)
class PersonAnnotation:
    """An annotated person, or a crowd region.

    Coordinates are (x, y) in pixels; (0, 0) is the outer corner of the image's first pixel.
    """

    keypoints: Float32[np.ndarray, "k 2"]  # undefined where `visibility` is 0
    visibility: UInt8[np.ndarray, "k"]  # 2 = visible, 1 = labelled but hidden, 0 = not labelled
    area: float  # square pixels
    box: tuple[float, float, float, float]  # x, y, width, height
    is_crowd: bool = False  # whether this covers a group of persons that are not annotated individually

    @property
    def has_keypoints(self) -> bool:
        """Whether this is a single person with at least one labelled keypoint."""
        return not self.is_crowd and bool(self.visibility.any())


@dataclass(frozen=True, eq=False)
class ImageAnnotation:
    """An annotated image."""

    id: int  # unique in its dataset
    file_name: str  # path relative to the image folder
    size_hw: tuple[int, int]
    persons: tuple[PersonAnnotation, ...]
    labelled_keypoints: tuple[int, ...]  # indices of the keypoints that the annotators labelled; others are unknown
    exhaustive: bool = True  # whether every person in the image is annotated
    ignore: Float32[np.ndarray, "r 4"] = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    """Boxes (x, y, width, height) that may contain persons without annotations."""
    crowd_index: float | None = None  # mutual occlusion from 0 to 1, as defined by CrowdPose; None if unknown
    group: str = ""  # the video or folder that the image comes from; images of one group resemble each other


@dataclass(frozen=True)
class Omission:
    """Entries of a dataset that its reader did not use, all for the same reason.

    As text: "omitted 7 annotations: category 7 is not listed (for example annotation 17)".
    """

    what: str  # the kind of entries in the plural, such as "annotations"
    reason: str
    count: int
    example: str  # where the first one is

    def __str__(self) -> str:
        what = self.what.removesuffix("s") if self.count == 1 else self.what
        return f"omitted {self.count} {what}: {self.reason} (for example {self.example})"


@dataclass(frozen=True, eq=False)
class Annotations:
    """The annotations of a dataset, with one schema for all persons."""

    schema: KeypointSchema
    images: tuple[ImageAnnotation, ...]
    omitted: tuple[Omission, ...] = ()  # what the reader did not use
    notes: tuple[str, ...] = ()  # how the reader interpreted unusual content, such as "the skeleton counts from 0"


def check_image_size(path: Path, shape: tuple[int, ...], image: ImageAnnotation) -> None:
    """Checks that the file of an annotated image has the annotated size; `shape` is (height, width, ...).

    Raises:
        AnnotationError: The sizes differ, so that the annotated positions are probably wrong.
    """
    if shape[:2] != image.size_hw:
        raise AnnotationError(
            f"'{path}' is {shape[1]} pixels wide and {shape[0]} high, but its annotation has width {image.size_hw[1]} "
            f"and height {image.size_hw[0]}",
            "correct the annotation, or scale the image",
        )
