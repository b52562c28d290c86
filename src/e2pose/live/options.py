"""Options of `e2pose predict`. Light enough for `--help`: imports no image or runtime library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from e2pose.core.errors import OptionError


@dataclass(frozen=True)
class PredictOptions:
    """What to detect and what to draw.

    Args:
        model: Model name from `e2pose models`, or model file; by default the model `default`. With --show, repeat it to
            switch models with the key m.
        threshold: Minimum score of a person, from 0 to 1; by default that of the model.
        keypoint_threshold: Minimum score of a drawn keypoint, from 0 to 1; by default that of the model.
        track: Track persons across frames and assign stable ids.
        smooth: Reduce the jitter of keypoints between frames.
        blur: Anonymise persons: blur heads, bodies or the whole frame before drawing.
        show: Show the poses in a window (press h for the keys). Without -o, nothing is written.
        fps: Draw the frame rate of the model, which excludes reading and writing, into the output.

    Raises:
        OptionError: An option is out of range, or several models are given without `show`.
    """

    model: tuple[str, ...] = ("default",)
    threshold: float | None = None
    keypoint_threshold: float | None = None
    track: bool = False
    smooth: bool = False
    blur: Literal["heads", "bodies", "frame"] | None = None
    show: bool = False
    fps: bool = False

    def __post_init__(self) -> None:
        if len(self.model) > 1 and not self.show:
            raise OptionError(
                f"{len(self.model)} models are given, but a run without --show takes one: {', '.join(self.model)}",
                "use one --model, or add --show to switch between them with the key m",
            )
        if self.keypoint_threshold is not None and not 0 <= self.keypoint_threshold <= 1:
            raise OptionError(
                f"the keypoint threshold must be between 0 and 1, not {self.keypoint_threshold}",
                "omit it to use the model's own keypoint threshold",
            )
