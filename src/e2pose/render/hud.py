"""Statistics of a run as text in a corner of the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from e2pose.render.text import draw_label

_LABEL_HEIGHT = 1 / 16  # relative to the shorter side of the image
_MIN_LABEL_HEIGHT = 14  # pixels


def draw_rate(image: UInt8[np.ndarray, "h w 3"], images_per_second: float) -> UInt8[np.ndarray, "h w 3"]:
    """Returns a copy of an image with the frame rate in its upper left corner."""
    drawn = np.array(image, order="C")  # OpenCV draws only into C-contiguous arrays
    height = max(_MIN_LABEL_HEIGHT, min(drawn.shape[:2]) * _LABEL_HEIGHT)
    draw_label(drawn, f"{images_per_second:.1f} FPS", (height / 3, height / 3), height)
    return drawn


@dataclass(frozen=True)
class RunStats:
    """Statistics of a running pipeline."""

    model: str
    images_per_second: float  # of the whole run; 0 before the second frame
    latency_ms: float  # from pixels to poses
    num_persons: int  # in the current frame
    threshold: float  # minimum score of a person
    num_dropped: int | None = None  # skipped frames of a live source; None for files, which skip none

    @property
    def rows(self) -> list[tuple[str, str]]:
        """Label and value of each statistic."""
        rows = [
            ("FPS", f"{self.images_per_second:.1f}" if self.images_per_second else "-"),
            ("latency", f"{self.latency_ms:.0f} ms"),
            ("persons", str(self.num_persons)),
            ("threshold", f"{self.threshold:.2f}"),
            ("model", self.model),
        ]
        return rows if self.num_dropped is None else [*rows, ("dropped", str(self.num_dropped))]
