"""Options of `e2pose predict`. Light enough for `--help`: imports no image or runtime library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from e2pose.core.arguments import check_choice, check_flag, check_list, check_path, check_share
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
        names = check_list("the models", self.model, hint="pass a tuple of names, for example ('default',)")
        object.__setattr__(self, "model", tuple(str(check_path("a model", name)) for name in names))
        if not self.model:
            raise OptionError("the list of models is empty", "pass at least one name, for example ('default',)")
        if len(self.model) > 1 and not self.show:
            raise OptionError(
                f"{len(self.model)} models are given, but a run without --show takes one: {', '.join(self.model)}",
                "use one --model, or add --show to switch between them with the key m",
            )
        for name in ("threshold", "keypoint_threshold"):
            what = name.replace("_", " ")
            if getattr(self, name) is not None:
                check_share(f"the {what}", getattr(self, name), hint=f"omit it to use the model's own {what}")
        for name in ("track", "smooth", "show", "fps"):
            check_flag(f"'{name}'", getattr(self, name))
        if self.blur is not None:
            check_choice("the blurred region", self.blur, ("heads", "bodies", "frame"))
