"""The drawn answer: an encoded image with poses, blurred if requested."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from e2pose.core.poses import Poses
from e2pose.inference.anonymise import BlurThresholds
from e2pose.render.blur import Blur, blur_image, check_region
from e2pose.render.overlay import draw_poses
from e2pose.serve.compute import ServedModel
from e2pose.sinks.images import encode_image


@dataclass(frozen=True)
class Drawing:
    """Draws the poses of a model into an image.

    Args:
        file: A file name with the suffix of the format.
        model: The model with the threshold of drawn persons.
        blur: What is blurred; None for nothing.

    Raises:
        OptionError: The keypoints of the model do not locate what is to be blurred.
    """

    file: str
    model: ServedModel
    blur: Blur | None = None

    def __post_init__(self) -> None:
        if self.blur is not None:
            check_region(self.model.estimator.spec.schema, self.blur)

    @property
    def blurred_model(self) -> ServedModel:
        """The model that finds all persons to blur, also those that are too uncertain to be drawn."""
        if self.blur is None:
            return self.model
        estimator = self.model.estimator
        return self.model.with_threshold(BlurThresholds.of(estimator.threshold, estimator.spec).blurred)

    def __call__(self, image: UInt8[np.ndarray, "h w 3"], poses: Poses) -> bytes:
        """Returns the encoded image; `poses` come from `blurred_model`.

        Raises:
            OutputError: The format cannot hold the image.
        """
        if self.blur is not None:
            image = blur_image(image, poses, self.blur)
        estimator = self.model.estimator
        shown = poses[poses.scores >= estimator.threshold]
        return encode_image(draw_poses(image, shown, threshold=estimator.spec.keypoint_threshold), Path(self.file))
