"""One picture on its way through the belt."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from e2pose.core.errors import OptionError


@dataclass(frozen=True)
class Origin:
    """What a frame was taken from: one picture, one video or one camera.

    Args:
        name: What to call it in outputs: the path or address as the user gave it.
        path: The file, or None if it is not one.
        rate: Frames per second of a video or camera, as a fraction; None for a still picture.
        frame_count: How many frames it has, if that is known beforehand; an estimate for some videos.
        pixel_aspect: Width of a pixel divided by its height as it is meant to be shown; frames hold pixels as stored.
    """

    name: str
    path: Path | None = None
    rate: Fraction | None = None
    frame_count: int | None = None
    pixel_aspect: Fraction = Fraction(1)

    @property
    def is_still(self) -> bool:
        """Whether it is a single picture rather than a moving one."""
        return self.rate is None


IN_MEMORY = Origin(name="image")
"""The origin of an array that a program passes in."""


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture with its place in what it was taken from.

    Args:
        image: RGB. Treated as read-only by everyone.
        origin: What the picture was taken from.
        index: 0-based position of the frame in its origin.
        time_s: Presentation time in seconds from the start of its origin; 0 for a still picture.
    """

    image: UInt8[np.ndarray, "h w 3"]
    origin: Origin = IN_MEMORY
    index: int = 0
    time_s: float = 0.0

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return int(self.image.shape[0]), int(self.image.shape[1])


def check_image(image: object) -> UInt8[np.ndarray, "h w 3"]:
    """Returns the image if it is RGB uint8 with at least one pixel.

    Raises:
        OptionError: It is anything else; the message says how to convert it.
    """
    if not isinstance(image, np.ndarray):
        raise OptionError(
            f"an image must be a NumPy array, not {type(image).__name__}",
            "np.asarray(image) turns a Pillow image into one",
        )
    if image.ndim != 3 or image.shape[2] != 3:
        raise OptionError(
            f"an image must have the shape (H, W, 3), not {image.shape}",
            "repeat a grey image three times: np.stack([grey] * 3, axis=2); drop alpha: image[:, :, :3]",
        )
    if image.dtype != np.uint8:
        raise OptionError(
            f"an image must be uint8 with values 0 to 255, not {image.dtype}",
            "scale it to 0..255 and convert: image.astype(np.uint8)",
        )
    if image.shape[0] == 0 or image.shape[1] == 0:
        raise OptionError(f"an image must have at least one pixel, but its shape is {image.shape}")
    return image
