"""Frames: images with their position in a source."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from e2pose.core.arguments import check_count, check_number, check_type, show
from e2pose.core.errors import OptionError


@dataclass(frozen=True)
class Origin:
    """The image file, video or camera that frames are read from.

    Args:
        name: Name in outputs: the path or address as given by the user.
        path: Path of the file; None for cameras, streams and arrays.
        rate: Frames per second of a video or camera; None for a still image.
        frame_count: Number of frames if known in advance; an estimate for some videos.
        pixel_aspect: Width of a displayed pixel divided by its height; frames hold the pixels as stored.
    """

    name: str
    path: Path | None = None
    rate: Fraction | None = None
    frame_count: int | None = None
    pixel_aspect: Fraction = Fraction(1)

    @property
    def is_still(self) -> bool:
        """Whether this is a still image."""
        return self.rate is None


IN_MEMORY = Origin(name="image")
"""The origin of an array passed in by a program."""


@dataclass(frozen=True, eq=False)
class Frame:
    """An image with its position in its origin.

    Args:
        image: RGB pixels; read-only by convention.
        origin: Where the image was read from.
        index: 0-based position of the frame in its origin.
        time_s: Presentation time in seconds from the start of the origin; 0 for a still image.
        file_time_s: Timestamp in the video file in seconds, by which its sound is aligned; None without a file.
        is_last: Whether the video file ends after this frame, so that the rest of its sound belongs to it.
    """

    image: UInt8[np.ndarray, "h w 3"]
    origin: Origin = IN_MEMORY
    index: int = 0
    time_s: float = 0.0
    file_time_s: float | None = None
    is_last: bool = False

    def __post_init__(self) -> None:
        check_image(self.image)
        check_type("the origin of a frame", self.origin, Origin, hint="omit it for an image in memory")
        index = check_count("the index of a frame", self.index, 0, hint="count frames from 0")
        time_s = check_number("the time of a frame", self.time_s, hint="use seconds from the start of the origin")
        object.__setattr__(self, "index", index)
        object.__setattr__(self, "time_s", time_s)

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return int(self.image.shape[0]), int(self.image.shape[1])


def check_image(image: object) -> UInt8[np.ndarray, "h w 3"]:
    """Returns the image unchanged if it is a non-empty (H, W, 3) uint8 array.

    Raises:
        OptionError: It is not; the hint gives the conversion.
    """
    if not isinstance(image, np.ndarray):
        raise OptionError(
            f"an image must be a NumPy array, not {show(image)}",
            "convert a Pillow image with: np.asarray(image)",
        )
    if image.ndim != 3 or image.shape[2] != 3:
        raise OptionError(
            f"an image must have the shape (H, W, 3), not {image.shape}",
            "repeat a grey image three times: np.stack([grey] * 3, axis=2); drop alpha: image[:, :, :3]",
        )
    if image.dtype != np.uint8:
        raise OptionError(
            f"an image must be uint8 with values from 0 to 255, not {image.dtype}",
            "scale it to 0..255 and convert it with: image.astype(np.uint8)",
        )
    if image.shape[0] == 0 or image.shape[1] == 0:
        raise OptionError(
            f"an image must have at least one pixel, but its shape is {image.shape}", "check how the image was cropped"
        )
    return image
