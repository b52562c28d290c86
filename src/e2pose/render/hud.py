"""Numbers about the run, in a corner of the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from e2pose.render.text import draw_label

_SHARE_OF_PICTURE = 1 / 16
_LEAST_HEIGHT = 14


def draw_rate(image: UInt8[np.ndarray, "h w 3"], images_per_second: float) -> UInt8[np.ndarray, "h w 3"]:
    """Draws the rate into the upper left corner of a copy of the picture.

    Args:
        image: RGB; not changed.
        images_per_second: The rate.
    """
    canvas = np.array(image, order="C")  # OpenCV draws into no other layout
    height = max(_LEAST_HEIGHT, min(canvas.shape[:2]) * _SHARE_OF_PICTURE)
    draw_label(canvas, f"{images_per_second:.1f} FPS", (height / 3, height / 3), height)
    return canvas


@dataclass(frozen=True)
class Numbers:
    """What can be said of a run in the middle of it.

    Args:
        model: Name of the model.
        images_per_second: How many frames come out of the whole run; 0 if nobody knows yet.
        latency_ms: From pixels to poses.
        persons: How many are in the picture.
        threshold: Persons with a lower score are left out.
        dropped: How many frames of a live source nobody could look at; None if the source waits.
    """

    model: str
    images_per_second: float
    latency_ms: float
    persons: int
    threshold: float
    dropped: int | None = None

    @property
    def rows(self) -> list[tuple[str, str]]:
        """What each number is called and what it is."""
        rows = [
            ("FPS", f"{self.images_per_second:.1f}" if self.images_per_second else "-"),
            ("latency", f"{self.latency_ms:.0f} ms"),
            ("people", str(self.persons)),
            ("threshold", f"{self.threshold:.2f}"),
            ("model", self.model),
        ]
        return rows if self.dropped is None else [*rows, ("dropped", str(self.dropped))]
